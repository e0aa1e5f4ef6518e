import { CommandError } from './errors.ts';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(?:0|(?:\d+(?:ms|s|m|h|d))+)$/;
/** No option that is waited for means more; a typing error such as 30d for 30s does. */
const LONGEST_MS = UNITS.d;

/**
 * `30s`, `5m`, `1h30m`, `0` in milliseconds.
 * @param longestMs 24 hours, or `Infinity`: for what nobody waits for
 * @throws CommandError
 */
export function parseDuration(text: string, option: string, longestMs: number = LONGEST_MS): number {
  if (!DURATION.test(text)) {
    throw new CommandError(`${option} '${text}': expected a duration such as 30s, 5m, 1h30m or 0`);
  }
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g))
    sum += Number(count) * UNITS[unit as keyof typeof UNITS];
  if (sum > longestMs) throw new CommandError(`${option} '${text}': expected at most 24h`);
  return sum;
}

/** An age as two units at most: `45s`, `12m`, `3h20m`, `3d4h`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  const [minutes, hours, days] = [
    Math.floor(seconds / 60),
    Math.floor(seconds / 3600),
    Math.floor(seconds / 86_400),
  ];
  if (hours < 1) return `${minutes}m`;
  if (days < 1) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
}

/** A duration as somebody would type it, whole: `1m30s`. */
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
