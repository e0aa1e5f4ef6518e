/** Says until when ranges last (docs/operations/range-full.md). */
import { familyName, formatCidr, type Family } from '../../ipam/model/address.ts';
import type { Range } from '../../ipam/model/range.ts';
import { fullAtOf, type Outlook, type Outlooks } from '../../ipam/query/forecast.ts';
import { firstFull, type Forecasts, type Growth, type RoomsForecast } from '../../ipam/query/forecasts.ts';
import { nextRange, type NextRange } from '../../ipam/query/next-range.ts';
import { plural } from './plural.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Formats how long something lasts: `31h`, `34d`, `3y`. */
export function spanText(ms: number): string {
  const hours = Math.max(0, Math.floor(ms / HOUR_MS));
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  return days < 1_000 ? `${days}d` : `${Math.floor(days / 365)}y`;
}

const dayText = (at: number): string => new Date(at).toISOString().slice(0, 10);

/** Formats a growth in a day: `+40`, `+0.3`, `-2.5`. */
function paceText(perDay: number): string {
  const rounded = Math.abs(perDay) < 10 ? Math.round(perDay * 10) / 10 : Math.round(perDay);
  return `${rounded > 0 ? '+' : ''}${rounded === 0 ? 0 : rounded} a day`;
}

/** The cell of a range in a table: `34d`, `12d (blocks)`, `now`; `-`: not at this pace. */
export function fullInText(forecast: RoomsForecast | undefined, now: number): string {
  if (!forecast) return '-';
  const full = firstFull(forecast, now);
  if (full) {
    const when = full.at <= now ? 'now' : spanText(full.at - now);
    return full.what === 'blocks' ? `${when} (blocks)` : when;
  }
  const { day, week } = forecast.addresses.outlooks;
  return day.kind === 'too-early' && week.kind === 'too-early' ? 'too early' : '-';
}

function outlookText(outlook: Outlook, now: number): string {
  switch (outlook.kind) {
    case 'full':
      return 'full now';
    case 'grows':
      return `${spanText(outlook.fullAt - now)}, until ${dayText(outlook.fullAt)} (${paceText(outlook.perDay)})`;
    case 'lasts':
      return `not full at this pace (${paceText(outlook.perDay)})`;
    case 'too-early':
      return `too early, ${outlook.hours} h of ${outlook.neededHours} h`;
  }
}

/** Says until when something lasts at both paces, in one line. */
export function outlooksText({ day, week }: Outlooks, now: number): string {
  if (day.kind === 'full') return 'full now';
  return `last day: ${outlookText(day, now)}; last week: ${outlookText(week, now)}`;
}

/** The fields of one range. */
export const lastFields = (
  { addresses, blocks }: RoomsForecast,
  now: number,
): [name: string, text: string][] => [
  ['Addresses last', outlooksText(addresses.outlooks, now)],
  ['Blocks last', `${outlooksText(blocks.outlooks, now)}; then no further node gets one`],
];

/**
 * The fields of what several ranges have together, by family. An IPv6 range nearly always lasts:
 * then nothing is said of it.
 */
export const familyFields = (
  { sampled }: Pick<Forecasts, 'sampled'>,
  families: Iterable<readonly [Family, RoomsForecast]>,
  now: number,
): [name: string, text: string][] =>
  [...families].flatMap(([family, { addresses }]): [string, string][] => {
    const { day, week } = addresses.outlooks;
    if (!sampled || (family === 6 && fullAtOf(day, now) === undefined && fullAtOf(week, now) === undefined))
      return [];
    return [[`${familyName(family)} lasts`, outlooksText(addresses.outlooks, now)]];
  });

/** Returns what to tell about the next range, by family. */
export const nextRanges = (
  { families }: Forecasts,
  ranges: readonly Range[],
  now: number,
): readonly NextRange[] =>
  [...families].flatMap(([family, forecast]) => nextRange(family, forecast, ranges, now) ?? []);

