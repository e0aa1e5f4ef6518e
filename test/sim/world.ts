import { rangeKey } from '../../ipam/records/keys.ts';
import { SimAgent } from './agent.ts';
import { BlockReader } from './changes.ts';
import { callFrom } from './cni-calls.ts';
import { EndedContainers } from './ended.ts';
import { EtcdNetwork } from './etcd-network.ts';
import { SimEtcd, type Snapshot } from './etcd.ts';
import { CommitCheck, type Violation } from './invariants.ts';
import { SimKube } from './kube.ts';
import { containersOf, Kubelet } from './kubelet.ts';
import { Living } from './living.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { runCnictl } from './operator.ts';
import type { Process, Sim } from './process.ts';
import { otherClusters, type OtherCluster } from './other-clusters.ts';
import { manyBlocks, rangeAdd, rangeRecord, rangesOf, type Setup } from './setup.ts';
import { SimStore } from './store.ts';
import { tellCommit } from './tell-commit.ts';

/** A machine of the cluster with what runs on it. */
export interface Host {
  readonly machine: Machine;
  readonly kubelet: Kubelet;
  /** The machine that this one is a clone of. */
  readonly original: Machine | undefined;
  agent: SimAgent | undefined;
}

/** The simulated cluster. */
export class World {
  readonly sim: Sim;
  readonly setup: Setup;
  readonly etcd: SimEtcd;
  readonly network: EtcdNetwork;
  readonly kube: SimKube;
  readonly hosts = new Map<string, Host>();
  readonly reader = new BlockReader();
  readonly living: Living;
  readonly ended = new EndedContainers();
  /** Records that cannot be read, with the values that they had. */
  readonly damaged = new Map<string, string>();
  /** All records that were ever damaged: a snapshot may bring one back. */
  readonly damages: { readonly key: string; readonly bad: string; readonly value: string }[] = [];
  /** How many commands of the operator are under way. */
  commands = 0;
  /** API servers of other clusters, by what tells them from this one's. */
  #others: Readonly<Record<OtherCluster, SimKube>> | undefined;
  /** The operator's own machine. */
  readonly #admin: Machine;
  readonly #files = new Map<string, string>();
  readonly #check: CommitCheck;
  /** etcd's states by time, for setting it back. */
  readonly #snapshots: { readonly time: number; readonly snapshot: Snapshot }[] = [];
  violation: Violation | undefined;

