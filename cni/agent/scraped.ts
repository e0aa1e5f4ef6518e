import { Counter, Gauge, type Registry } from 'prom-client';
import { PAST_AGENT, type PastAgent } from '../host/past-agent.ts';
import type { RangeUse } from './range-use.ts';

/** Values that the agent looks up at each scrape. */
export interface Scraped {
  readonly ranges: () => readonly RangeUse[];
  /** Returns the number of deferred teardowns. May throw: the metric is then NaN. */
  readonly pending: () => number;
  /** Returns the calls that plugins served themselves since the agent began. */
  readonly past?: () => Readonly<Record<PastAgent, number>>;
}

/** Adds the gauges that look up their values at each scrape. */
export function addScraped(registers: Registry[], { ranges, pending, past }: Scraped): void {
  new Counter({
    name: 'cellnet_calls_past_agent_total',
    help: 'Calls that plugins served themselves since this agent began, by reason (configured, unanswered, hung)',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      const counts = past?.();
      for (const reason of PAST_AGENT) this.inc({ reason }, counts?.[reason] ?? 0);
    },
  });
  new Gauge({
    name: 'cellnet_blocks_held',
    help: "Blocks that this node holds, by range; no series before the agent's first use of them",
    labelNames: ['range'],
    registers,
    collect() {
      this.reset();
      for (const { range, blocks } of ranges()) this.set({ range }, blocks);
    },
  });
  new Gauge({
    name: 'cellnet_addresses',
    help: "Addresses in this node's blocks, by range and state (free, used, cooling, kept), without the reserved",
    labelNames: ['range', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { range, free, used, cooling, kept } of ranges()) {
        this.set({ range, state: 'free' }, free);
        this.set({ range, state: 'used' }, used);
        this.set({ range, state: 'cooling' }, cooling);
        this.set({ range, state: 'kept' }, kept);
      }
    },
  });
  new Gauge({
    name: 'cellnet_pending_releases',
    help: 'Teardowns that are put off until etcd and Open vSwitch answer; NaN where they cannot be counted',
    registers,
    collect() {
      this.set(orNaN(pending));
    },
  });
}

function orNaN(count: () => number): number {
  try {
    return count();
  } catch {
    return NaN;
  }
}
