/**
 * One simulated node: a network namespace with its own Open vSwitch, the bridge br-cell (userspace
 * datapath), an uplink to the fabric's switch, and an interface on the management network, where
 * etcd listens.
 *
 * Plugins run in the node's namespace through `ip netns exec`. That gives them a mount namespace
 * with the node's /sys. Entries of /run/netns stay visible, so plugins find the pods' namespaces by
 * their paths. Environment variables replace the files that a real node has to itself:
 * CELLNET_NODE, CELLNET_MACHINE_ID, CELLNET_STATE_DIR, CELLNET_CONFIG, CELLNET_OVSDB.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cni, OUR_PLUGINS, podArgs, type CniCall, type CniOutcome, type CniReply, type Verb } from './cni.ts';
import type { Fabric, Legs, Ovs } from './fabric.ts';
import { makeNamespace, newScope, uniqueName, type Namespace } from './netns.ts';
import { startOvs } from './ovs.ts';

export interface Pod {
  readonly name: string;
  readonly uid: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly ns: Namespace;
}

export interface AddedPod extends Pod {
  readonly result: CniReply;
  /** The first address, without its prefix length. */
  readonly ip: string;
  readonly mac: string;
  /** Wall time of the ADD process. */
  readonly ms: number;
}

export interface PodOptions {
  readonly ifname?: string;
  readonly uid?: string;
  readonly containerId?: string;
}

