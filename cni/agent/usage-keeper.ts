import type { Effects, Timer } from '../../ipam/model/effects.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { sampleUsage } from '../../ipam/query/usage-samples.ts';
import { HOUR_MS, type Forecast } from '../../ipam/records/usage-record.ts';
import type { Store } from '../../ipam/store/store.ts';
import type { Log } from '../platform/platform.ts';

/** Bounds of the wait after the agent began, in milliseconds. */
const FIRST_MS = { least: 5_000, most: 60_000 };
/**
 * Within so many milliseconds of an hour's begin every agent looks once. The first takes the
 * sample; to all others it costs one read of two keys.
 */
const SPREAD_MS = 30 * 60_000;
/** Wait after a failed look, in milliseconds, and up to twice as long. */
const RETRY_MS = 5 * 60_000;

export interface UsageKeeperContext {
  /** Not the observed one: a sample decides nothing, so that it fails is no trouble of etcd's. */
  readonly store: Store;
  readonly effects: Effects;
  readonly log: Log;
  readonly told: (forecast: Forecast | undefined) => void;
  readonly failed: () => void;
}

/** Sees to it that etcd has a sample of the usage for each hour, together with all other agents. */
export class UsageKeeper {
  readonly #context: UsageKeeperContext;
  #timer: Timer | undefined;
  #isStopped = false;
  #hasFailed = false;

  constructor(context: UsageKeeperContext) {
    this.#context = context;
  }

  /** A repeated call changes nothing. */
  start(): void {
    const { least, most } = FIRST_MS;
    if (!this.#timer) this.#schedule(least + this.#context.effects.random() * (most - least));
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #schedule(ms: number): void {
    if (this.#isStopped) return;
    this.#timer = this.#context.effects.schedule(ms, () => {
      void this.#look().then((next) => this.#schedule(next));
    });
  }

  /** Never rejects. @returns the milliseconds until the next look */
  async #look(): Promise<number> {
    const { store, effects, log, told, failed } = this.#context;
    try {
      told(await sampleUsage({ store, effects }));
      if (this.#hasFailed) log.info('the usage can be sampled again');
      this.#hasFailed = false;
      const now = effects.now();
      return HOUR_MS - (now % HOUR_MS) + effects.random() * SPREAD_MS;
    } catch (error) {
      if (this.#isStopped) return HOUR_MS;
      failed();
      if (!this.#hasFailed)
        log.info('the usage cannot be sampled: tried again', { reason: messageOf(error) });
      this.#hasFailed = true;
      return RETRY_MS * (1 + effects.random());
    }
  }
}
