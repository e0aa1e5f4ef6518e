/**
 * A simulated node and its runtime, with operations that create and end pods, kill the agent and
 * reboot.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterReboot, startAgent, type RunningAgent } from '../support/agent.ts';
import { OUR_PLUGINS, type CniCall, type CniOutcome, type CniReply, type Verb } from '../support/cni.ts';
import type { Pod, SimulatedNode } from '../support/node.ts';
import { sleep } from '../support/proc.ts';
import type { Journal } from './journal.ts';
import type { Tally } from './tally.ts';

export interface LivePod extends Pod {
  readonly ip: string;
  readonly result: CniReply;
}

/** Short enough for a run of minutes. The defaults are 60 s and 30 s. */
const RECONCILING = { CELLNET_RECONCILE_INTERVAL_MS: '2000', CELLNET_RECONCILE_GRACE_MS: '1000' };
const CLEARED = ['released what had leaked', 'swept what was left'];

export class Host {
  readonly node: SimulatedNode;
  readonly live = new Map<string, LivePod>();
  readonly #dir: string;
  readonly #journal: Journal;
  readonly #tally: Tally;
  #agent: RunningAgent | undefined;
  #plugin = '';
  #bootId = '';
  #boots = 0;
  /** The number of calls in progress. A reboot waits for them and holds back new ones. */
  #busy = 0;
  #rebooting = false;

  constructor(node: SimulatedNode, dir: string, journal: Journal, tally: Tally) {
    this.node = node;
    this.#dir = dir;
    this.#journal = journal;
    this.#tally = tally;
  }

  /** Starts a boot with a new ID, for plugins and agent alike. */
  async boot(): Promise<void> {
    this.#bootId = randomUUID();
    const dir = join(this.#dir, `boot-${++this.#boots}`);
    await mkdir(dir);
    const command = await afterReboot(dir, this.#bootId, 0.01, [join(OUR_PLUGINS, 'cellnet')]);
    this.#plugin = join(dir, 'cellnet');
    const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
    writeFileSync(this.#plugin, `#!/bin/sh\nexec ${quoted.join(' ')}\n`);
    chmodSync(this.#plugin, 0o755);
    await this.#startAgent();
  }

  async #startAgent(): Promise<void> {
    this.#agent = await startAgent(this.node, join(this.#dir, 'agent.sock'), [], {
      env: RECONCILING,
      bootId: this.#bootId,
    });
  }

  #noteAgentsWork(): void {
    for (const message of CLEARED)
      for (const { reason } of this.#agent?.logged(message) ?? [])
        this.#tally.count('freed by the agent', String(reason));
  }

  /** Calls a plugin as the runtime does. */
  async call(verb: Verb, pod: Pod, call: CniCall = {}): Promise<CniOutcome> {
    return await this.node.call(verb, pod, {
      plugin: this.#plugin,
      ...call,
      env: { CELLNET_AGENT: join(this.#dir, 'agent.sock') },
    });
  }

  /** Runs work on the node that a reboot must not interrupt. */
  async during(work: () => Promise<void>): Promise<void> {
    while (this.#rebooting) await sleep(50);
    this.#busy++;
    try {
      await work();
    } finally {
      this.#busy--;
    }
  }

  async add(name: string): Promise<void> {
    const pod = await this.node.makePod(name);
    const outcome = await this.call('ADD', pod);
    const ip = outcome.result?.ips?.[0]?.address.split('/')[0];
    if (outcome.code === 0 && outcome.result && ip !== undefined) {
      this.#tally.count('ADD', 'done');
      this.#journal.up(ip, pod.containerId, this.node.name);
      this.live.set(pod.containerId, { ...pod, ip, result: outcome.result });
      return;
    }
    this.#tally.count('ADD', `refused, code ${outcome.result?.code ?? '?'}`);
    await this.#end(pod, 0.8);
  }

  /**
   * Kills the plugin `afterMs` into an ADD, as when the runtime dies. `called` says whether the
   * restarted runtime then calls DEL.
   */
  async addCutShort(name: string, afterMs: number, called: boolean): Promise<void> {
    const pod = await this.node.makePod(name);
    await this.call('ADD', pod, { timeoutMs: afterMs }).then(
      () => this.#tally.count('ADD cut short', 'too late'),
      () => this.#tally.count('ADD cut short', 'killed'),
    );
    await this.#end(pod, called ? 1 : 0);
  }

  async remove(pod: LivePod): Promise<void> {
    this.#down(pod);
    await this.#end(pod, 1);
  }

  /** Ends a pod without a DEL. */
  async vanish(pod: LivePod): Promise<void> {
    this.#down(pod);
    await this.#end(pod, 0);
    this.#tally.count('pod', 'gone without DEL');
  }

  #down(pod: LivePod): void {
    this.live.delete(pod.containerId);
    this.#journal.down(pod.ip, pod.containerId, this.node.name);
  }

  /**
   * Ends a pod. With probability `called` it calls DEL first and repeats it until it succeeds, as a
   * runtime does. Throws an Error when DEL fails 21 times.
   */
  async #end(pod: Pod, called: number): Promise<void> {
    if (Math.random() < called) {
      for (let n = 0; ; n++) {
        const { code, stdout } = await this.call('DEL', pod);
        if (code === 0) break;
        this.#tally.count('DEL', `failed: ${stdout.slice(0, 200)}`);
        if (n === 20) throw new Error(`DEL of ${pod.name} on ${this.node.name} fails for ever: ${stdout}`);
        await sleep(500);
      }
      this.#tally.count('DEL', 'done');
    }
    await pod.ns.stop();
  }

  /** Kills the agent with SIGKILL. */
  async #loseAgent(): Promise<void> {
    this.#noteAgentsWork();
    const agent = this.#agent;
    this.#agent = undefined;
    await agent?.kill();
    await agent?.stop();
  }

  async killAgent(goneMs: number): Promise<void> {
    await this.#loseAgent();
    await sleep(goneMs);
    await this.#startAgent();
    this.#tally.count('agent', 'killed');
  }

  async restartDatabase(): Promise<void> {
    await this.node.ovs.killDatabase();
    await sleep(300);
    await this.node.ovs.startDatabase();
    this.#tally.count('Open vSwitch', 'database killed');
  }

  async restartVswitchd(): Promise<void> {
    await this.node.ovs.restartVswitchd();
    this.#tally.count('Open vSwitch', 'vswitchd restarted');
  }

  /**
   * Simulates a power cut: pods and agent end and no DEL runs. The database of Open vSwitch and the
   * node's own files survive on disk.
   */
  async reboot(): Promise<void> {
    this.#rebooting = true;
    try {
      while (this.#busy > 1) await sleep(20);
      await this.#loseAgent();
      const pods = [...this.live.values()];
      for (const pod of pods) this.#down(pod);
      await Promise.all(pods.map((pod) => pod.ns.stop()));
      await this.node.ovs.killDatabase();
      await this.node.ovs.startDatabase();
      await this.node.ovs.restartVswitchd();
      await this.boot();
      this.#tally.count('node', 'rebooted');
    } finally {
      this.#rebooting = false;
    }
  }

  async stop(): Promise<void> {
    this.#noteAgentsWork();
    await this.#agent?.stop();
  }
}
