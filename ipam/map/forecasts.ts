import type { Forecasts, ReadForecasts } from '../query/forecasts.ts';
import { rangeUsageOf, type RangeUsage } from '../query/range-usage.ts';
import { overviewOf, type RangeOverview } from './map.ts';
import type { MapSource } from './source.ts';

/** Samples are hourly, so that they are read now and then, in milliseconds. */
const EVERY_MS = 600_000;

/** The usage of a range, as `range list` counts it. */
const usageOf = ({ range, capacity, counts, blocks }: RangeOverview): RangeUsage =>
  rangeUsageOf(range, capacity, {
    used: counts.used,
    cooling: counts.cooling + counts.conflict,
    kept: counts.kept,
    hidden: counts.unknown,
    blocks,
  });

export interface ForecastWorld {
  /** Undefined until etcd was read for the first time. */
  readonly source: () => MapSource | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Reads the samples. @throws IpamError `store-…` */
  readonly read: (usages: readonly RangeUsage[]) => Promise<ReadForecasts>;
}

/** Until when the ranges of a map last. */
export class MapForecasts {
  readonly #world: ForecastWorld;
  #current: Forecasts | undefined;

  constructor(world: ForecastWorld) {
    this.#world = world;
  }

  /** Undefined until samples were read. */
  get current(): Forecasts | undefined {
    return this.#current;
  }

  /** @throws IpamError `store-…`: what was read before counts then */
  async refresh(): Promise<void> {
    const source = this.#world.source();
    if (!source) return;
    const usages = overviewOf(source, this.#world.now()).map(usageOf);
    this.#current = (await this.#world.read(usages)).forecasts;
  }

  /**
   * Reads again and again until the signal. While nothing can be read, what was read before
   * counts.
   */
  async keep(pause: (ms: number, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.refresh().catch(() => undefined);
      await pause(EVERY_MS, signal);
    }
  }
}
