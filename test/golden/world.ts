import type { KubeApi, Node, Pod, StatefulSet } from '../../cni/kube/api.ts';
import type { KubeWriter } from '../../cni/kube/writer.ts';
import type { OvsdbClient } from '../../cni/ovsdb/client.ts';
import { OvsdbError } from '../../cni/ovsdb/errors.ts';
import type { Operation, OperationResult } from '../../cni/ovsdb/protocol.ts';
import type { Platform } from '../../cni/platform/platform.ts';
import { CommandError } from '../../cnictl/context/errors.ts';
import { realFiles } from '../../cnictl/context/host-files.ts';
import type { UplinkHost } from '../../cnictl/context/uplink-host.ts';
import type { AgentAnswer, AgentReply, OpenIpam, World } from '../../cnictl/context/world.ts';
import { run } from '../../cnictl/program/program.ts';
import { allocate } from '../../ipam/allocate/allocate.ts';
import { parseAddress } from '../../ipam/model/address.ts';
import { usedSlots } from '../../ipam/model/block.ts';
import type { Machine } from '../../ipam/model/machine.ts';
import { directIpam } from '../../ipam/node/ipam.ts';
import { addRange, setRangeState } from '../../ipam/ranges/ranges.ts';
import { aliveKey, encodeAliveRecord } from '../../ipam/records/alive-record.ts';
import { OWN_READ_VERSIONS, type AgentReport } from '../../ipam/records/agent-report.ts';
import { decodeMachineRecord, encodeMachineRecord, machineKey } from '../../ipam/records/machine-record.ts';
import { put } from '../../ipam/records/transaction.ts';
import { release } from '../../ipam/release/release.ts';
import { VERSION } from '../../ipam/settings/version.ts';
import type { EtcdInspector } from '../../ipam/store/etcd/inspect.ts';
import type { Store } from '../../ipam/store/store.ts';
import { owner, range, World as IpamWorld } from '../unit/ipam/world.ts';

/** One run of cnictl on fixed data: its output and its exit status. */
export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const uid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/**
 * An Open vSwitch without a bridge. Queries return no rows; `written` keeps all other operations.
 */
export class EmptyOvsdb {
  readonly written: Operation[] = [];

  transact(operations: readonly Operation[]): Promise<OperationResult[]> {
    this.written.push(...operations.filter(({ op }) => op !== 'select'));
    return Promise.resolve(operations.map(() => ({ rows: [] })));
  }

  monitor(): Promise<void> {
    return Promise.reject(new OvsdbError('connection-lost', 'the connection to Open vSwitch was lost'));
  }

  close(): void {
    // This fake holds no connection.
  }
}

/**
 * A cluster with two ranges and two nodes. One pod no longer exists, one was created again, and one
 * never had its address recorded.
 */
