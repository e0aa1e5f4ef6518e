/** Patterns of names: `*` stands for any characters, also for none. All else stands for itself. */

export const isPattern = (pattern: string): boolean => pattern.includes('*');

/** Returns how many characters of the pattern stand for themselves. */
export const literalLength = (pattern: string): number => pattern.replaceAll('*', '').length;

/** Whether the pattern describes the whole name. Takes at most their lengths' product of steps. */
export function matchesPattern(pattern: string, name: string): boolean {
  let at = 0;
  let p = 0;
  // Where the last `*` stands, and where in the name what it stands for ends.
  let star = -1;
  let starEnd = 0;
  while (at < name.length) {
    if (p < pattern.length && pattern[p] === '*') {
      star = p++;
      starEnd = at;
    } else if (p < pattern.length && pattern[p] === name[at]) {
      p++;
      at++;
    } else if (star >= 0) {
      p = star + 1;
      at = ++starEnd;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Whether some name is described by both patterns. */
export function patternsOverlap(a: string, b: string): boolean {
  // For each prefix of `a` in turn: whether it overlaps with each prefix of `b`.
  let row: boolean[] = [];
  for (let i = 0; i <= a.length; i++) {
    const next: boolean[] = [];
    for (let j = 0; j <= b.length; j++) {
      const [inA, inB] = [a[i - 1], b[j - 1]];
      const shorterA = i > 0 && (row[j] ?? false);
      const shorterB = j > 0 && (next[j - 1] ?? false);
      if (i + j === 0) next.push(true);
      // A star stands for nothing, or for one character more of the other.
      else if (inA === '*' || inB === '*') next.push(shorterA || shorterB);
      else next.push(inA === inB && (row[j - 1] ?? false));
    }
    row = next;
  }
  return row[b.length] ?? false;
}
