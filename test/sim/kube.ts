import type { KubeApi, Node, Pod } from '../../cni/kube/api.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import type { Process } from './process.ts';

const SERVER = 'https://kube:6443';
/** Usual time of one request, in milliseconds. */
const LATENCY_MS = 10;
/** Longest time that a client waits for an answer, in milliseconds. */
const DEADLINE_MS = 30_000;
/** Pods in one page of a list. Small pages let changes come in between. */
const PAGE_SIZE = 5;

const FORBIDDEN = new KubeError('forbidden', `${SERVER} forbids to get the namespace kube-system`);

/** The cluster as of one resource version. */
interface Snapshot {
  readonly time: number;
  readonly version: number;
  readonly pods: ReadonlyMap<string, Pod>;
  readonly nodes: ReadonlyMap<string, Node>;
}

/** The Kubernetes API server. */
export class SimKube {
  #snapshots: Snapshot[] = [{ time: 0, version: 1, pods: new Map(), nodes: new Map() }];
  readonly #time: () => number;
  readonly #uid: string | null;
  /** Answers nothing. */
  away = false;
  /** How old its answers are, in milliseconds. */
  staleMs = 0;

  /** @param uid of the namespace kube-system; null: the operator may not read it */
  constructor(time: () => number, uid: string | null = 'cluster-1') {
    this.#time = time;
    this.#uid = uid;
  }

  get pods(): ReadonlyMap<string, Pod> {
    return this.#newest.pods;
  }

  setPod(pod: Pod): void {
    this.#change({ pods: new Map(this.#newest.pods).set(nameOf(pod), pod) });
  }

  /** Changes a pod that exists with this UID. */
  updatePod(pod: Pod, change: Partial<Pod>): void {
    const found = this.#newest.pods.get(nameOf(pod));
    if (found?.uid === pod.uid) this.setPod({ ...found, ...change });
  }

  removePod(pod: Pod): void {
    const pods = new Map(this.#newest.pods);
    if (pods.get(nameOf(pod))?.uid === pod.uid && pods.delete(nameOf(pod))) this.#change({ pods });
  }

  setNode(node: Node): void {
    this.#change({ nodes: new Map(this.#newest.nodes).set(node.name, node) });
  }

  removeNode(name: string): void {
    const nodes = new Map(this.#newest.nodes);
    if (nodes.delete(name)) this.#change({ nodes });
  }

  /** The API server as a program uses it. */
  for(process: Process): KubeApi {
    const ask = <T>(answer: (at: Snapshot) => T): Promise<T> => this.#ask(process, answer);
    const walkPods: KubeApi['walkPods'] = async (sink, { onProgress } = {}) => {
      const { pods, version } = await ask((at) => at);
      const all = [...pods.values()];
      sink.restart();
      for (let i = 0; i === 0 || i < all.length; i += PAGE_SIZE) {
        if (i > 0) await process.wait(process.latency(LATENCY_MS));
        sink.add(all.slice(i, i + PAGE_SIZE));
        onProgress?.(Math.min(i + PAGE_SIZE, all.length), all.length);
      }
      return { resourceVersion: String(version) };
    };
    return {
      server: SERVER,
      walkPods,
      listPods: () =>
        ask(({ pods, version }) => ({ pods: [...pods.values()], resourceVersion: `${version}` })),
      anyPod: () => ask(({ pods, version }) => ({ any: pods.size > 0, resourceVersion: `${version}` })),
      getPod: (namespace, name) => ask(({ pods }) => pods.get(`${namespace}/${name}`)),
      listNodes: () => ask(({ nodes }) => [...nodes.values()]),
      // Of none: what is kept for pods without a StatefulSet is told, and stays.
      listStatefulSets: () => Promise.resolve([]),
      getNode: (name) => ask(({ nodes }) => nodes.get(name)),
      probe: () => ask(() => ({ serverTime: undefined, asked: 0, answered: 0 })),
      clusterUid: () => ask(() => this.#uid).then((uid) => uid ?? Promise.reject(FORBIDDEN)),
      close: () => undefined,
    };
  }

  get #newest(): Snapshot {
    const newest = this.#snapshots.at(-1);
    if (!newest) throw new Error('the API server has no state');
    return newest;
  }

  #change(change: Partial<Pick<Snapshot, 'pods' | 'nodes'>>): void {
    const newest = this.#newest;
    this.#snapshots.push({ ...newest, ...change, time: this.#time(), version: newest.version + 1 });
  }

  #ask<T>(process: Process, answer: (at: Snapshot) => T): Promise<T> {
    const { scheduler } = process.sim;
    const late = (): KubeError =>
      new KubeError('timeout', `${SERVER} did not answer within ${DEADLINE_MS} ms`);
    return process.ask(DEADLINE_MS, late, (resolve) => {
      scheduler.after(process.latency(LATENCY_MS), () => {
        if (!this.away) resolve(answer(this.#seen()));
      });
    });
  }

  /** Returns the newest state that its answers know of. */
  #seen(): Snapshot {
    const until = this.#time() - this.staleMs;
    return this.#snapshots.findLast(({ time }) => time <= until) ?? this.#newest;
  }
}

const nameOf = ({ namespace, name }: Pick<Pod, 'namespace' | 'name'>): string => `${namespace}/${name}`;
