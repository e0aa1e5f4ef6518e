/**
 * A small kubelet with a scheduler: takes pods that somebody made at the test API server, adds them
 * by the real plugins and agent on simulated nodes, runs their command in the pod's namespace, and
 * tells how it goes. A container runs as the user of the test, with the programs of this machine
 * for its image.
 */
import { OUR_PLUGINS, podArgs, STOCK_PLUGINS, type CniReply } from './cni.ts';
import type { KubeApiServer } from './kube-api.ts';
import { containerStatuses, type KubeObject } from './kube-api-objects.ts';
import { keyOf } from './kube-api-store.ts';
import type { Pod, SimulatedNode } from './node.ts';
import { startDaemon, type Daemon } from './proc.ts';

export interface KubeletOptions {
  readonly api: Pick<KubeApiServer, 'pods'>;
  /** The nodes, and the network's configuration on each. */
  readonly nodes: readonly { readonly node: SimulatedNode; readonly config: Record<string, unknown> }[];
  /** Whose pods it runs. */
  readonly namespaces: readonly string[];
}

export interface Kubelet {
  /** Returns what the pod's container wrote; undefined when it has not begun. */
  log(namespace: string, pod: string): string | undefined;
  /** Pods that it runs now. */
  readonly running: () => string[];
  /** Ends all pods, and deletes them. */
  stop(): Promise<void>;
}

interface Container {
  readonly command: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly ports?: readonly {
    readonly containerPort: number;
    readonly hostPort?: number;
    readonly protocol: string;
  }[];
}
interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly nodeName?: string;
  readonly readinessGates?: readonly object[];
  readonly containers: readonly [Container];
  readonly affinity?: {
    readonly nodeAffinity?: {
      readonly requiredDuringSchedulingIgnoredDuringExecution?: {
        readonly nodeSelectorTerms: readonly { matchFields: readonly { values: readonly string[] }[] }[];
      };
    };
  };
}

const NETWORK = { name: 'cell', cniVersion: '1.0.0' } as const;
const GRACE_MS = 1_000;

export function startKubelet(options: KubeletOptions): Kubelet {
  const { api, nodes, namespaces } = options;
  const workers = new Map<string, PodWorker>();
  const take = (pod: KubeObject): void => {
    if (!namespaces.includes(pod.metadata.namespace ?? '')) return;
    const known = workers.get(pod.metadata.uid);
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (known) void known.end();
      else api.pods.delete(keyOf(pod));
      return;
    }
    if (known) return;
    const name = nodeFor(pod);
    const place = nodes.find(({ node }) => node.nodeName === name);
    if (place === undefined) {
      tellUnschedulable(api, pod, name);
      return;
    }
    const worker = new PodWorker(api, pod, place);
    workers.set(pod.metadata.uid, worker);
    worker.start();
  };
  // The watcher is called amid the change itself: the pod is taken after it.
  const end = api.pods.watch(({ type, object }) => {
    if (type !== 'DELETED') setImmediate(() => take(api.pods.get(keyOf(object)) ?? object));
  });
  return {
    log: (namespace, name) =>
      [...workers.values()].findLast(({ key }) => key === `${namespace}/${name}`)?.log(),
    running: () => [...workers.values()].filter(({ isOver }) => !isOver).map(({ key }) => key),
    stop: async () => {
      end();
      await Promise.all([...workers.values()].map((worker) => worker.end()));
    },
  };
}

const specOf = (pod: KubeObject): PodSpec => pod.spec as unknown as PodSpec;

const nodeFor = (pod: KubeObject): string | undefined =>
  specOf(pod).affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms[0]
    ?.matchFields[0]?.values[0];

function tellUnschedulable(api: Pick<KubeApiServer, 'pods'>, pod: KubeObject, name = '?'): void {
  if (pod.status?.['conditions'] !== undefined) return;
  const message = `0/2 nodes are available: none matches ${name}`;
  const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message };
  api.pods.put({ ...pod, status: { ...pod.status, conditions: [condition] } });
}

/** One pod from its ADD to its DEL. */
class PodWorker {
  readonly key: string;
  readonly #api: Pick<KubeApiServer, 'pods'>;
  readonly #pod: KubeObject;
  readonly #node: SimulatedNode;
  readonly #config: Record<string, unknown>;
  #work: Promise<void> = Promise.resolve();
  #sandbox: Pod | undefined;
  #portmap: object | undefined;
  #daemon: Daemon | undefined;
  #ending: Promise<void> | undefined;
  #teardown: Promise<void> | undefined;
  isOver = false;

