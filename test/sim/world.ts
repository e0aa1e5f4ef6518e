import { NODES, RANGES, rangeKey } from '../../ipam/records/keys.ts';
import { isDrainKey } from '../../ipam/records/node-record.ts';
import { decodeRange } from '../../ipam/records/range-record.ts';
import { directIpam } from '../../ipam/node/ipam.ts';
import type { OpenIpam, Platform } from '../../cni/platform/platform.ts';
import type { Verb } from '../../cni/protocol/request.ts';
import { WriteBackLog } from '../../cni/platform/log-write-back.ts';
import { silentObserver } from '../../ipam/node/observer.ts';
import type { Act } from './acts.ts';
import { SimAgent } from './agent.ts';
import { callPlugin, type CalledSandbox, type CallOutcome } from './calls.ts';
import { BlockReader } from './changes.ts';
import { EtcdNetwork, type EtcdCondition } from './etcd-network.ts';
import { SimEtcd, type Snapshot } from './etcd.ts';
import { CommitCheck, type Violation } from './invariants.ts';
import { Kubelet } from './kubelet.ts';
import { SimKube } from './kube.ts';
import { Living } from './living.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { runCnictl } from './operator.ts';
import { localNodeOf } from './platform.ts';
import { NEVER, type Process, type Sim } from './process.ts';
import { rangeAdd, rangeRecord, type Setup } from './setup.ts';
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

/** The longest that a call may take, in milliseconds of simulated time. */
const CALL_DEADLINE_MS: Readonly<Partial<Record<Verb, number>>> = { ADD: 60_000, DEL: 60_000 };

