import type { Pod } from '../../cni/kube/api.ts';
import type { Verb } from '../../cni/protocol/request.ts';
import type { CniResult } from '../../cni/protocol/result.ts';
import type { CalledSandbox, CallOutcome } from './calls.ts';
import type { SimNamespace } from './kernel.ts';
import type { SimKube } from './kube.ts';
import type { Machine } from './machine.ts';
import type { Process } from './process.ts';

/** How the runtime ends a sandbox. */
export const ENDINGS = [
  /** As it should: DEL until it succeeds, then the namespace. */
  'del',
  /** The namespace ends first, as when the container crashed. */
  'namespace-first',
  /** DEL comes twice, the second time some seconds later. */
  'twice',
  /** The namespace ends at once, DEL comes a minute later. */
  'late',
  /** DEL never comes. */
  'never',
] as const;
export type Ending = (typeof ENDINGS)[number];

/** One sandbox of a pod. */
export interface Sandbox {
  readonly containerId: string;
  readonly pod: Pod;
  readonly namespace: SimNamespace;
  result?: CniResult;
}

export interface AddOptions {
  /** How many steps the first ADD makes before the runtime kills it; absent: it is not killed. */
  readonly lives?: number;
  /** How the runtime ends the sandbox of an ADD that failed. */
  readonly ending?: Ending;
  /** Of a pod that is made again under its name: each has another UID. */
  readonly generation?: number;
}

/** A pod that shall run and does not. */
export interface Waiting {
  readonly pod: string;
  /** Why its last two ADDs failed, the last one last. */
  readonly failures: readonly string[];
}

/** A pod that shall run on the machine. */
interface Wanted {
  readonly pod: Pod;
  sandbox: Sandbox | undefined;
  sandboxes: number;
  /** The work on the pod, one piece after the other. */
  work: Promise<void>;
  /** Why its last two ADDs failed, the last one last. */
  failures: readonly string[];
}

export type Caller = (
  kubelet: Process,
  verb: Verb,
  sandbox: CalledSandbox | undefined,
  options?: { readonly lives?: number | undefined; readonly config?: object },
) => Promise<CallOutcome>;

/** Pauses, in milliseconds. */
const RETRY_MS = { least: 1_000, most: 5_000 };
const REPORT_MS = { least: 500, most: 4_000 };
const TWICE_AFTER_MS = 5_000;
const LATE_AFTER_MS = 60_000;
const MOST_TRIES = 8;

/** Returns how the IDs of the pod's containers begin, before a dot. */
export const containersOf = ({ uid }: Pick<Pod, 'uid'>): string => uid.slice('uid-'.length);

/** Kubelet and container runtime of one machine: makes sandboxes and ends them. */
export class Kubelet {
  readonly #machine: Machine;
  readonly #kube: SimKube;
  readonly #call: Caller;
  readonly #wanted: Map<string, Wanted>;
  #process: Process;
  /** The work on pods that are no longer wanted. */
  readonly #ending = new Set<Promise<void>>();
  /** What new work waits for. */
  #gate: Promise<unknown> = Promise.resolve();

  constructor(machine: Machine, kube: SimKube, call: Caller) {
    this.#machine = machine;
    this.#kube = kube;
    this.#call = call;
    this.#wanted = new Map();
    this.#process = machine.spawn('kubelet');
  }

  /** The pods whose ADD has succeeded. */
  get running(): readonly Sandbox[] {
    return [...this.#wanted.values()].flatMap(({ sandbox }) => sandbox ?? []);
  }

  /** Whether the container's ADD has succeeded and its end has not begun. */
  runs(containerId: string): boolean {
    return this.running.some((sandbox) => sandbox.containerId === containerId);
  }

  /** The pods that shall run and have no sandbox, and why their last ADD failed. */
  get waiting(): readonly Waiting[] {
    return [...this.#wanted.values()].flatMap(({ pod, sandbox, failures }) =>
      sandbox ? [] : [{ pod: pod.name, failures }],
    );
  }

  /** Begins again with the pods for which it has given up. */
  tryAgain(): void {
    for (const wanted of this.#wanted.values())
      this.#next(wanted, async () => {
        if (!wanted.sandbox) await this.#make(wanted, {});
      });
  }

