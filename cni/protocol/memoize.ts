/** The longest joined arguments of a cached result, in characters. */
const LONGEST = 65_536;

/**
 * Returns `work`, a pure function of texts, with a cache of the most recently used results: a
 * process that serves many calls parses the same configuration repeatedly. Caches no errors.
 * @param most the number of cached results
 */
export function memoize<Args extends readonly string[], T>(
  work: (...args: Args) => T,
  most = 16,
): (...args: Args) => T {
  const known = new Map<string, T>();
  return (...args) => {
    const key = args.join('\0');
    const before = known.get(key);
    known.delete(key);
    const result = before ?? work(...args);
    if (key.length > LONGEST) return result;
    const [oldest] = known.keys();
    if (known.size >= most && oldest !== undefined) known.delete(oldest);
    known.set(key, result);
    return result;
  };
}