/** The simulated cluster, and the acts that change it. */
export class World {
  readonly sim: Sim;
  readonly setup: Setup;
  readonly etcd: SimEtcd;
  readonly network: EtcdNetwork;
  readonly kube: SimKube;
  readonly hosts = new Map<string, Host>();
  readonly reader = new BlockReader();
  readonly living: Living;
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
    this.#check = new CommitCheck(this.reader, this.living, () =>
      [...this.hosts.values()].some(({ machine }) => machine.clockOffsetMs !== 0)
        ? undefined
        : this.#admin.now(),
    );
    this.#admin = new Machine(sim, { name: 'admin', node: 'admin', living: this.living });
    this.#admin.boot();
    this.etcd.txn([], setup.ranges.map(rangeRecord));
    for (const name of setup.machines) this.#addHost({ name, node: name });
  }

  /** Notes the first violation and ends the run. */
  violate(violation: Violation): void {
    this.violation ??= violation;
    this.sim.scheduler.stop();
  }

  #addHost(options: Pick<MachineOptions, 'name' | 'node' | 'imageOf'>): void {
    const machine = new Machine(this.sim, {
      ...options,
      living: this.living,
      onDeleted: ({ containerId }) => {
        if (!this.hosts.get(options.name)?.kubelet.runs(containerId)) return;
        const text = `container ${containerId} on ${options.name} runs, and a program took its link away`;
        this.violate({ kind: 'cut-off', text, about: [containerId] });
      },
    });
    machine.boot();
    const kubelet = new Kubelet(machine, this.kube, (caller, verb, sandbox, options) =>
      this.#call(machine, caller, verb, sandbox, options),
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
    host.agent = new SimAgent(machine, process, this.#storeOf(process));
    this.sim.trace.tell(machine.name, () => ({ text: 'the agent starts' }));
  }

  /** Runs a command of the operator. Resolves to its exit status; undefined when it was killed. */
  async cnictl(argv: string, lives?: number): Promise<number | undefined> {
    const process = this.#admin.spawn(`cnictl ${argv}`, lives);
    const tools = {
      machine: this.#admin,
      process,
      store: this.#storeOf(process),
      kube: this.kube,
      files: this.#files,
    };
    this.sim.trace.tell(process.name, () => ({ text: 'starts' }));
    const status = await runCnictl(argv, tools);
    this.sim.trace.tell(process.name, () => ({ text: `ends with ${status ?? 'a signal'}` }));
    return status;
  }

  /** The operator adds the ranges that are missing. */
  async addRanges(): Promise<void> {
    for (const range of this.setup.ranges) {
      const known = this.etcd.keys.has(rangeKey(range.name));
      if (!known) await this.cnictl(rangeAdd(range));
    }
  }

  perform(act: Act): void {
    switch (act.do) {
      case 'start':
        this.#hostOf(act.machine)?.kubelet.start(act.pod, act);
        return;
      case 'stop':
        this.#kubeletWith(act.pod)?.stop(act.pod, act.ending, act.lives);
        return;
      case 'renew':
        this.#kubeletWith(act.pod)?.renew(act.pod, act.ending, act.same);
        return;
      case 'again':
        this.#kubeletWith(act.pod)?.again(act.pod, act.verb);
        return;
      case 'gc':
        this.#hostOf(act.machine)?.kubelet.collectGarbage();
        return;
      case 'forget-pod':
        this.#forgetPod(act.pod);
        return;
      case 'kill-agent':
        this.#killAgent(act.machine, act.forMs);
        return;
      case 'give-back':
        void this.#hostOf(act.machine)?.agent?.giveBack();
        return;
      case 'power-cut':
        this.#cutPower(act.machine, act.forMs);
        return;
      case 'clone':
        this.#clone(act.machine, act.as);
        return;
      case 'clock':
        this.#jump(act.machine, act.byMs);
        return;
      case 'etcd-trouble':
        this.#trouble(act, act.forMs);
        return;
      case 'etcd-set-back':
        this.#setBack(act.agoMs, act.newId);
        return;
      case 'etcd-empty':
        this.#empty(act.how);
        return;
      case 'etcd-compact':
        this.etcd.compact();
        return;
      case 'ovs':
        this.#ovsTrouble(act.machine, act.how, act.forMs);
        return;
      case 'kube-away':
        this.#during(act.forMs, 'the API server is away', 'the API server answers again', (on) => {
          this.kube.away = on;
        });
        return;
      case 'kube-stale':
        this.#during(
          act.forMs,
          `the API server is ${act.byMs} ms behind`,
          'the API server is up to date',
          (on) => {
            this.kube.staleMs = on ? act.byMs : 0;
          },
        );
        return;
      case 'add-ranges':
        void this.addRanges();
        return;
      case 'cnictl':
        void this.cnictl(act.argv, act.lives);
        return;
    }
  }

  /**
   * Ends every fault: machines have power, agents run, servers answer. The operator takes clones
   * away, and gives their name to the machine that had it first.
   */
  endFaults(): void {
    this.sim.trace.tell('fault', () => ({ text: 'all faults end', always: true }));
    this.network.conditions.clear();
    Object.assign(this.kube, { away: false, staleMs: 0 });
    for (const host of [...this.hosts.values()]) {
      if (host.original) this.#takeAway(host, host.original);
      else host.machine.ovs.serve();
    }
    for (const host of this.hosts.values()) {
      this.powerOn(host);
      this.startAgent(host);
    }
    void this.addRanges();
    for (const { key, value } of this.etcd.keys.below(RANGES))
      if (decodeRange(key, value).state === 'draining')
        void this.cnictl(`range undrain ${key.slice(RANGES.length)}`);
    for (const { key } of this.etcd.keys.below(NODES))
      if (isDrainKey(key)) void this.cnictl(`node undrain ${key.split('/')[1] ?? ''}`);
  }

  #takeAway({ machine, kubelet }: Host, original: Machine): void {
    machine.losePower();
    kubelet.stopAll();
    this.hosts.delete(machine.name);
    void this.cnictl(`node adopt ${original.node} --machine ${original.identity.id} --yes`);
  }

  /** Ends every pod as it should. */
  endPods(): void {
    this.sim.trace.tell('runtime', () => ({ text: 'every pod ends', always: true }));
    for (const { kubelet } of this.hosts.values()) kubelet.stopAll();
  }

  #hostOf(name: string): Host | undefined {
    return this.hosts.get(name);
  }

  #kubeletWith(pod: string): Kubelet | undefined {
    return [...this.hosts.values()].find(({ kubelet }) => kubelet.has(pod))?.kubelet;
  }

  #storeOf(process: Process, expiresAt?: number): SimStore {
    const { endpoints, pageSize } = this.setup;
    return new SimStore(this.network, process, {
      expiresAt,
      pageSize,
      tries: endpoints,
      onCommit: (commit) => {
        this.#snapshots.push({ time: this.sim.scheduler.time, snapshot: this.etcd.snapshot() });
        tellCommit(this.sim.trace, process.name, commit, this.reader);
        const violation = this.#check.check(commit);
        if (violation) this.violate(violation);
      },
    });
  }

  async #call(
    machine: Machine,
    caller: Process,
    verb: Verb,
    sandbox: CalledSandbox | undefined,
    { lives, config: more }: { readonly lives?: number | undefined; readonly config?: object } = {},
  ): Promise<CallOutcome> {
    const { families, probe, agentShare } = this.setup;
    const config = { ipam: { type: 'cellnet-ipam', families }, addressProbe: probe, ...more };
    const name = sandbox ? `${verb} ${sandbox.containerId}` : verb;
    const plugin = machine.spawn(name, lives);
    const about = sandbox ? [sandbox.containerId, sandbox.pod.name] : [];
    const { scheduler, trace } = this.sim;
    const began = scheduler.time;
    const agent = plugin.random.chance(agentShare) ? this.#hostOf(machine.name)?.agent : undefined;
    trace.tell(plugin.name, () => ({
      text: agent?.alive ? 'begins, by the agent' : 'begins, without agent',
      about,
    }));
    const openIpam = (platform: Platform, expiresAt: number): OpenIpam => ({
      ...directIpam(this.#storeOf(plugin, expiresAt), plugin.effects, localNodeOf(platform), {
        ...silentObserver,
        wroteBack: (_, result) => new WriteBackLog(platform.log).tell(result),
      }),
      close: () => undefined,
    });
    const outcome = await callPlugin(
      machine,
      plugin,
      agent,
      { verb, config, ...(sandbox && { sandbox }) },
      openIpam,
    );
    trace.tell(plugin.name, () => ({ text: outcomeText(outcome), about }));
    if (!caller.alive) return await NEVER;
    const took = scheduler.time - began;
    const limit = CALL_DEADLINE_MS[verb] ?? Infinity;
    if (took > limit)
      this.violate({
        kind: 'deadline',
        text: `${plugin.name} took ${Math.round(took)} ms: expected ${limit} at most`,
        about,
      });
    if (outcome.kind === 'failed' && outcome.code === 999)
      this.violate({ kind: 'internal', text: `${plugin.name}: ${outcome.message}`, about });
    return outcome;
  }

  #forgetPod(name: string): void {
    const pod = [...this.kube.pods.values()].find((each) => each.name === name);
    if (!pod) return;
    this.sim.trace.tell('kube', () => ({ text: `forgets pod ${name}, which still runs`, always: true }));
    this.kube.removePod(pod);
  }

  #killAgent(name: string, forMs: number): void {
    const host = this.#hostOf(name);
    if (!host?.agent?.alive) return;
    this.sim.trace.tell(name, () => ({ text: 'the agent is killed', always: true }));
    host.agent.kill();
    this.sim.scheduler.after(forMs, () => this.startAgent(host));
  }

  #cutPower(name: string, forMs: number): void {
    const host = this.#hostOf(name);
    if (!host?.machine.up) return;
    host.machine.losePower();
    this.sim.scheduler.after(forMs, () => this.powerOn(host));
  }

  powerOn(host: Host): void {
    if (host.machine.up) return;
    host.machine.boot();
    if (this.setup.agents) this.startAgent(host);
    host.kubelet.boot();
  }

  #clone(name: string, as: string): void {
    const original = this.#hostOf(name)?.machine;
    if (!original || this.hosts.has(as)) return;
    this.sim.trace.tell(as, () => ({ text: `is a clone of ${name}, with the same node name`, always: true }));
    this.#addHost({ name: as, node: original.node, imageOf: original });
  }

  #jump(name: string, byMs: number): void {
    const machine = this.#hostOf(name)?.machine;
    if (!machine) return;
    this.sim.trace.tell(name, () => ({ text: `the wall clock jumps by ${byMs} ms`, always: true }));
    machine.clockOffsetMs += byMs;
  }

  #trouble({ how, share, place }: EtcdCondition, forMs: number): void {
    const condition = { how, share, ...(place !== undefined && { place }) };
    const what = `requests ${place === undefined ? '' : `of ${place} `}to etcd`;
    this.#during(forMs, `${what} are ${how} (${Math.round(share * 100)} %)`, `${what} pass again`, (on) => {
      if (on) this.network.conditions.add(condition);
      else this.network.conditions.delete(condition);
    });
  }

  #setBack(agoMs: number, newId: boolean): void {
    const until = this.sim.scheduler.time - agoMs;
    const found = this.#snapshots.findLast(({ time }) => time <= until);
    if (!found) return;
    this.sim.trace.tell('etcd', () => ({ text: `is set back to what it had ${agoMs} ms ago`, always: true }));
    this.#snapshots.length = this.#snapshots.indexOf(found) + 1;
    this.etcd.restore(found.snapshot, newId ? this.#newClusterId() : undefined);
    this.#check.restart();
  }

  #newClusterId(): string {
    return String(Number(this.etcd.clusterId) + 1);
  }

  #empty(how: 'new-data' | 'same-cluster' | 'keys-deleted'): void {
    this.sim.trace.tell('etcd', () => ({ text: `is empty: ${how}`, always: true }));
    this.#snapshots.length = 0;
    this.#check.restart();
    if (how !== 'keys-deleted') this.etcd.wipe(how === 'new-data' ? this.#newClusterId() : undefined);
    else for (const { key } of this.etcd.keys.entries) this.etcd.txn([], [{ kind: 'delete', key }]);
  }

  #ovsTrouble(name: string, how: 'hang' | 'away', forMs: number): void {
    const ovs = this.#hostOf(name)?.machine.ovs;
    if (!ovs) return;
    this.#during(forMs, `Open vSwitch on ${name}: ${how}`, `Open vSwitch on ${name} serves`, (on) => {
      if (!on) ovs.serve();
      else if (how === 'hang') ovs.hang();
      else ovs.goAway();
    });
  }

  /** Turns something on, and off again after that time. */
  #during(forMs: number, begin: string, end: string, turn: (on: boolean) => void): void {
    const { scheduler, trace } = this.sim;
    trace.tell('fault', () => ({ text: begin, always: true }));
    turn(true);
    scheduler.after(forMs, () => {
      trace.tell('fault', () => ({ text: end, always: true }));
      turn(false);
    });
  }
}

function outcomeText(outcome: CallOutcome): string {
  switch (outcome.kind) {
    case 'done':
      return ['done', ...(outcome.result.ips ?? []).map(({ address }) => address)].join(' ');
    case 'failed':
      return `fails with code ${outcome.code}: ${outcome.message}`;
    case 'killed':
      return 'was killed';
  }
}