export interface SimulatedNode extends Legs {
  readonly name: string;
  readonly nodeName: string;
  readonly ns: Namespace;
  readonly ovs: Ovs;
  readonly stateDir: string;
  /** The environment of every cellnet program on this node. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * Returns the plugin's configuration on this node, everything inline. `changes` replaces
   * top-level keys.
   */
  networkConfig(changes?: Readonly<Record<string, unknown>>): Record<string, unknown>;
  /** Makes a pod's namespace with nothing attached. The node's tear-down removes it. */
  makePod(name: string, options?: PodOptions): Promise<Pod>;
  /** Calls a plugin (default: cellnet) for a pod. Resolves whatever the outcome. */
  call(verb: Verb, pod: Pod, call?: CniCall & { readonly plugin?: string }): Promise<CniOutcome>;
  /**
   * Runs makePod and ADD. When ADD fails, removes the pod's namespace and rejects with the plugin's
   * output.
   */
  addPod(
    name: string,
    options?: PodOptions & { readonly config?: Record<string, unknown> },
  ): Promise<AddedPod>;
  /** Runs DEL, then removes the namespace. Rejects when DEL fails. */
  delPod(pod: Pod, call?: CniCall): Promise<void>;
  /**
   * Simulates a power cut: Open vSwitch and all namespaces disappear, no DEL runs, and etcd keeps
   * its records.
   */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

const BRIDGE = 'br-cell';

/** Returns a container ID of 64 hex digits, like containerd's. */
export const newContainerId = (): string => randomBytes(32).toString('hex');

export interface NodeOptions {
  /** The node's name for cellnet. Default: the name of the simulated node, which is unique. */
  readonly nodeName?: string;
  /** What tells this machine from the others of the host. Default: nothing does. */
  readonly machineId?: string;
}

/** Starts a node on the fabric in about half a second. Leaves nothing behind on failure. */
export const startNode = async (
  fabric: Fabric,
  name: string,
  { nodeName = name, machineId }: NodeOptions = {},
): Promise<SimulatedNode> => {
  const scope = newScope();
  try {
    const dir = await scope.tempDir();
    const stateDir = join(dir, 'state');
    await mkdir(stateDir);
    await mkdir(join(dir, 'ovs'));
    const ns = scope.use(await makeNamespace(uniqueName(name)));
    const legs = await fabric.connect(ns);
    scope.defer(() =>
      fabric.ovs.vsctl('--if-exists', 'del-port', 'phys', legs.switchPort).then(() => undefined),
    );
    const ovs = scope.use(await startOvs({ netns: ns.name, dir: join(dir, 'ovs') }));
    await ovs.vsctl(
      'add-br',
      BRIDGE,
      '--',
      'set',
      'bridge',
      BRIDGE,
      'datapath_type=netdev',
      'fail_mode=standalone',
    );
    await ovs.vsctl('add-port', BRIDGE, 'uplink0');

    const etcd = etcdSettings(fabric);
    const configFile = join(dir, 'config.json');
    await writeFile(configFile, JSON.stringify({ etcd, node: nodeName, bridge: BRIDGE, ovsdb: ovs.remote }));
    const env = {
      CELLNET_NODE: nodeName,
      ...(machineId !== undefined && { CELLNET_MACHINE_ID: machineId }),
      CELLNET_STATE_DIR: stateDir,
      CELLNET_CONFIG: configFile,
      CELLNET_OVSDB: ovs.remote,
      // No agent runs unless a test starts one with test/support/agent.ts.
      CELLNET_AGENT: 'false',
    };
    return makeNode(
      { name, nodeName, ns, ovs, stateDir, env, ...legs },
      etcd,
      () => scope.close(),
      (undo) => scope.defer(undo),
    );
  } catch (error) {
    await scope.close();
    throw error;
  }
};

const etcdSettings = ({ etcd }: Fabric): Record<string, unknown> => ({
  endpoints: etcd.endpoints,
  ...(etcd.caFile !== undefined && { caFile: etcd.caFile, certFile: etcd.certFile, keyFile: etcd.keyFile }),
});

/** The environment counts before the configuration, and a node's says that no agent runs. */
const agentOf = (config: unknown): Record<string, string> => {
  const { agent } = (config ?? {}) as { readonly agent?: unknown };
  return typeof agent === 'string' ? { CELLNET_AGENT: agent } : {};
};

type NodeParts = Pick<SimulatedNode, 'name' | 'nodeName' | 'ns' | 'ovs' | 'stateDir' | 'env' | keyof Legs>;

const makeNode = (
  parts: NodeParts,
  etcd: Record<string, unknown>,
  stop: () => Promise<void>,
  defer: (undo: () => Promise<void>) => void,
): SimulatedNode => {
  const node: SimulatedNode = {
    ...parts,
    networkConfig: (changes = {}) => ({
      cniVersion: '1.1.0',
      name: 'cell',
      type: 'cellnet',
      bridge: BRIDGE,
      ovsdb: parts.ovs.remote,
      ipam: { type: 'cellnet-ipam', etcd, node: parts.nodeName },
      ...changes,
    }),
    makePod: async (name, { ifname = 'eth0', uid = randomUUID(), containerId = newContainerId() } = {}) => {
      const ns = await makeNamespace(uniqueName(name));
      defer(() => ns.stop());
      return { name, uid, containerId, ifname, ns };
    },
    call: (verb, pod, { plugin = `${OUR_PLUGINS}/cellnet`, ...call } = {}) =>
      cni(plugin, verb, {
        containerId: pod.containerId,
        netns: pod.ns.path,
        ifname: pod.ifname,
        args: podArgs('default', pod.name, pod.uid, pod.containerId),
        config: node.networkConfig(),
        runIn: parts.ns.name,
        ...call,
        env: { ...parts.env, ...agentOf(call.config), ...call.env },
      }),
    addPod: async (name, { config, ...options } = {}) => {
      const pod = await node.makePod(name, options);
      const outcome = await node.call('ADD', pod, { config: node.networkConfig(config) });
      const address = outcome.result?.ips?.[0]?.address;
      if (outcome.code !== 0 || outcome.result === undefined || address === undefined) {
        await pod.ns.stop();
        throw new Error(`ADD of ${name} on ${parts.name}: ${outcome.stdout}\n${outcome.stderr}`);
      }
      const inside = outcome.result.interfaces?.find(({ sandbox }) => (sandbox ?? '') !== '');
      const ip = address.split('/')[0] ?? '';
      return { ...pod, result: outcome.result, ip, mac: inside?.mac ?? '', ms: outcome.ms };
    },
    delPod: async (pod, call) => {
      const { code, stdout, stderr } = await node.call('DEL', pod, call);
      if (code !== 0) throw new Error(`DEL of ${pod.name} on ${parts.name}: ${stdout}\n${stderr}`);
      await pod.ns.stop();
    },
    crash: stop,
    stop,
  };
  return node;
};
