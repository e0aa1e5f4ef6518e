import type { CellEvent } from '../../ipam/events/event.ts';

/** What happened to the addresses of a range since the map was opened. */
export interface Trend {
  readonly assigned: number;
  readonly ended: number;
}

export type Trends = ReadonlyMap<string, Trend>;

export const NO_TREND: Trend = { assigned: 0, ended: 0 };

/** Counts what more happened. */
export function withEvents(trends: Trends, events: readonly CellEvent[]): Trends {
  const counted = new Map(trends);
  for (const { type, range, containerId } of events) {
    if (range === null) continue;
    const { assigned, ended } = counted.get(range) ?? NO_TREND;
    if (type === 'assigned') counted.set(range, { assigned: assigned + 1, ended });
    // Without a container, an address that nobody used is kept for another pod, or kept no more.
    else if ((type === 'released' || type === 'kept') && containerId !== null)
      counted.set(range, { assigned, ended: ended + 1 });
  }
  return counted;
}

/** `+12 -3`; empty where nothing happened. */
export const trendText = ({ assigned, ended }: Trend): string =>
  [assigned > 0 ? `+${assigned}` : '', ended > 0 ? `-${ended}` : ''].filter((each) => each !== '').join(' ');
