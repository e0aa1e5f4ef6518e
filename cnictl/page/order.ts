import type { RangeInfo } from './model.ts';
import { fullOf } from './time.ts';

/** In which order ranges are shown. */
export const ORDERS = [
  { order: 'name', text: 'by name' },
  { order: 'fullest', text: 'fullest first' },
  { order: 'trouble', text: 'trouble first' },
  { order: 'until-full', text: 'soonest full first' },
] as const;
export type Order = (typeof ORDERS)[number]['order'];

/** How much of the range is not free, from 0 to 1. */
export const fillOf = ({ capacity, counts }: RangeInfo): number =>
  capacity <= 0 ? 1 : Math.min(1, Math.max(0, (capacity - counts.free) / capacity));

export type Severity = 'bad' | 'warn' | undefined;

/** From which fill on an operator should look. */
const NEARLY = 0.85;
const AS_GOOD_AS = 0.95;

/** Returns how pressing the fill of a range is: a draining one is meant to give nothing. */
export function severityOf(range: RangeInfo): Severity {
  if (range.state === 'draining') return undefined;
  const fill = fillOf(range);
  return fill >= AS_GOOD_AS ? 'bad' : fill >= NEARLY ? 'warn' : undefined;
}

/** Returns the ranges in the order; equal ones stay as they are, by name. */
export function ordered(ranges: readonly RangeInfo[], order: Order): RangeInfo[] {
  const key = (range: RangeInfo): number => {
    switch (order) {
      case 'name':
        return 0;
      case 'fullest':
        return -fillOf(range);
      case 'trouble':
        return -(1e6 * (range.counts.conflict + range.counts.unknown) + fillOf(range));
      case 'until-full':
        return fullOf(range.forecast)?.at ?? Infinity;
    }
  };
  const keys = new Map(ranges.map((range) => [range, key(range)]));
  const of = (range: RangeInfo): number => keys.get(range) ?? 0;
  return [...ranges].sort((a, b) => (of(a) === of(b) ? 0 : of(a) - of(b)) || byName(a.name, b.name));
}

/** `blue-2` before `blue-10`. */
const byName = new Intl.Collator('en', { numeric: true }).compare;
