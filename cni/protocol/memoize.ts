/** How many results are kept, and of how long arguments together, in characters. */
const MOST = 16;
const LONGEST = 65_536;

/**
 * A pure function of texts that knows the results that were last asked for: a process that serves many calls reads the same configuration over and over. What it
 * throws is not kept.
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
