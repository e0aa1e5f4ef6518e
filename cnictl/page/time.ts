/** Times and numbers as texts. */

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** `3 d 4 h`, `12 min`, `5 s`: the two largest units. */
export function spanText(ms: number): string {
  const first = UNITS.findIndex(([, size]) => ms >= size);
  const [unit, size] = UNITS[first] ?? ['s', 1_000];
  const whole = Math.max(0, Math.floor(ms / size));
  const [smaller, smallerSize] = UNITS[first + 1] ?? ['', 0];
  const rest = first < 0 || smallerSize === 0 ? 0 : Math.floor((ms - whole * size) / smallerSize);
  return `${whole} ${unit}${rest > 0 && whole < 10 ? ` ${rest} ${smaller}` : ''}`;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** A time of this browser's zone, to the second: `2026-01-31 03:15:00`. */
export function clockText(iso: string): string {
  const time = new Date(iso);
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** What an `<input type="datetime-local">` takes. */
export const inputText = (iso: string): string => clockText(iso).replace(' ', 'T');

/** Returns 03:00 of the night before a time, in this browser's zone. */
export function lastNight(nowMs: number): Date {
  const night = new Date(nowMs);
  night.setHours(3, 0, 0, 0);
  if (night.getTime() > nowMs) night.setDate(night.getDate() - 1);
  return night;
}

export const numberText = (value: number): string =>
  value >= 1e15 ? value.toExponential(1) : String(value).replace(/\B(?=(\d{3})+$)/g, ' ');

/** `92 %`; `<1 %` and `>99 %` where rounding would say nothing, or all. */
export function percentText(part: number, of: number): string {
  if (of <= 0) return '-';
  const percent = (100 * part) / of;
  if (percent > 0 && percent < 1) return '<1 %';
  if (percent > 99 && percent < 100) return '>99 %';
  return `${Math.round(percent)} %`;
}

/** When a range will be full, and of what: its addresses, or blocks for further nodes. */
export interface Full {
  readonly at: number;
  readonly of: string;
}

/** Reads the server's forecast; undefined: not full at the present pace, or nothing is known. */
export function fullOf(forecast: unknown): Full | undefined {
  const full = field(forecast, 'full');
  const at = field(full, 'at');
  const ms = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  const of = field(full, 'of');
  return Number.isFinite(ms) ? { at: ms, of: typeof of === 'string' ? of : 'addresses' } : undefined;
}

const field = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;

/** `full in 12 d`, `full now`, `blocks full in 3 d`; undefined: nothing to tell. */
export function fullText(forecast: unknown, nowMs: number): string | undefined {
  const full = fullOf(forecast);
  if (!full) return undefined;
  const of = full.of === 'addresses' ? '' : `${full.of} `;
  if (full.at <= nowMs) return `${of}full now`;
  const days = Math.floor((full.at - nowMs) / 86_400_000);
  return days > 3_650 ? undefined : `${of}full in ${days > 2 ? `${days} d` : spanText(full.at - nowMs)}`;
}

/** A number with its noun: `1 range`, `2 ranges`. */
export const countText = (n: number, one: string): string => `${numberText(n)} ${one}${n === 1 ? '' : 's'}`;
