const MOST = 3;

/**
 * Returns the names of which a typing error may have made this one: at most three, the nearest
 * first. Capitals do not count.
 */
export function nearestNames(name: string, known: Iterable<string>): string[] {
  const given = name.toLowerCase();
  const limit = Math.max(1, Math.floor(given.length / 3));
  const near: { readonly name: string; readonly distance: number }[] = [];
  for (const each of new Set(known)) {
    const other = each.toLowerCase();
    const edits = distanceOf(given, other, limit);
    const distance = isCutOff(given, other) ? Math.min(edits, limit) : edits;
    if (distance <= limit) near.push({ name: each, distance });
  }
  near.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return near.slice(0, MOST).map((each) => each.name);
}

/** Returns `Did you mean 'a' or 'b'? `, to stand before a remedy; '' when no name is near. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const near = nearestNames(name, known).map((each) => `'${each}'`);
  if (near.length === 0) return '';
  const last = near.pop() ?? '';
  return `Did you mean ${near.length === 0 ? '' : `${near.join(', ')} or `}${last}? `;
}

/** Whether one is the beginning of the other: a domain is missing, or the last letters are. */
const isCutOff = (a: string, b: string): boolean =>
  Math.min(a.length, b.length) >= 3 && (a.startsWith(b) || b.startsWith(a));

/**
 * Counts the letters that were added, left out, replaced, or exchanged with the next one.
 * @returns Infinity if there are certainly more than the limit
 */
function distanceOf(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return Infinity;
  let [older, old]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const costs = [(old[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (old[j - 1] ?? 0) + same];
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        costs.push((older[j - 2] ?? 0) + 1);
      row.push(Math.min(...costs));
    }
    [older, old] = [old, row];
  }
  return old[b.length] ?? Infinity;
}