  constructor(
    api: Pick<KubeApiServer, 'pods'>,
    pod: KubeObject,
    { node, config }: KubeletOptions['nodes'][number],
  ) {
    this.#api = api;
    this.#pod = pod;
    this.#node = node;
    this.#config = { ...node.networkConfig(config), ...NETWORK };
    this.key = keyOf(pod);
  }

  log(): string | undefined {
    return this.#daemon?.output();
  }

  start(): void {
    this.#update({}, { nodeName: this.#node.nodeName });
    this.#work = this.#run().catch((error: unknown) => {
      const waiting = { reason: 'CreateContainerError', message: String(error) };
      this.#update({ containerStatuses: [{ name: 'main', ready: false, state: { waiting } }] });
    });
  }

  end(): Promise<void> {
    return (this.#ending ??= this.#end());
  }

  async #run(): Promise<void> {
    const spec = specOf(this.#pod);
    const ips = spec.hostNetwork === true ? [this.#node.managementIp] : await this.#attach();
    const [container] = spec.containers;
    const [program = '', ...args] = container.command;
    const env = Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value]));
    const netns = this.#sandbox?.ns.name ?? this.#node.ns.name;
    this.#daemon = await startDaemon(program, args, () => true, { env, netns });
    const ready = spec.readinessGates === undefined ? 'True' : 'False';
    this.#update({
      ...{ phase: 'Running', podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) },
      conditions: [{ type: 'Ready', status: ready }],
      containerStatuses: containerStatuses('Running'),
    });
    void this.#daemon.ended.then((code) => {
      this.isOver = true;
      const phase = code === 0 ? 'Succeeded' : 'Failed';
      const conditions = [{ type: 'Ready', status: 'False', reason: 'PodCompleted' }];
      this.#update({ phase, conditions, containerStatuses: containerStatuses(phase) });
      // Nothing runs in the sandbox any more: the kubelet ends it, though the pod is still there.
      // Whoever ends the pod meets the error.
      this.#tearDown().catch(() => undefined);
    });
  }

  /** Calls the plugins of docs/examples/10-cell.conflist, in its order. @returns the addresses */
  async #attach(): Promise<string[]> {
    const { name, uid } = this.#pod.metadata;
    const sandbox = await this.#node.makePod(name, { uid });
    this.#sandbox = sandbox;
    const added = await this.#call('ADD', sandbox, 'cellnet', this.#config);
    const portMappings = (specOf(this.#pod).containers[0].ports ?? []).filter((port) => port.hostPort);
    if (portMappings.length > 0) {
      this.#portmap = { ...NETWORK, type: 'portmap', prevResult: added, runtimeConfig: { portMappings } };
      await this.#call('ADD', sandbox, 'portmap', this.#portmap);
    }
    return (added?.ips ?? []).map(({ address }) => address.split('/')[0] ?? '');
  }

  async #call(
    verb: 'ADD' | 'DEL',
    sandbox: Pod,
    plugin: string,
    config: object,
  ): Promise<CniReply | undefined> {
    const folder = plugin === 'portmap' ? STOCK_PLUGINS : OUR_PLUGINS;
    const { namespace = '', name, uid } = this.#pod.metadata;
    const args = podArgs(namespace, name, uid, sandbox.containerId);
    const { code, stdout, result } = await this.#node.call(verb, sandbox, {
      ...{ plugin: `${folder}/${plugin}`, config, args },
    });
    if (code !== 0) throw new Error(`${plugin} ${verb}: ${stdout}`);
    return result;
  }

  /** SIGTERM, SIGKILL after the grace, DEL in reverse, and then the pod goes. */
  async #end(): Promise<void> {
    await this.#work;
    await this.#daemon?.stop(GRACE_MS);
    await this.#tearDown();
    this.isOver = true;
    this.#api.pods.delete(this.key);
  }

  #tearDown(): Promise<void> {
    return (this.#teardown ??= this.#detach());
  }

  async #detach(): Promise<void> {
    if (!this.#sandbox) return;
    if (this.#portmap) await this.#call('DEL', this.#sandbox, 'portmap', this.#portmap);
    await this.#call('DEL', this.#sandbox, 'cellnet', this.#config);
    await this.#sandbox.ns.stop();
  }

  #update(status: Record<string, unknown>, spec: Record<string, unknown> = {}): void {
    const now = this.#api.pods.get(this.key);
    if (now?.metadata.uid !== this.#pod.metadata.uid) return;
    this.#api.pods.put({ ...now, spec: { ...now.spec, ...spec }, status: { ...now.status, ...status } });
  }
}
