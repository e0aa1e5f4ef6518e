import { durationMs } from '../../ipam/model/duration.ts';
import { CommandError } from './errors.ts';

export { formatDuration } from '../../ipam/model/duration.ts';

/** No wait needs more. The limit catches a typing error such as 30d for 30s. */
const LONGEST_MS = 86_400_000;

/**
 * Parses `30s`, `5m`, `1h30m` or `0` into milliseconds.
 * @param longestMs 24 hours; `Infinity` for a duration that is not a wait
 * @throws CommandError
 */
export function parseDuration(text: string, option: string, longestMs: number = LONGEST_MS): number {
  const sum = durationMs(text);
  if (sum === undefined)
    throw new CommandError(`${option} '${text}': expected a duration such as 30s, 5m, 1h30m or 0`);
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