  has(pod: string): boolean {
    return this.#wanted.has(pod);
  }

  start(name: string, options: AddOptions = {}): void {
    // One that the kubelet has under the name ends first: the API server may have forgotten it.
    this.stop(name, 'del');
    const { generation } = options;
    const pod: Pod = {
      namespace: 'shop',
      name,
      uid: `uid-${generation === undefined ? name : `${name}-${generation}`}`,
      nodeName: this.#machine.node,
      phase: 'Pending',
      hasRunningContainer: false,
      hostNetwork: false,
      podIPs: [],
      createdAt: new Date(this.#machine.now()).toISOString(),
    };
    const wanted: Wanted = {
      pod,
      sandbox: undefined,
      sandboxes: 0,
      work: Promise.resolve(),
      failures: [],
    };
    this.#wanted.set(name, wanted);
    this.#kube.setPod(pod);
    if (this.#machine.up) this.#next(wanted, () => this.#make(wanted, options));
  }

  /**
   * Ends a pod. The API server still has it until its sandbox has ended. Without power nothing of
   * it is left to end.
   */
  stop(name: string, ending: Ending, lives?: number): void {
    const wanted = this.#wanted.get(name);
    if (!wanted) return;
    this.#wanted.delete(name);
    if (!this.#machine.up) {
      this.#kube.removePod(wanted.pod);
      return;
    }
    this.#kube.updatePod(wanted.pod, { deletionTimestamp: new Date(this.#machine.now()).toISOString() });
    this.#next(wanted, async () => {
      if (wanted.sandbox) await this.#end(wanted.sandbox, ending, lives);
      this.#kube.removePod(wanted.pod);
    });
    const { work } = wanted;
    this.#ending.add(work);
    void work.then(() => this.#ending.delete(work));
  }

  stopAll(): void {
    for (const name of [...this.#wanted.keys()]) this.stop(name, 'del');
  }

  /**
   * Ends the pod's sandbox, as after a crash, and makes another one.
   * @param same makes it under the same container ID, as podman restarts a container
   */
  renew(name: string, ending: Ending, same: boolean): void {
    const wanted = this.#wanted.get(name);
    if (!wanted || !this.#machine.up) return;
    this.#next(wanted, async () => {
      const { sandbox } = wanted;
      wanted.sandbox = undefined;
      if (sandbox) await this.#end(sandbox, ending);
      if (same) wanted.sandboxes--;
      await this.#make(wanted, {});
    });
  }

  /** Repeats ADD, or calls CHECK, for a running pod. */
  again(name: string, verb: 'ADD' | 'CHECK'): void {
    const wanted = this.#wanted.get(name);
    if (!wanted || !this.#machine.up) return;
    this.#next(wanted, async () => {
      const { sandbox } = wanted;
      if (!sandbox) return;
      await this.#call(this.#process, verb, { ...sandbox, netns: sandbox.namespace.path });
    });
  }

  /** Calls GC with what runs. No other call for the network is under way meanwhile (CNI SPEC). */
  collectGarbage(): void {
    if (!this.#machine.up) return;
    const before = [...this.#wanted.values()].map(({ work }) => work);
    this.#gate = Promise.all([this.#gate, ...before, ...this.#ending]).then(() => {
      const attachments = this.running.map(({ containerId }) => ({
        containerID: containerId,
        ifname: 'eth0',
      }));
      return this.#call(this.#process, 'GC', undefined, {
        config: { 'cni.dev/valid-attachments': attachments },
      });
    });
  }

  /**
   * Starts after a boot: every namespace is gone. The runtime may have forgotten its old sandboxes,
   * or calls DEL for them first, without a namespace; or it starts a container again under its ID.
   */
  boot(): void {
    this.#process = this.#machine.spawn('kubelet');
    this.#gate = Promise.resolve();
    this.#ending.clear();
    for (const wanted of this.#wanted.values()) {
      const old = wanted.sandbox;
      wanted.sandbox = undefined;
      wanted.work = Promise.resolve();
      const ending = this.#process.random.pick(['none', 'first', 'meanwhile', 'same'] as const);
      if (ending === 'same') wanted.sandboxes = Math.max(0, wanted.sandboxes - 1);
      const end = async (): Promise<void> => {
        if (old && ending !== 'none' && ending !== 'same') await this.#delete(old, '');
      };
      if (ending === 'meanwhile') void end();
      this.#next(wanted, async () => {
        if (ending === 'first') await end();
        await this.#make(wanted, {});
      });
    }
  }

  #next(wanted: Wanted, work: () => Promise<void>): void {
    wanted.work = Promise.all([wanted.work, this.#gate]).then(work);
  }

  async #make(wanted: Wanted, { lives, ending = 'del' }: AddOptions): Promise<void> {
    for (let n = 0; n < MOST_TRIES && this.#wanted.get(wanted.pod.name) === wanted; n++) {
      const containerId = `${containersOf(wanted.pod)}.${++wanted.sandboxes}`;
      const namespace = this.#machine.kernel.addNamespace(`/run/netns/${containerId}`, containerId);
      const sandbox: Sandbox = { containerId, pod: wanted.pod, namespace };
      const outcome = await this.#call(
        this.#process,
        'ADD',
        { ...sandbox, netns: namespace.path },
        { lives: n === 0 ? lives : undefined },
      );
      if (outcome.kind === 'done') {
        sandbox.result = outcome.result;
        wanted.sandbox = sandbox;
        this.#report(sandbox);
        return;
      }
      const failure = outcome.kind === 'failed' ? outcome.message : 'it was killed';
      wanted.failures = [...wanted.failures.slice(-1), failure];
      await this.#end(sandbox, ending);
      await this.#pause(RETRY_MS);
    }
  }

  /** Tells the API server of the pod's addresses, some time after the ADD. */
  #report({ pod, result }: Sandbox): void {
    const podIPs = (result?.ips ?? []).map(({ address }) => address.split('/')[0] ?? '');
    void this.#pause(REPORT_MS).then(() =>
      this.#kube.updatePod(pod, { phase: 'Running', hasRunningContainer: true, podIPs }),
    );
  }

  async #end(sandbox: Sandbox, ending: Ending, lives?: number): Promise<void> {
    const { path } = sandbox.namespace;
    if (ending !== 'del' && ending !== 'twice') this.#machine.kernel.removeNamespace(sandbox.namespace);
    if (ending === 'never') return;
    if (ending === 'late') {
      this.#deleteAfter(LATE_AFTER_MS, sandbox, '');
      return;
    }
    await this.#delete(sandbox, path, lives);
    this.#machine.kernel.removeNamespace(sandbox.namespace);
    if (ending === 'twice') this.#deleteAfter(TWICE_AFTER_MS, sandbox, path);
  }

  /** A runtime calls no further DEL for a container that it has started again. */
  #deleteAfter(ms: number, sandbox: Sandbox, netns: string): void {
    void this.#process.wait(ms).then(() => {
      if (!this.runs(sandbox.containerId)) void this.#delete(sandbox, netns);
    });
  }

  /** Calls DEL until it succeeds. */
  async #delete(sandbox: Sandbox, netns: string, lives?: number): Promise<void> {
    for (let n = 0; n < MOST_TRIES; n++) {
      const killed = { lives: n === 0 ? lives : undefined };
      const outcome = await this.#call(this.#process, 'DEL', { ...sandbox, netns }, killed);
      if (outcome.kind === 'done') return;
      await this.#pause(RETRY_MS);
    }
  }

  #pause({ least, most }: { readonly least: number; readonly most: number }): Promise<void> {
    return this.#process.wait(this.#process.random.between(least, most));
  }
}
