import { overviewOf } from '../../ipam/map/map.ts';
import type { Forecasts, ReadForecasts } from '../../ipam/query/forecasts.ts';
import type { RangeUsage } from '../../ipam/query/range-usage.ts';
import { forecastJson } from '../render/forecast.ts';
import type { MapData } from './map-data.ts';

/** Until when ranges last, for the page. Samples are hourly, so that they are read now and then. */
export class RangeForecasts {
  readonly #data: MapData;
  readonly #now: () => number;
  readonly #read: (usages: readonly RangeUsage[]) => Promise<ReadForecasts>;
  #forecasts: Forecasts | undefined;

  /** @param read reads the samples of etcd */
  constructor(
    data: MapData,
    now: () => number,
    read: (usages: readonly RangeUsage[]) => Promise<ReadForecasts>,
  ) {
    this.#data = data;
    this.#now = now;
    this.#read = read;
  }

  /** @throws IpamError `store-…`: what was read before counts then */
  async refresh(): Promise<void> {
    const { source } = this.#data.now() ?? {};
    if (!source) return;
    const usages = overviewOf(source, this.#now()).map(({ range, capacity, counts, blocks }) => {
      const { used: allocated, cooling, kept, free } = counts;
      return { range, capacity, allocated, cooling, kept, free: free + cooling, blocks };
    });
    this.#forecasts = (await this.#read(usages)).forecasts;
  }

  /** What is told of a range; nothing until samples were read. */
  of(range: string): { readonly forecast?: object | null } {
    const forecasts = this.#forecasts;
    if (!forecasts) return {};
    return { forecast: forecastJson(forecasts, forecasts.ranges.get(range), this.#now()) };
  }
}
