import { Agent } from '../../cni/agent/agent.ts';
import type { AgentRequest } from '../../cni/agent/protocol.ts';
import { Reconciler } from '../../cni/agent/reconciler.ts';
import { warmIpam, type WarmIpam } from '../../cni/agent/warm-ipam.ts';
import type { Platform } from '../../cni/platform/platform.ts';
import { CniError } from '../../cni/protocol/errors.ts';
import type { Output } from '../../cni/protocol/invocation.ts';
import { reconcileSettings } from '../../cni/reconcile/settings.ts';
import { silentObserver } from '../../ipam/node/observer.ts';
import type { LeasedStore } from '../../ipam/store/leases.ts';
import type { Machine } from './machine.ts';
import { ENVIRONMENT, localNodeOf, logOf, platformOf } from './platform.ts';
import type { Process } from './process.ts';

/** How long a plugin waits for the agent's reply (cni/agent/client.ts), in milliseconds. */
const REPLY_WITHIN_MS = 90_000;
/** Usual time of a message through the agent's socket, in milliseconds. */
const LATENCY_MS = 0.2;

/**
 * The node agent of a machine: the real one, on the simulated platform. Only its sockets and its
 * metrics are left out.
 */
export class SimAgent {
  readonly #process: Process;
  readonly #agent: Agent;
  readonly #reconciler: Reconciler;
  readonly #warm: WarmIpam;
  #callsUnderWay = 0;

  constructor(machine: Machine, process: Process, store: LeasedStore) {
    this.#process = process;
    const { effects } = process;
    const log = logOf(process);
    const platform = (): Platform => ({
      ...platformOf(machine, process, (_, expiresAt) => ({
        ...ipam.until(expiresAt),
        close: () => undefined,
      })),
      inBurst: () => this.#callsUnderWay > 1,
    });
    this.#warm = warmIpam({
      etcd: store,
      store,
      effects,
      local: localNodeOf(platform(), { schedule: effects.schedule }),
      observer: silentObserver,
      log,
      since: effects.now(),
      reconciles: () => true,
    });
    const { ipam, keeper, presence } = this.#warm;
    this.#agent = new Agent(
      { forCall: platform, readShared: () => undefined },
      { beginCall: () => () => undefined },
      log,
      effects,
    );
    const settings = reconcileSettings(ENVIRONMENT, undefined, machine.node);
    this.#reconciler = new Reconciler(() => settings, platform, { noteReconcile: () => undefined }, effects);
    keeper.lookAfter(machine.node);
    presence.announce(machine.node);
    this.#reconciler.start();
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  kill(): void {
    this.#process.end();
  }

  /** Returns the blocks that it found idle before, as its timer does now and then. */
  async giveBack(): Promise<void> {
    await this.#warm.keeper.giveBack();
  }

  /**
   * Serves a call of a plugin.
   * @returns undefined when the agent ends before it answers: the plugin then makes the call itself
   * @throws CniError 11 when no answer comes in time
   */
  ask(plugin: Process, request: AgentRequest): Promise<Output | undefined> {
    const { scheduler } = plugin.sim;
    const late = (): CniError =>
      new CniError('try-again-later', `the agent did not answer within ${REPLY_WITHIN_MS} ms`);
    return plugin.ask<Output | undefined>(REPLY_WITHIN_MS, late, (resolve) => {
      this.#process.onEnd(() => resolve(undefined));
      scheduler.after(plugin.latency(LATENCY_MS), () => void this.#serve(request).then(resolve));
    });
  }

  async #serve(request: AgentRequest): Promise<Output | undefined> {
    if (!this.alive) return undefined;
    this.#callsUnderWay++;
    const output = await this.#agent.serve(request);
    this.#callsUnderWay--;
    return output;
  }
}
