import type { Effects } from '../../ipam/model/effects.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import type { HeldBlock } from '../../ipam/node/node-blocks.ts';
import { silentObserver, type Observer } from '../../ipam/node/observer.ts';
import { OvsdbError } from '../ovsdb/errors.ts';
import { judge, nextUse, type HealthReport, type ServerKind, type ServerUse } from './health.ts';
import { Metrics } from './metrics.ts';
import { useByRange, type RangeUse } from './range-use.ts';

/** Codes that say that the database does not serve; with any other it has answered. */
const DATABASE_AWAY: readonly string[] = ['unreachable', 'connection-lost', 'timeout', 'protocol'];

/** What the agent knows of its own work: metrics, the health of its servers, and what the node holds. */
export class Watch {
  readonly metrics: Metrics;
  readonly #now: () => number;
  readonly #uses = new Map<string, ServerUse>();
  /** By cluster and node: a simulated one may be several. */
  readonly #held = new Map<string, readonly HeldBlock[]>();

  /**
   * @param pending how many teardowns are put off; it may throw
   */
  constructor(
    version: string,
    { now, monotonic }: Pick<Effects, 'now' | 'monotonic'>,
    pending: () => number,
  ) {
    this.#now = now;
    const ranges = (): RangeUse[] => useByRange([...this.#held.values()].flat(), now());
    this.metrics = new Metrics(version, { ranges, pending }, monotonic);
  }

  /** What IPAM tells of one etcd cluster. @param cluster any text that is its own */
  observer(cluster: string): Observer {
    const keyOf = (node: string): string => `${cluster} ${node}`;
    return {
      ...silentObserver,
      holds: (node, blocks) => void this.#held.set(keyOf(node), blocks),
      wrote: (tally) => this.metrics.countAddresses(tally),
    };
  }

  /** A request to etcd ended. @param error undefined: it succeeded */
  usedEtcd(endpoints: string, error: unknown): void {
    if (error instanceof IpamError) this.metrics.countEtcdError(error.code);
    this.#used('etcd', endpoints, error === undefined ? undefined : messageOf(error));
  }

  /** A request to Open vSwitch ended. @param error undefined: it succeeded */
  usedSwitch(remote: string, error: unknown): void {
    if (!(error instanceof OvsdbError)) {
      if (error === undefined) this.#used('ovsdb', remote, undefined);
      return;
    }
    this.metrics.countOvsdbError(error.code);
    this.#used('ovsdb', remote, DATABASE_AWAY.includes(error.code) ? error.message : undefined);
    if (error.code === 'port-timeout') this.#used('ovs-vswitchd', remote, error.message);
  }

  /** Whether ovs-vswitchd carried out what it was asked to. */
  usedVswitchd(remote: string, does: boolean): void {
    this.#used('ovs-vswitchd', remote, does ? undefined : 'it does not carry out what the database says');
  }

  health(): HealthReport {
    return judge([...this.#uses.values()]);
  }

  /** Forgets servers and holdings: the next calls tell anew. The counters go on. */
  forget(): void {
    this.#uses.clear();
    this.#held.clear();
  }

  #used(server: ServerKind, at: string, reason: string | undefined): void {
    const key = `${server} ${at}`;
    this.#uses.set(key, nextUse(this.#uses.get(key), { server, at }, this.#now(), reason));
  }
}
