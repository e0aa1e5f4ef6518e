/** Which range to add next, and from when: advice for an operator. Pure. */
import {
  cidrContains,
  cidrSpan,
  familyBits,
  offsetAddress,
  parseCidr,
  spansOverlap,
  subnetOf,
  type Cidr,
  type Family,
} from '../model/address.ts';
import type { Range } from '../model/range.ts';
import { DAY_MS } from '../records/usage-record.ts';
import type { Outlook, Outlooks } from './forecast.ts';
import { firstFull, type RoomsForecast } from './forecasts.ts';

/** A range is asked for so long before the others are full, in milliseconds. */
const LEAD_MS = 14 * DAY_MS;
/** What is full later needs no advice yet, in milliseconds. */
const HORIZON_MS = 90 * DAY_MS;
/** How long a range is to last that is worth the trouble of adding it. */
const WORTH_DAYS = 90;
const BLOCK_SIZE = 16;

export interface NextRange {
  readonly family: Family;
  /** What ends first: without a block no further node gets addresses. */
  readonly what: 'addresses' | 'blocks';
  readonly fullAt: number;
  /** When the next range should be asked for, in milliseconds since 1970; in the past: now. */
  readonly askAt: number;
  /**
   * Beside the present ranges, and as large as the largest; undefined: all around it is taken, or
   * outside of the private network where the largest is.
   */
  readonly beside: { readonly cidr: Cidr; readonly days: number } | undefined;
  /** The smallest size that lasts for 90 days; undefined where `beside` does, or none does. */
  readonly size: { readonly prefixLength: number; readonly days: number } | undefined;
}

/**
 * @param forecast of all ranges of the family that serve every pod
 * @param ranges all of the cluster
 * @returns undefined while the ranges last for more than 90 days, or nothing tells
 */
export function nextRange(
  family: Family,
  forecast: RoomsForecast,
  ranges: readonly Range[],
  now: number,
): NextRange | undefined {
  const first = firstFull(forecast, now);
  if (!first || first.at > now + HORIZON_MS) return undefined;
  const growth = {
    addresses: perDayOf(forecast.addresses.outlooks),
    blocks: perDayOf(forecast.blocks.outlooks),
  };
  const daysOf = (prefixLength: number): number => {
    const size = 2 ** (familyBits(family) - prefixLength);
    const inDays = (room: number, perDay: number): number => (perDay > 0 ? room / perDay : Infinity);
    // Network, broadcast and gateway address are no pod's.
    return Math.min(inDays(size - 3, growth.addresses), inDays(size / BLOCK_SIZE, growth.blocks));
  };
  const cidr = subnetBeside(family, ranges);
  const beside = cidr && { cidr, days: daysOf(cidr.prefixLength) };
  const isEnough = beside !== undefined && beside.days >= WORTH_DAYS;
  const lengths = [26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16].map((n) => n + familyBits(family) - 32);
  const enough = isEnough ? undefined : lengths.find((length) => daysOf(length) >= WORTH_DAYS);
  return {
    ...{ family, what: first.what, fullAt: first.at, askAt: first.at - LEAD_MS, beside },
    size: enough === undefined ? undefined : { prefixLength: enough, days: daysOf(enough) },
  };
}

/** Returns the growth of the faster of both paces; 0 where nothing grows. */
export function perDayOf({ day, week }: Outlooks): number {
  const perDay = (outlook: Outlook): number => ('perDay' in outlook ? outlook.perDay : 0);
  return Math.max(0, perDay(day), perDay(week));
}

const MOST_STEPS = 256;

/** Networks that anybody may use within (RFC 1918, 6598, 4193): what follows them is another's. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map((text) =>
  parseCidr(text),
);

/** Returns the first free subnet after the range of the family that ends last of the largest. */
function subnetBeside(family: Family, ranges: readonly Range[]): Cidr | undefined {
  const members = ranges.filter(({ cidr, namedOnly }) => cidr.base.family === family && !namedOnly);
  const [largest] = members.map(({ cidr }) => cidr).sort((a, b) => a.prefixLength - b.prefixLength);
  if (!largest) return undefined;
  const { prefixLength } = largest;
  const size = 2n ** BigInt(familyBits(family) - prefixLength);
  // Multicast begins there (RFC 1112).
  const top = family === 4 ? 224n << 24n : 255n << 120n;
  const home = PRIVATE.find((network) => cidrContains(network, largest.base));
  const taken = ranges.map(({ cidr }) => cidrSpan(cidr));
  for (let step = 1n; step <= MOST_STEPS; step++) {
    if (largest.base.value + (step + 1n) * size > top) return undefined;
    const cidr = subnetOf(offsetAddress(largest.base, step * size), prefixLength);
    if (home && !cidrContains(home, cidr.base)) return undefined;
    if (!taken.some((span) => spansOverlap(span, cidrSpan(cidr)))) return cidr;
  }
  return undefined;
}