  /** @param etcd the server; a test may pass one that does not do as it should */
  constructor(sim: Sim, setup: Setup, etcd = new SimEtcd(() => sim.scheduler.time)) {
    this.sim = sim;
    this.setup = setup;
    this.etcd = etcd;
    this.network = new EtcdNetwork(this.etcd, setup.etcdLatencyMs);
    this.kube = new SimKube(() => sim.scheduler.time);
    this.living = new Living((address, carriers) => {
      const who = carriers.map(({ containerId, machine }) => `${containerId} on ${machine}`);
      this.violate({
        kind: 'double',
        text: `${address} has two living owners: ${who.join(' and ')}`,
        about: [address, ...carriers.map(({ containerId }) => containerId)],
      });
    });
    this.#check = new CommitCheck(this.reader, this.living, this.ended, this.damaged, () =>
      [...this.hosts.values()].some(({ machine }) => machine.clockOffsetMs !== 0)
        ? undefined
        : this.#admin.now(),
    );
    this.#admin = new Machine(sim, { name: 'admin', node: 'admin', living: this.living });
    this.#admin.boot();
    this.etcd.txn([], rangesOf(setup).map(rangeRecord));
    if (setup.crowded) for (const writes of manyBlocks()) this.etcd.txn([], writes);
    for (const name of setup.machines) this.addHost({ name, node: name });
  }

  /** Notes the first violation and ends the run. */
  violate(violation: Violation): void {
    this.violation ??= violation;
    this.sim.scheduler.stop();
  }

  /** Whether the API server has no pod of that container. */
  isForgotten(containerId: string): boolean {
    return ![...this.kube.pods.values()].some((pod) => containerId.startsWith(`${containersOf(pod)}.`));
  }

  addHost(options: Pick<MachineOptions, 'name' | 'node' | 'imageOf'>): void {
    const machine = new Machine(this.sim, {
      ...options,
      living: this.living,
      onDeleted: ({ containerId }) => {
        if (!this.hosts.get(options.name)?.kubelet.runs(containerId)) return;
        // What the API server forgot is condemned (decision 27), though the runtime keeps it.
        if (this.isForgotten(containerId)) return;
        const text = `container ${containerId} on ${options.name} runs, and a program took its link away`;
        this.violate({ kind: 'cut-off', text, about: [containerId] });
      },
    });
    machine.boot();
    const kubelet = new Kubelet(machine, this.kube, (caller, verb, sandbox, options) =>
      callFrom(this, machine, caller, { verb, sandbox, ...options }),
    );
    const host: Host = { machine, kubelet, original: options.imageOf, agent: undefined };
    this.hosts.set(machine.name, host);
    this.kube.setNode({ name: machine.node, uid: machine.node, ready: true });
    if (this.setup.agents) this.startAgent(host);
  }

  startAgent(host: Host): void {
    const { machine } = host;
    if (!machine.up || host.agent?.alive) return;
    const process = machine.spawn('agent');
    host.agent = new SimAgent(machine, process, this.storeOf(process));
    this.sim.trace.tell(machine.name, () => ({ text: 'the agent starts' }));
  }

  /**
   * Runs a command of the operator. Resolves to its exit status; undefined when it was killed.
   * @param cluster another cluster, whose kubeconfig the operator took by mistake
   */
  async cnictl(argv: string, lives?: number, cluster?: OtherCluster): Promise<number | undefined> {
    const process = this.#admin.spawn(`cnictl ${argv}`, lives);
    this.commands++;
    process.onEnd(() => this.commands--);
    const tools = {
      machine: this.#admin,
      process,
      store: this.storeOf(process),
      kube: cluster ? this.#otherCluster(cluster) : this.kube,
      files: this.#files,
    };
    this.sim.trace.tell(process.name, () => ({ text: 'starts' }));
    const status = await runCnictl(argv, tools);
    this.sim.trace.tell(process.name, () => ({ text: `ends with ${status ?? 'a signal'}` }));
    return status;
  }

  #otherCluster(name: OtherCluster): SimKube {
    this.#others ??= otherClusters(() => this.sim.scheduler.time);
    return this.#others[name];
  }

  /** The operator adds the ranges that are missing; where that is refused, as the refusal says. */
  async addRanges(): Promise<void> {
    for (const range of rangesOf(this.setup)) {
      const known = this.etcd.keys.has(rangeKey(range.name));
      if (known || (await this.cnictl(rangeAdd(range))) !== 2) continue;
      await this.cnictl(`${rangeAdd(range)} --recover`);
    }
  }

  /**
   * Opens the store of a program.
   * @param expiresAt when all its work must be over, in milliseconds of the monotonic clock
   */
  storeOf(process: Process, expiresAt?: number): SimStore {
    const { endpoints, pageSize } = this.setup;
    return new SimStore(this.network, process, {
      expiresAt,
      pageSize,
      tries: endpoints,
      onCommit: (commit) => {
        this.#snapshots.push({ time: this.sim.scheduler.time, snapshot: this.etcd.snapshot() });
        if (this.sim.trace.on) tellCommit(this.sim.trace, process.name, commit, this.reader);
        const violation = this.#check.check(commit, process.alive);
        if (violation) this.violate(violation);
      },
    });
  }

  powerOn(host: Host): void {
    // A machine that the operator took away stays off.
    if (host.machine.up || this.hosts.get(host.machine.name) !== host) return;
    host.machine.boot();
    if (this.setup.agents) this.startAgent(host);
    host.kubelet.boot();
  }

  /** Sets etcd back to what it had so long ago. @param newId true: as another cluster */
  setBack(agoMs: number, newId: boolean): void {
    const until = this.sim.scheduler.time - agoMs;
    const found = this.#snapshots.findLast(({ time }) => time <= until);
    if (!found) return;
    this.#snapshots.length = this.#snapshots.indexOf(found) + 1;
    this.etcd.restore(found.snapshot, newId ? this.#newClusterId() : undefined);
    this.#check.restart();
    this.damaged.clear();
    for (const { key, bad, value } of this.damages)
      if (this.etcd.keys.get(key)?.value === bad) this.damaged.set(key, value);
  }

  /** Empties etcd: by a new data folder, perhaps as the same cluster, or key by key. */
  empty(how: 'new-data' | 'same-cluster' | 'keys-deleted'): void {
    this.#snapshots.length = 0;
    this.#check.restart();
    this.damaged.clear();
    if (how !== 'keys-deleted') this.etcd.wipe(how === 'new-data' ? this.#newClusterId() : undefined);
    else for (const { key } of this.etcd.keys.entries) this.etcd.txn([], [{ kind: 'delete', key }]);
  }

  #newClusterId(): string {
    return String(Number(this.etcd.clusterId) + 1);
  }
}
