import type { Effects } from '../../ipam/model/effects.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import type { HeldBlock } from '../../ipam/node/node-blocks.ts';
import { silentObserver, type Observer } from '../../ipam/node/observer.ts';
import type { AgentReport } from '../../ipam/records/agent-report.ts';
import { OvsdbError } from '../ovsdb/errors.ts';
import { judge, nextUse, type HealthReport, type ServerKind, type ServerUse } from './health.ts';
import { Metrics } from './metrics.ts';
import type { Scraped } from './scraped.ts';
import { selfReport } from './self-report.ts';
import { useByRange, type RangeUse } from './range-use.ts';

/** Codes of a database that does not serve. With any other code the database has answered. */
const DATABASE_AWAY: readonly string[] = ['unreachable', 'connection-lost', 'timeout', 'protocol'];

/** Collects the agent's metrics, the health of its servers, and the node blocks. */
export class Watch {
  readonly metrics: Metrics;
  readonly #version: string;
  readonly #now: () => number;
  readonly #pending: () => number;
  readonly #uses = new Map<string, ServerUse>();
  /** Node blocks by cluster and node. One agent may serve several simulated nodes. */
  readonly #held = new Map<string, readonly HeldBlock[]>();

  /**
   * @param pending returns the number of deferred teardowns; may throw
   * @param past returns the calls that plugins served themselves
   */
  constructor(
    version: string,
    { now, monotonic }: Pick<Effects, 'now' | 'monotonic'>,
    pending: () => number,
    past?: Scraped['past'],
  ) {
    this.#version = version;
    this.#now = now;
    this.#pending = pending;
    const ranges = (): RangeUse[] => useByRange([...this.#held.values()].flat(), now());
    this.metrics = new Metrics(version, { ranges, pending, ...(past && { past }) }, monotonic);
  }

  /**
   * Returns the observer of one etcd cluster.
   * @param cluster any text that is unique to the cluster
   */
  observer(cluster: string): Observer {
    const keyOf = (node: string): string => `${cluster} ${node}`;
    return {
      ...silentObserver,
      holds: (node, blocks) => void this.#held.set(keyOf(node), blocks),
      wrote: (tally) => this.metrics.countAddresses(tally),
      wroteBack: (_, result) => this.metrics.countWriteBack(result),
    };
  }

  /** Records the end of a request to etcd. @param error undefined when it succeeded */
  usedEtcd(endpoints: string, error: unknown): void {
    if (error instanceof IpamError) this.metrics.countEtcdError(error.code);
    this.#used('etcd', endpoints, error === undefined ? undefined : messageOf(error));
  }

  /** Records whether etcd takes writes. @param refusal why not; undefined when it does */
  wroteEtcd(endpoints: string, refusal: IpamError | undefined): void {
    this.#used('etcd-writes', endpoints, refusal?.message);
  }

  /** Records the end of a request to Open vSwitch. @param error undefined when it succeeded */
  usedSwitch(remote: string, error: unknown): void {
    if (!(error instanceof OvsdbError)) {
      if (error === undefined) this.#used('ovsdb', remote, undefined);
      return;
    }
    this.metrics.countOvsdbError(error.code);
    // The database was not asked.
    if (error.code === 'busy') return;
    this.#used('ovsdb', remote, DATABASE_AWAY.includes(error.code) ? error.message : undefined);
    if (error.code === 'port-timeout') this.#used('ovs-vswitchd', remote, error.message);
  }

  /** Records whether ovs-vswitchd carried out a change. */
  usedVswitchd(remote: string, does: boolean): void {
    this.#used('ovs-vswitchd', remote, does ? undefined : 'it does not carry out what the database says');
  }

  health(): HealthReport {
    return judge([...this.#uses.values()]);
  }

  /** Returns what this agent tells etcd of itself. */
  report(): AgentReport {
    const { served, failed, plugin } = this.metrics.calls;
    return selfReport({
      ...{ version: this.#version, plugin, health: this.health(), calls: { served, failed } },
      ...{ pending: this.#pending, now: this.#now() },
    });
  }

  /** Forgets servers and node blocks; the next calls report them again. Counters keep going. */
  forget(): void {
    this.#uses.clear();
    this.#held.clear();
  }

  #used(server: ServerKind, at: string, reason: string | undefined): void {
    const key = `${server} ${at}`;
    this.#uses.set(key, nextUse(this.#uses.get(key), { server, at }, this.#now(), reason));
  }
}