/** Says in sentences which range to add next, and from when; empty while the ranges last. */
export function adviceText(forecasts: Forecasts, ranges: readonly Range[], now: number): string {
  return nextRanges(forecasts, ranges, now)
    .map((next) => {
      const { family, what, fullAt, askAt } = next;
      const left = what === 'addresses' ? 'no address is left' : 'no block is left for a further node';
      const when = fullAt <= now ? 'now' : `in ${spanText(fullAt - now)} (${dayText(fullAt)})`;
      const ask = askAt <= now ? 'now' : `by ${dayText(askAt)}`;
      const most = growthText(forecasts.growing.get(family) ?? []);
      return `${familyName(family)}: ${left} ${when}.\nAsk for the next range ${ask}: ${sizesText(next)}.\n${most}`;
    })
    .join('');
}

function sizesText({ beside, size }: NextRange): string {
  const lasts = (days: number): string => (days === Infinity ? '' : ` would last ${spanText(days * DAY_MS)}`);
  const texts = [
    ...(beside ? [`${formatCidr(beside.cidr)} beside${lasts(beside.days)}`] : []),
    ...(size ? [`a /${size.prefixLength}${lasts(size.days)}`] : []),
  ];
  return texts.join(', ') || 'cnictl range add';
}

const growthText = (growing: readonly Growth[]): string =>
  growing.length === 0
    ? ''
    : `Most growth: ${growing.map(({ name, perDay }) => `${name} ${paceText(perDay)}`).join(', ')}.\n`;

const isoOrNull = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString();

function outlookJson(outlook: Outlook): object {
  return {
    state: outlook.kind,
    perDay: 'perDay' in outlook ? outlook.perDay : null,
    fullAt: outlook.kind === 'grows' ? isoOrNull(outlook.fullAt) : null,
    ...(outlook.kind === 'too-early' && { hours: outlook.hours, neededHours: outlook.neededHours }),
  };
}

const outlooksJson = ({ day, week }: Outlooks): object => ({
  day: outlookJson(day),
  week: outlookJson(week),
});

/**
 * Scripts and the map rely on these keys. More keys may be added.
 * @returns null where nothing was sampled yet, or the range is draining
 */
export function forecastJson(
  { sampled }: Pick<Forecasts, 'sampled'>,
  forecast: RoomsForecast | undefined,
  now: number,
): object | null {
  if (!forecast || !sampled) return null;
  const full = firstFull(forecast, now);
  return {
    full: full ? { of: full.what, at: isoOrNull(full.at) } : null,
    addresses: outlooksJson(forecast.addresses.outlooks),
    blocks: outlooksJson(forecast.blocks.outlooks),
  };
}

/** The forecast of the whole cluster; null where nothing was sampled yet. */
export function clusterForecastJson(
  forecasts: Forecasts,
  ranges: readonly Range[],
  now: number,
): object | null {
  const { sampled, families, growing } = forecasts;
  if (!sampled) return null;
  const next = nextRanges(forecasts, ranges, now);
  return {
    samples: { first: isoOrNull(sampled.first), last: isoOrNull(sampled.last) },
    families: Object.fromEntries(
      [...families].map(([family, forecast]) => [
        familyName(family).toLowerCase(),
        { ...forecastJson(forecasts, forecast, now), growing: growing.get(family) ?? [] },
      ]),
    ),
    next: next.map(({ family, what, fullAt, askAt, beside, size }) => ({
      family: familyName(family).toLowerCase(),
      full: { of: what, at: isoOrNull(fullAt) },
      askAt: isoOrNull(askAt),
      beside: beside ? { cidr: formatCidr(beside.cidr), days: finite(beside.days) } : null,
      size: size ? { prefixLength: size.prefixLength, days: finite(size.days) } : null,
    })),
  };
}

const finite = (days: number): number | null => (Number.isFinite(days) ? Math.floor(days) : null);

/** Says that samples cannot be read; undefined where all can. */
export function unreadableSamplesText(
  unreadable: readonly { readonly reason: string }[],
): string | undefined {
  const [first] = unreadable;
  return first && `${plural(unreadable.length, 'sample')} of the usage not counted: ${first.reason}`;
}