export class CliWorld {
  readonly ipam = new IpamWorld();
  readonly files = new Map<string, string>();
  /** Content of written files, byte for byte. */
  readonly written = new Map<string, Buffer>();
  /** Paths that reject writing. */
  readonly unwritable = new Set<string>();
  pods: Pod[] = [];
  nodes: Node[] = [
    { name: 'node-1', uid: 'n1', ready: true },
    { name: 'node-2', uid: 'n2', ready: true },
  ];
  statefulSets: StatefulSet[] = [];
  /** Whether living agents clear away during pauses what was condemned on their nodes. */
  agentsWork = true;
  /** The pauses that commands requested, in milliseconds. */
  readonly pauses: number[] = [];
  answers: string[] = [];
  isTerminal = false;
  showsProgress = false;
  /** Stops `check --watch`. */
  stop = new AbortController();
  env: Record<string, string> = { KUBECONFIG: '/kubeconfig' };
  /** Runs between two observations of `check`. */
  meanwhile: (ms: number) => Promise<void> = () => Promise.resolve();
  kube: Partial<KubeApi> = {};
  /** Makes and deletes objects in the cluster. */
  kubeWriter: KubeWriter = {} as KubeWriter;
  etcd: Partial<EtcdInspector> = {};
  agent: AgentAnswer = { answers: true, health: { ok: true, version: VERSION, reasons: [] } };
  /** The newest lines of the agent's log. */
  agentLog: string | undefined;
  /** What the agent answers, by path. */
  agentReplies: Record<string, AgentReply> = {};
  vswitchd: (method: string, params: readonly string[]) => Promise<string> = () =>
    Promise.reject(new OvsdbError('unreachable', 'ovs-vswitchd cannot be asked: no test runs it here'));
  openBridge: (bridge: string) => ReturnType<World['openBridge']> = () =>
    Promise.reject(new Error('no test of this world asks a bridge'));
  exec: World['exec'] = ([program = '']) => {
    const version = this.programs[program];
    return version === undefined
      ? Promise.reject(new Error(`no test runs ${program} on this machine`))
      : Promise.resolve({ status: 0, output: `${version}\n` });
  };
  /** The Node programs of this node, and their versions. */
  programs: Readonly<Record<string, string>> = {};
  openEvents: World['openEvents'] = () => Promise.reject(new Error('no test of this world follows etcd'));
  openTerminal: World['openTerminal'] = () => {
    throw new Error('no test of this world has a terminal');
  };
  /** Replaces the store in memory. */
  store: Store | undefined;
  devices = ['bond1'];
  /** This host's links, addresses and routes, and the moves of addresses. */
  uplinkHost: UplinkHost = {
    readNetwork: () => Promise.resolve({ links: [], addresses: [], routes: [], rules: [] }),
    leftMove: () => undefined,
    undo: () => Promise.resolve([]),
    guard: () => Promise.reject(new Error('no test of this world moves addresses')),
    carry: () => Promise.reject(new Error('no test of this world moves addresses')),
  };
  /** This machine, which is node-1. */
  machine: Machine = { id: '3f2a9c41d0b7', macs: ['52:54:00:12:34:56'] };
  /** The folder that `node install` copies from. */
  dist = '/none';
  ovsdb = new EmptyOvsdb();
  /** The platform of this node, for `node reconcile`. Its IPAM is this world's. */
  platform: () => Platform = () => {
    throw new Error('no test of this world looks at the node');
  };

  static async make(): Promise<CliWorld> {
    const world = new CliWorld();
    const { ipam } = world.ipam;
    await addRange(
      ipam,
      range('10.20.0.0/22', {
        name: 'blue',
        gateway: '10.20.0.1',
        vlan: 120,
        exclude: ['10.20.0.2-10.20.0.9'],
      }),
    );
    await addRange(ipam, range('10.30.0.0/28', { name: 'green' }));
    await addRange(ipam, range('fd00:20::/64', { name: 'six', gateway: 'fd00:20::1', vlan: 120 }));
    await setRangeState(ipam, 'green', 'draining');
    for (const [n, name] of ['web-1', 'web-2', 'db-0', 'job-1'].entries())
      await world.give('node-1', n, name, [`10.20.0.${16 + n}`]);
    world.ipam.now += 3 * 3600_000;
    await world.give('node-2', 4, 'api-1', ['10.20.0.64', 'fd00:20::2c6f:5bd0:0:0']);
    await world.give('node-2', 5, undefined, ['10.20.0.65']);
    await world.give('node-2', 6, 'api-2', ['10.20.0.66']);
    await release(ipam, {
      node: 'node-2',
      attachment: { containerId: container(6), ifname: 'eth0' },
      cause: { why: 'del' },
    });
    world.ipam.now += 10_000;
    await world.#tellMachines();
    world.pods = [
      world.pod(0, 'web-1'),
      world.pod(1, 'web-2', { phase: 'Succeeded' }),
      world.pod(22, 'db-0'),
      world.pod(4, 'api-1', { nodeName: 'node-2' }),
      world.pod(9, 'lost', { podIPs: ['10.20.3.77'] }),
      world.pod(10, 'kube-proxy', { hostNetwork: true, podIPs: ['192.168.0.5'] }),
    ];
    return world;
  }

