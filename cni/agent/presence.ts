import type { Effects, Timer } from '../../ipam/model/effects.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import type { LocalNode } from '../../ipam/node/local-node.ts';
import {
  aliveKey,
  ALIVE_TTL_MS,
  decodeAliveRecord,
  encodeAliveRecord,
} from '../../ipam/records/alive-record.ts';
import type { AgentReport } from '../../ipam/records/agent-report.ts';
import { decodeMachineRecord, machineKey } from '../../ipam/records/machine-record.ts';
import { absent, put, same } from '../../ipam/records/transaction.ts';
import type { LeasedStore } from '../../ipam/store/leases.ts';
import type { Log } from '../platform/platform.ts';
import { troubleOf } from './name-trouble.ts';
import { isReportDue } from './self-report.ts';

/** Usual time between two looks, in milliseconds: two may fail before the key ends. */
const EVERY_MS = ALIVE_TTL_MS / 3;
/** First pause after a failed look, in milliseconds. It doubles up to the usual time. */
const RETRY_MS = 1_000;
/** Longest wait for the end of the leases when the agent ends, in milliseconds. */
const WITHDRAW_MS = 2_000;

export interface PresenceContext {
  readonly store: LeasedStore;
  readonly effects: Effects;
  readonly local: Pick<LocalNode, 'machine' | 'bootId'>;
  readonly log: Log;
  /** When the agent began, in milliseconds since 1970. */
  readonly since: number;
  /** Whether the agent reconciles the node. */
  readonly reconciles: () => boolean;
  /** Returns what the agent tells of itself. Absent: that it lives, and no more. */
  readonly report?: () => AgentReport;
}

/** A node name under which this agent is alive. */
interface Announced {
  readonly node: string;
  /** The lease of the key, once it is written. */
  lease: string | undefined;
  /** What the agent told of itself last, and when by the monotonic clock. */
  reported: { readonly report: AgentReport; readonly at: number } | undefined;
  /** The trouble that the log tells of; '' for none. A look that fails does not change it. */
  told: string;
  failedInARow: number;
  timer: Timer | undefined;
  running: Promise<void>;
}

/**
 * Tells etcd that this agent is alive: one key for each node name, attached to a lease. Each look
 * reads two keys, and writes only when the key is not there as it should be: after a start, when
 * etcd lost it, or when what the agent tells of itself is due again (`isReportDue`). It decides
 * nothing (`AliveRecord`), and no call waits for it.
 */
export class Presence {
  readonly #context: PresenceContext;
  readonly #nodes = new Map<string, Announced>();
  #stopped = false;

  constructor(context: PresenceContext) {
    this.#context = context;
  }

  /**
   * Tells that this agent is alive under the name, from now on. A repeated call changes nothing.
   */
  announce(node: string): void {
    if (this.#stopped || this.#nodes.has(node)) return;
    const each: Announced = {
      node,
      lease: undefined,
      reported: undefined,
      told: '',
      failedInARow: 0,
      timer: undefined,
      running: Promise.resolve(),
    };
    this.#nodes.set(node, each);
    this.#schedule(each, 0);
  }

  /** Stops telling. The keys end by themselves, or another Presence takes them over. */
  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#nodes.values()) timer?.cancel();
  }

  /** Stops telling and deletes the keys: the agent ends. Never rejects, and takes 2 s at most. */
  async withdraw(): Promise<void> {
    this.stop();
    const { store, effects } = this.#context;
    const ends = [...this.#nodes.values()].map(async (each) => {
      await each.running;
      if (each.lease !== undefined) await store.leases.revoke(each.lease);
    });
    await Promise.race([Promise.allSettled(ends), effects.pause(WITHDRAW_MS)]);
  }

  #schedule(each: Announced, ms: number): void {
    if (this.#stopped) return;
    each.timer = this.#context.effects.schedule(ms, () => {
      each.running = this.#look(each);
      void each.running.then(() => this.#schedule(each, this.#pauseMs(each)));
    });
  }

  #pauseMs({ failedInARow }: Announced): number {
    const usual = EVERY_MS * (0.9 + 0.2 * this.#context.effects.random());
    return failedInARow === 0 ? usual : Math.min(usual, RETRY_MS * 2 ** Math.min(failedInARow - 1, 20));
  }

  async #look(each: Announced): Promise<void> {
    const { log } = this.#context;
    try {
      const trouble = await this.#tell(each);
      each.failedInARow = 0;
      if ((trouble?.message ?? '') === each.told) return;
      each.told = trouble?.message ?? '';
      if (trouble) log.error(trouble.message, { remedy: trouble.remedy });
      else log.info('this machine has its node name', { node: each.node });
    } catch (error) {
      if (this.#stopped) return;
      const { node } = each;
      if (each.failedInARow++ === 0)
        log.info('etcd cannot be told that this agent is alive: tried again', {
          node,
          reason: messageOf(error),
        });
    }
  }

  /** @returns the error if this machine is not the one that lives under the name */
  async #tell(each: Announced): Promise<IpamError | undefined> {
    const { store, local, since, reconciles } = this.#context;
    const { machine, bootId } = local;
    if (!machine || bootId === undefined) return undefined;
    const key = aliveKey(each.node);
    const [record, alive] = await store.get([machineKey(each.node), key]);
    const trouble = troubleOf(
      each.node,
      machine,
      record && decodeMachineRecord(record.key, record.value),
      alive && decodeAliveRecord(alive.key, alive.value),
    );
    if (trouble) {
      if (each.lease !== undefined) await store.leases.revoke(each.lease);
      each.lease = undefined;
      return trouble;
    }
    const idle = !reconciles() && ({ idle: true } as const);
    const agent = this.#reportOf(each);
    const value = encodeAliveRecord({
      machine: machine.id,
      bootId,
      since,
      ...idle,
      ...(agent && { agent }),
    });
    const known = each.lease;
    const isKept = known !== undefined && (await store.leases.keepAlive(known));
    if (isKept && alive?.value === value) return undefined;
    // If the write fails, its lease ends by itself.
    each.lease = undefined;
    const lease = isKept ? known : await store.leases.grant(ALIVE_TTL_MS);
    const written = await store.commit([alive ? same(alive) : absent(key)], [put(key, value, lease)]);
    if (written === undefined) throw new IpamError('contention', `another writer of ${key} was first`);
    each.lease = lease;
    return undefined;
  }

  /** Returns the latest report, or the one before as long as no other is due. */
  #reportOf(each: Announced): AgentReport | undefined {
    const report = this.#context.report?.();
    const at = this.#context.effects.monotonic();
    if (report && isReportDue(each.reported, { report, at })) each.reported = { report, at };
    return each.reported?.report;
  }
}
