/**
 * Pods that come and go on each node while a fault happens, several at once, as a busy runtime
 * makes them.
 */
import { Journal } from '../soak/journal.ts';
import type { Pod } from '../support/node.ts';
import { ProcError, sleep } from '../support/proc.ts';
import type { Host } from './cluster.ts';
import type { CallRecord } from './figures.ts';
import type { LivingPod } from './verify.ts';

/** Calls at once on each node. */
const WORKERS = 5;
/** The most pods that live on a node, apart from those that last. */
const MOST_PODS = { usual: 20, growing: 100 };
const ADD_SHARE = { usual: 0.55, growing: 0.9 };
/** How long the runtime waits after a failed call, in milliseconds. */
const BACK_OFF_MS = 250;
/** How often a runtime repeats a DEL before the run gives up. */
const MOST_DELS = 60;

export class Load {
  readonly calls: CallRecord[] = [];
  readonly #journal: Journal;
  readonly #live = new Map<Host, Map<string, LivingPod>>();
  readonly #workers: Promise<void>[] = [];
  readonly #growing: boolean;
  #made = 0;
  #stopping = false;

  /** @param journal a file for the journal, which must not exist */
  constructor(hosts: readonly Host[], journal: string, growing: boolean) {
    this.#journal = new Journal(journal);
    this.#growing = growing;
    for (const host of hosts) this.#live.set(host, new Map());
  }

  start(): void {
    for (const host of this.#live.keys())
      for (let i = 0; i < WORKERS; i++) this.#workers.push(this.#work(host));
  }

  /** Waits until the calls in progress have ended. Throws the first error of a worker. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#workers);
  }

  living(): LivingPod[] {
    return [...this.#live.values()].flatMap((pods) => [...pods.values()]);
  }

  /** Returns the addresses that two living pods had at a time. */
  overlaps(): string[] {
    return this.#journal.overlaps().overlaps.map(({ ip }) => ip);
  }

  /** Makes a pod. Returns undefined when its ADD fails; the runtime then calls DEL. */
  async add(host: Host): Promise<LivingPod | undefined> {
    const pod = await host.node.makePod(`p${++this.#made}`);
    const ip = await this.#call(host, 'ADD', pod);
    if (ip === undefined) {
      await this.#end(host, pod);
      return undefined;
    }
    this.#journal.up(ip, pod.containerId, host.node.name);
    const living = { ...pod, ip };
    this.#live.get(host)?.set(pod.containerId, living);
    return living;
  }

  /** Ends every pod on all nodes. */
  async removeAll(): Promise<void> {
    await Promise.all(
      [...this.#live].flatMap(([host, pods]) => {
        const all = [...pods.values()];
        const lane = async (): Promise<void> => {
          for (let pod = all.pop(); pod; pod = all.pop()) await this.#remove(host, pod);
        };
        return Array.from({ length: WORKERS }, lane);
      }),
    );
  }

  async #work(host: Host): Promise<void> {
    const kind = this.#growing ? 'growing' : 'usual';
    // Pods from before stay: what happens to them is measured.
    const lasting = new Set(this.#live.get(host)?.keys());
    while (!this.#stopping) {
      const pods = [...(this.#live.get(host)?.values() ?? [])].filter((pod) => !lasting.has(pod.containerId));
      const pod = pods[Math.floor(Math.random() * pods.length)];
      if (pod && (Math.random() >= ADD_SHARE[kind] || pods.length >= MOST_PODS[kind]))
        await this.#remove(host, pod);
      else if (!(await this.add(host))) await sleep(BACK_OFF_MS);
    }
  }

  async #remove(host: Host, pod: LivingPod): Promise<void> {
    if (this.#live.get(host)?.delete(pod.containerId) !== true) return;
    this.#journal.down(pod.ip, pod.containerId, host.node.name);
    await this.#end(host, pod);
  }

  /** Calls DEL until it succeeds, as a runtime does, and then removes the namespace. */
  async #end(host: Host, pod: Pod): Promise<void> {
    for (let n = 1; (await this.#call(host, 'DEL', pod)) === undefined; n++) {
      if (n === MOST_DELS) throw new Error(`DEL of ${pod.name} on ${host.node.name} failed ${n} times`);
      await sleep(BACK_OFF_MS);
    }
    await pod.ns.stop();
  }

  /** Records a call. Returns its address, '' after a DEL, or undefined when the call failed. */
  async #call(host: Host, verb: 'ADD' | 'DEL', pod: Pod): Promise<string | undefined> {
    const startedAt = performance.now();
    const record = (code: number | undefined, message: string): void =>
      void this.calls.push({
        node: host.node.name,
        verb,
        startedAt,
        ms: performance.now() - startedAt,
        code,
        message,
      });
    try {
      const { code, result, stdout, stderr } = await host.call(verb, pod);
      record(code === 0 ? 0 : result?.code, result?.msg ?? stderr);
      if (code !== 0) return undefined;
      if (verb === 'DEL') return '';
      const ip = result?.ips?.[0]?.address.split('/')[0];
      if (ip === undefined) throw new Error(`ADD of ${pod.name} told no address: '${stdout}' ${stderr}`);
      return ip;
    } catch (error) {
      if (!(error instanceof ProcError)) throw error;
      record(undefined, error.message);
      return undefined;
    }
  }
}