  /** Enters the machines of both nodes. The agent of node-1 is alive. */
  async #tellMachines(): Promise<void> {
    const { store, now } = this.ipam;
    const machines: [string, Machine][] = [
      ['node-1', this.machine],
      ['node-2', { id: '77d1e0c3a915', macs: ['52:54:00:ab:cd:ef'] }],
    ];
    for (const [node, machine] of machines) {
      const entry = store.entries.get(machineKey(node));
      if (!entry) throw new Error(`no record of the machine of ${node}`);
      const record = decodeMachineRecord(entry.key, entry.value);
      const value = encodeMachineRecord({ ...record, machine, bootId: `boot-of-${node}` });
      await store.commit([], [put(entry.key, value)]);
    }
    const agent: AgentReport = {
      ...{ version: '0.2.0', plugin: '0.2.0', healthy: true, reasons: [], pending: 0 },
      ...{ calls: { served: 1_204, failed: 2 }, reads: OWN_READ_VERSIONS, at: now - 42_000 },
    };
    const alive = {
      ...{ machine: this.machine.id, bootId: 'boot-of-node-1', since: now - 3_600_000, agent },
    };
    await store.commit([], [put(aliveKey('node-1'), encodeAliveRecord(alive))]);
  }

  /** The node has no agent, and Kubernetes does not call it Ready. */
  silence(node: string): void {
    this.ipam.store.entries.delete(aliveKey(node));
    this.nodes = this.nodes.map((each) => (each.name === node ? { ...each, ready: false } : each));
  }

  /** The agents that live release what was condemned on their nodes, as their reconcile does. */
  async #clearCondemned(): Promise<void> {
    const isCondemned = ({ value }: { readonly value: string }): boolean => value.includes('"condemned"');
    if (![...this.ipam.store.entries.values()].some(isCondemned)) return;
    for (const block of this.ipam.blocks()) {
      const { node } = block;
      if (!this.ipam.store.entries.has(aliveKey(node))) continue;
      for (const seen of usedSlots(block, ({ condemned }) => condemned !== undefined)) {
        const { by = '', reason: detail = '' } = seen.slot.condemned ?? {};
        await release(this.ipam.ipam, { node, allocations: [seen], cause: { why: 'leaked', by, detail } });
      }
    }
  }

  /** @param ips the addresses to assign, so that no random choice shows; default: one of IPv4 */
  async give(
    node: string,
    n: number,
    podName: string | undefined,
    ips: readonly string[] = [],
  ): Promise<void> {
    const pod = podName === undefined ? {} : { podNamespace: 'shop', podName, podUid: uid(n) };
    const requested = ips.map((ip) => parseAddress(ip));
    const families = requested.length > 0 ? requested.map(({ family }) => family) : [4 as const];
    await allocate(this.ipam.ipam, { node, owner: owner(container(n), pod), families, requested });
  }

  pod(n: number, name: string, more: Partial<Pod> = {}): Pod {
    return {
      namespace: 'shop',
      name,
      uid: uid(n),
      nodeName: 'node-1',
      phase: 'Running',
      hasRunningContainer: (more.phase ?? 'Running') === 'Running',
      hostNetwork: false,
      podIPs: [],
      createdAt: '2026-01-01T00:00:00Z',
      ...more,
    };
  }

  podNamed(name: string): Pod | undefined {
    return this.pods.find((pod) => pod.name === name);
  }

  /** Runs cnictl with `argv`. A string is split at spaces; quotes have no meaning. */
  async run(argv: string | readonly string[]): Promise<Ran> {
    const out = { stdout: '', stderr: '' };
    const status = await run(typeof argv === 'string' ? argv.split(' ') : argv, this.#world(out));
    return { status, ...out };
  }

  #world(out: { stdout: string; stderr: string }): World {
    return {
      env: this.env,
      hostname: 'node-1',
      stdout: (text) => void (out.stdout += text),
      stderr: (text) => void (out.stderr += text),
      flushed: () => Promise.resolve(),
      isTerminal: this.isTerminal,
      showsProgress: this.showsProgress,
      openTerminal: (listener, colours) => this.openTerminal(listener, colours),
      ask: (question) => {
        out.stderr += question;
        return Promise.resolve(this.answers.shift() ?? '');
      },
      now: () => this.ipam.now,
      monotonic: () => this.ipam.now + this.pauses.reduce((sum, ms) => sum + ms, 0),
      pause: async (ms) => {
        this.pauses.push(ms);
        await this.meanwhile(ms);
        if (this.agentsWork) await this.#clearCondemned();
      },
      untilStopped: () => this.stop.signal,
      readFile: (path) => this.files.get(path),
      checkTarget: (path) => {
        if (this.unwritable.has(path)) throw new CommandError(`'${path}' cannot be written`);
      },
      writeFile: (path, content) => {
        const platform =
          typeof content === 'string' || content instanceof Uint8Array ? [content] : [...content];
        const bytes = Buffer.concat(platform.map((part) => Buffer.from(part)));
        this.written.set(path, bytes);
        this.files.set(path, bytes.toString());
      },
      appendFile: (path, content) => void this.files.set(path, (this.files.get(path) ?? '') + content),
      hasDevice: (name) => this.devices.includes(name),
      files: {
        ...realFiles,
        kind: (path) =>
          path in this.programs ? 'file' : path.endsWith('/bin/node') ? undefined : realFiles.kind(path),
      },
      exec: (argv) => this.exec(argv),
      openEtcd: () => Promise.resolve({ ...this.#etcd(), ...this.etcd }),
      probeAgent: () => Promise.resolve(this.agent),
      agentLog: () => Promise.resolve(this.agentLog),
      askAgent: (_, path) => Promise.resolve(this.agentReplies[path]),
      askVswitchd: (_, method, params) => this.vswitchd(method, params),
      openBridge: (_, bridge) => this.openBridge(bridge),
      dist: this.dist,
      machine: () => this.machine,
      openIpam: () => Promise.resolve(this.#openIpam()),
      openEvents: (settings) => this.openEvents(settings),
      openKube: () => Promise.resolve(this.#kube()),
      openKubeWriter: () => Promise.resolve(this.kubeWriter),
      dial: () => Promise.reject(new Error('no test of this world dials')),
      uplinkHost: () => Promise.resolve(this.uplinkHost),
      openPlatform: (log) =>
        Promise.resolve({
          ...this.platform(),
          now: () => this.ipam.now,
          monotonic: () => this.ipam.now,
          openIpam: () => Promise.resolve(this.#openIpam()),
          log,
        }),
      openOvsdb: () => Promise.resolve(this.ovsdb as unknown as OvsdbClient),
    };
  }

  #openIpam(): OpenIpam {
    const { ipam, effects } = this.ipam;
    return { ...(this.store ? directIpam(this.store, effects) : ipam), close: () => undefined };
  }

  #etcd(): EtcdInspector {
    const clock = { serverTime: this.ipam.now, asked: this.ipam.now, answered: this.ipam.now };
    return {
      latency: () => Promise.resolve(1.2),
      status: () => Promise.resolve({ version: '3.4.23', dbBytes: 20_480, hasLeader: true }),
      alarms: () => Promise.resolve([]),
      members: () => Promise.resolve(3),
      mayWrite: () => Promise.resolve(true),
      clock: () => Promise.resolve(clock),
      close: () => undefined,
    };
  }

  #kube(): KubeApi {
    const api: Omit<KubeApi, 'walkPods'> = {
      server: 'https://api.example.org:6443',
      listPods: () => Promise.resolve({ pods: this.pods, resourceVersion: '7' }),
      getPod: (namespace, name) =>
        Promise.resolve(this.pods.find((pod) => pod.namespace === namespace && pod.name === name)),
      listNodes: () => Promise.resolve(this.nodes),
      listStatefulSets: () => Promise.resolve(this.statefulSets),
      getNode: (name) => Promise.resolve(this.nodes.find((node) => node.name === name.toLowerCase())),
      probe: () =>
        Promise.resolve({ serverTime: this.ipam.now, asked: this.ipam.now, answered: this.ipam.now }),
      clusterUid: () => Promise.resolve('cluster-1'),
      anyPod: () => Promise.resolve({ any: this.pods.length > 0, resourceVersion: '7' }),
      close: () => undefined,
      ...this.kube,
    };
    const walkPods: KubeApi['walkPods'] = async (sink, options) => {
      const { pods, resourceVersion } = await api.listPods(options);
      sink.restart();
      sink.add(pods);
      return { resourceVersion };
    };
    return { walkPods, ...api };
  }
}

export const container = (n: number): string => `${n}`.repeat(64).slice(0, 64);
