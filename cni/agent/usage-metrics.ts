import { Counter, Gauge, type Registry } from 'prom-client';
import { familyName } from '../../ipam/model/address.ts';
import type { Forecast, Rooms } from '../../ipam/records/usage-record.ts';

/** A kind of thing that becomes full. */
type Label = 'range' | 'family' | 'rule';

/**
 * How full ranges are in the whole cluster, and when they are full at the present pace: by the
 * newest forecast in etcd.
 */
export class UsageMetrics {
  readonly #failures: Counter;
  #forecast: Forecast | undefined;

  /**
   * @param isTold returns, for one scrape, what says whether this process tells of a range: an
   *   agent does where its node holds blocks
   * @param withRules true for a process of which the cluster has one
   */
  constructor(registers: Registry[], isTold: () => (range: string) => boolean, withRules: boolean) {
    this.#add(registers, 'range', 'a range', () => {
      const isOurs = isTold();
      return [...(this.#forecast?.ranges ?? [])].filter(([name]) => isOurs(name));
    });
    this.#add(registers, 'family', 'all ranges that serve every pod', () =>
      [...(this.#forecast?.families ?? [])].map(([family, rooms]) => [
        familyName(family).toLowerCase(),
        rooms,
      ]),
    );
    if (withRules) this.#add(registers, 'rule', 'the ranges of a rule', () => this.#forecast?.rules ?? []);
    const forecast = (): Forecast | undefined => this.#forecast;
    new Gauge({
      name: 'cellnet_usage_sampled_timestamp_seconds',
      help: 'When the usage of the cluster was last sampled, in seconds since 1970; 0: never',
      registers,
      collect() {
        this.set((forecast()?.at ?? 0) / 1000);
      },
    });
    this.#failures = new Counter({
      name: 'cellnet_usage_failures_total',
      help: 'Samples of the usage that could not be taken or read; each is tried again',
      registers,
    });
  }

  /** @param forecast undefined where there is none yet, or it cannot be read */
  told(forecast: Forecast | undefined): void {
    this.#forecast = forecast;
  }

  failed(): void {
    this.#failures.inc();
  }

  /** For example `cellnet_range_full_timestamp_seconds{range="blue",of="blocks",pace="day"}`. */
  #add(
    registers: Registry[],
    label: Label,
    whose: string,
    all: () => Iterable<readonly [string, Rooms]>,
  ): void {
    const each = (tell: (labels: Record<Label | 'of', string>, room: Rooms['addresses']) => void): void => {
      for (const [name, { addresses, blocks }] of all()) {
        tell({ [label]: name, of: 'addresses' } as Record<Label | 'of', string>, addresses);
        tell({ [label]: name, of: 'blocks' } as Record<Label | 'of', string>, blocks);
      }
    };
    const gauge = (name: string, help: string, value: (room: Rooms['addresses']) => number): void => {
      new Gauge({
        name: `cellnet_${label}_${name}`,
        help,
        labelNames: [label, 'of'],
        registers,
        collect() {
          this.reset();
          each((labels, room) => this.set(labels, value(room)));
        },
      });
    };
    gauge('capacity', `Addresses that pods can have, and blocks, of ${whose}`, ({ capacity }) => capacity);
    gauge('taken', `Of these, used or kept addresses, and claimed blocks, of ${whose}`, ({ taken }) => taken);
    new Gauge({
      name: `cellnet_${label}_full_timestamp_seconds`,
      help: `When the last address, or block, of ${whose} is taken at the pace of the last day or week, in seconds since 1970; no series: not at this pace`,
      labelNames: [label, 'of', 'pace'],
      registers,
      collect() {
        this.reset();
        each((labels, { fullAt }) => {
          for (const pace of ['day', 'week'] as const) {
            const at = fullAt[pace];
            if (at !== undefined) this.set({ ...labels, pace }, at / 1000);
          }
        });
      },
    });
  }
}
