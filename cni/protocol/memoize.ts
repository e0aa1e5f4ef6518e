/** The number of cached results, and the longest joined arguments of one, in characters. */
const MOST = 16;
const LONGEST = 65_536;

/**
 * Returns `work`, a pure function of texts, with a cache of the most recently used results: a
 * process that serves many calls parses the same configuration repeatedly. Caches no errors.
 */
export function memoize<Args extends readonly string[], T>(work: (...args: Args) => T): (...args: Args) => T {
  const known = new Map<string, T>();
  return (...args) => {
    const key = args.join('\0');
    const before = known.get(key);
    known.delete(key);
    const result = before ?? work(...args);
    if (key.length > LONGEST) return result;
    const [oldest] = known.keys();
    if (known.size >= MOST && oldest !== undefined) known.delete(oldest);
    known.set(key, result);
    return result;
  };
}
