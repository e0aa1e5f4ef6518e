const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(?:0|(?:\d+(?:ms|s|m|h|d))+)$/;

/** Returns the milliseconds of `30s`, `5m`, `1h30m` or `0`; undefined for any other text. */
export function durationMs(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g))
    sum += Number(count) * UNITS[unit as keyof typeof UNITS];
  return sum;
}

/** Formats a duration exactly, as a person would type it: `1m30s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  let rest = ms;
  return Object.entries(UNITS)
    .reverse()
    .map(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count === 0 ? '' : `${count}${unit}`;
    })
    .join('');
}
