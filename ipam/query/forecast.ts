/**
 * When something is full, by samples of how much of it was taken. Pure. The estimates are medians,
 * so that a burst, a rolling update or a day's work of an autoscaler does not pass for growth
 * (docs/decisions/0044-time-until-full.md).
 */
import { DAY_MS, HOUR_MS } from '../records/usage-record.ts';

/** How much was taken at a time, in milliseconds since 1970. */
export interface Point {
  readonly at: number;
  readonly value: number;
}

/** Growth in a day, or how much of the window the samples cover so far. */
export type Pace =
  | { readonly kind: 'known'; readonly perDay: number }
  | { readonly kind: 'too-early'; readonly hours: number; readonly neededHours: number };

/** The windows of the two paces, in milliseconds. */
const WINDOW_MS = { day: DAY_MS, week: 7 * DAY_MS } as const;
export type Window = keyof typeof WINDOW_MS;

/** Part of the window's hours that must have a sample. */
const COVERED = 0.75;
/** Samples are taken at any time of their hour: two a day apart differ from a day by less. */
const SLACK_MS = HOUR_MS;
/** Pairs of samples a day apart from which the day's pace is taken; with fewer, from all pairs. */
const FEWEST_PAIRS = 12;

/** Part of the comparisons that must tell growth, or shrinking. */
const AGREEING = 0.6;

/** Further away than anybody plans: such a time counts as none. */
const FAR_MS = 3_650 * DAY_MS;

/**
 * Returns the pace of the day or the week before `now`. Samples are compared with those of the same
 * hour of other days (the seasonal Kendall slope), so that the daily rise and fall cancels out.
 * Before there are two days of samples, all pairs of the last day count (Theil-Sen).
 * @param points in any order; those of the future, by a clock that is ahead, are ignored
 */
export function paceOf(points: readonly Point[], window: Window, now: number): Pace {
  const past = points.filter(({ at }) => at <= now + SLACK_MS).sort((a, b) => a.at - b.at);
  const recent = past.filter(({ at }) => at > now - WINDOW_MS[window] - SLACK_MS);
  const neededHours = WINDOW_MS[window] / HOUR_MS;
  const hours = Math.min(neededHours, coveredHours(recent));
  if (hours < neededHours * COVERED) return { kind: 'too-early', hours, neededHours };
  const slopes = window === 'week' ? slopesByHour(recent, recent) : slopesByHour(past, recent, 1);
  return { kind: 'known', perDay: trendOf(slopes.length >= FEWEST_PAIRS ? slopes : allSlopes(recent)) };
}

/**
 * Returns the median, unless growth and shrinking are about as frequent. What was deployed once, in
 * the middle of the window, makes more than half of the slopes steep.
 */
function trendOf(slopes: readonly number[]): number {
  const up = slopes.filter((slope) => slope > 0).length;
  const down = slopes.filter((slope) => slope < 0).length;
  return Math.max(up, down) >= slopes.length * AGREEING ? median(slopes) : 0;
}

/** A sample stands for its hour, however many there are of it. */
const coveredHours = (points: readonly Point[]): number =>
  new Set(points.map(({ at }) => Math.floor(at / HOUR_MS))).size;

/**
 * Returns the slopes, in a day, between each later point and the earlier ones at the same hour of
 * other days.
 * @param mostDays how many days apart at most
 */
function slopesByHour(earlier: readonly Point[], later: readonly Point[], mostDays = Infinity): number[] {
  const slopes: number[] = [];
  for (const b of later) {
    for (const a of earlier) {
      const days = (b.at - a.at) / DAY_MS;
      const whole = Math.round(days);
      if (whole < 1 || whole > mostDays || Math.abs(days - whole) * DAY_MS > SLACK_MS) continue;
      slopes.push((b.value - a.value) / days);
    }
  }
  return slopes;
}

function allSlopes(points: readonly Point[]): number[] {
  return points.flatMap((b, i) =>
    points.slice(0, i).flatMap((a) => {
      const days = (b.at - a.at) / DAY_MS;
      return days > 0 ? [(b.value - a.value) / days] : [];
    }),
  );
}

/** Returns the middle value; 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? high) + high) / 2;
}

/** What becomes of something at a pace. */
export type Outlook =
  | { readonly kind: 'full' }
  | { readonly kind: 'grows'; readonly perDay: number; readonly fullAt: number }
  /** It shrinks, stays, or grows too slowly to be full within ten years. */
  | { readonly kind: 'lasts'; readonly perDay: number }
  | Extract<Pace, { kind: 'too-early' }>;

/** @param free how much is left at `now` */
export function outlookOf(pace: Pace, free: number, now: number): Outlook {
  if (free <= 0) return { kind: 'full' };
  if (pace.kind === 'too-early') return pace;
  const { perDay } = pace;
  const inMs = perDay > 0 ? (free / perDay) * DAY_MS : Infinity;
  return inMs > FAR_MS ? { kind: 'lasts', perDay } : { kind: 'grows', perDay, fullAt: now + inMs };
}

/** Returns when it is full: `now` where it is; undefined where nothing tells, or it lasts. */
export function fullAtOf(outlook: Outlook, now: number): number | undefined {
  if (outlook.kind === 'full') return now;
  return outlook.kind === 'grows' ? outlook.fullAt : undefined;
}

/** What becomes of something at the pace of the last day, and at that of the last week. */
export interface Outlooks {
  readonly day: Outlook;
  readonly week: Outlook;
}

/** @param points how much was taken, as for {@link paceOf} */
export const outlooksOf = (points: readonly Point[], free: number, now: number): Outlooks => ({
  day: outlookOf(paceOf(points, 'day', now), free, now),
  week: outlookOf(paceOf(points, 'week', now), free, now),
});

/** Returns the earlier time of both paces; undefined where neither tells one. */
export function firstFullAt({ day, week }: Outlooks, now: number): number | undefined {
  const times = [day, week].flatMap((each) => fullAtOf(each, now) ?? []);
  return times.length === 0 ? undefined : Math.min(...times);
}
