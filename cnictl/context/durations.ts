import { CommandError } from './errors.ts';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(?:0|(?:\d+(?:ms|s|m|h|d))+)$/;
/** No wait needs more. The limit catches a typing error such as 30d for 30s. */
const LONGEST_MS = UNITS.d;

/**
 * Parses `30s`, `5m`, `1h30m` or `0` into milliseconds.
 * @param longestMs 24 hours; `Infinity` for a duration that is not a wait
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

/** Formats an age with at most two units: `45s`, `12m`, `3h20m`, `3d4h`. */
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

/** Formats a duration exactly, as an operator would type it: `1m30s`. */
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
