import { hostname } from 'node:os';
import { orLate } from '../../ipam/model/deadline.ts';
import type { Attachment } from '../../ipam/model/attachment.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Store } from '../../ipam/store/store.ts';
import type { Range } from '../../ipam/model/range.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import { sendAnnouncements } from '../host/announcement.ts';
import { readBoot } from '../host/boot.ts';
import { runDelegate } from '../host/delegate.ts';
import { hostEffects } from '../host/effects.ts';
import { sharedKernel } from '../host/kernel.ts';
import { openLocalNode } from '../host/local-node.ts';
import { lock, tryLock } from '../host/lock.ts';
import { keepMachineOf } from '../host/machine.ts';
import { hostNamespaces } from '../host/namespaces.ts';
import { NodeState } from '../host/node-state.ts';
import { PodFacts } from '../host/pod-facts.ts';
import { readShared } from '../host/shared-config.ts';
import { silentEndpointsIn } from '../host/silent-endpoints.ts';
import { DEFAULT_DEADLINE_MS } from '../ovsdb/client.ts';
import { ETCD_DEADLINE_MS } from '../platform/connections.ts';
import { Deadlines } from '../platform/deadlines.ts';
import type { Kernel, LaterAnnouncement, Log, Platform } from '../platform/platform.ts';
import type { Environment } from '../protocol/request.ts';
import { stateDirOf, type SwitchAddress } from '../protocol/settings.ts';
import type { IpamPlace } from '../reconcile/places.ts';
import type { AgentPlatform } from './agent.ts';
import { BurstBarrier } from './burst-barrier.ts';
import { observed, observedStore, observedSwitch } from './observed.ts';
import { KnownRanges } from './known-ranges.ts';
import { warmIpam, type WarmIpam } from './warm-ipam.ts';
import { LostPorts } from './lost-ports.ts';
import { lateAnswer, WarmSwitch } from './warm-switch.ts';
import type { Watch } from './watch.ts';
import { WriteWatch } from './write-watch.ts';
import type { PortSpec, Switch } from '../platform/switch.ts';

/** A warm IPAM, and whether its etcd takes writes. */
interface ObservedIpam extends WarmIpam {
  readonly ranges: KnownRanges;
  readonly writes: WriteWatch;
}

/**
 * A platform that keeps its connections from call to call: one for each etcd cluster and each
 * Open vSwitch that calls name.
 */
export class WarmPlatform implements AgentPlatform {
  readonly readShared = readShared;
  /** Whether the agent reconciles its node, by its latest settings. */
  reconciles = true;
  /** Reconciles the node soon: pods may have lost their ports. */
  repairSoon: () => void = () => undefined;
  /** For each new or marked port. Resolves once the bridge does what it is to do for it. */
  programmed: (at: SwitchAddress, port: PortSpec) => Promise<void> = () => Promise.resolve();
  /** Called before a port is removed. Resolves once the bridge does nothing for it any more. */
  released: (at: SwitchAddress, attachment: Attachment) => Promise<void> = () => Promise.resolve();
  readonly #watch: Watch;
  readonly #states = new Map<string, NodeState>();
  readonly #log: Log;
  /** The agent's own environment: it names the machine, whatever the environment of a call. */
  readonly #env: Environment;
  readonly #startedAt = hostEffects.now();
  readonly #ipams = new Map<string, ObservedIpam>();
  readonly #switches = new Map<string, Promise<WarmSwitch>>();
  readonly #boot = readBoot();
  readonly #podFacts: PodFacts;
  /** Counts the links that have no port yet. */
  readonly #burstBarrier = new BurstBarrier(hostEffects);
  readonly #kernel: Kernel = {
    ...sharedKernel,
    createVeth: (spec) => {
      this.#burstBarrier.expect(spec.hostName);
      return sharedKernel.createVeth(spec).catch((error: unknown) => {
        this.#burstBarrier.forget(spec.hostName);
        throw error;
      });
    },
    deleteLink: (name, alias) => {
      this.#burstBarrier.forget(name);
      return sharedKernel.deleteLink(name, alias);
    },
  };

  readonly #lostPorts = new LostPorts(
    () => this.#kernel.hostLinks(),
    () => this.repairSoon(),
    hostEffects,
  );

  constructor(watch: Watch, log: Log, env: Environment) {
    this.#watch = watch;
    this.#log = log;
    this.#env = env;
    this.#podFacts = new PodFacts(env, 'cellnetd', hostEffects);
  }

  /** Returns the platform for one call with this environment. */
  forCall(env: Environment): Platform {
    return {
      now: hostEffects.now,
      monotonic: hostEffects.monotonic,
      deadlines: new Deadlines(hostEffects.monotonic),
      yieldTurn: hostEffects.yieldTurn,
      hostname: hostname(),
      ...this.#boot,
      machine: () => keepMachineOf(this.#env, stateDirOf(env)),
      // A relative state folder must reject and not throw.
      openIpam: async (settings, expiresAt) => {
        const warm = this.#warm(settings, stateDirOf(env));
        const { ipam, writes } = warm;
        return Promise.resolve({ ...ipam.until(expiresAt), writes, close: warm.begin() });
      },
      openSwitch: (at, expiresAt) => this.#openSwitch(at, expiresAt),
      openKernel: () => Promise.resolve(this.#kernel),
      namespaces: hostNamespaces,
      openState: (dir) => this.#openState(dir),
      lock,
      tryLock,
      runDelegate: (call) => runDelegate(call, env),
      podFacts: (kubeconfig, pod, sources) => this.#podFacts.ask(kubeconfig, pod, sources),
      inBurst: () => this.#burstBarrier.size > 0,
      announceLater: (announcement) => void this.#announce(announcement),
      log: this.#log,
      onStep: this.#watch.metrics.stepTimer(),
      onCleared: (cleared) => this.#watch.metrics.countCleared(cleared),
    };
  }

  /**
   * From now on returns idle blocks of the node and tells that this agent is alive, even if this
   * process never allocates an address on it, for example while the node is drained.
   */
  lookAfter({ etcd, node }: IpamPlace, stateDir: string): void {
    const { keeper, presence, writes } = this.#warm(etcd, stateDir);
    keeper.lookAfter(node);
    writes.lookAfter(node);
    presence.announce(node);
  }

  /** Reads all ranges of an etcd. @throws IpamError */
  ranges({ etcd }: IpamPlace, stateDir: string): Promise<readonly Range[]> {
    return this.#warm(etcd, stateDir).ranges.read();
  }

  /** Tells that this agent ends. Never rejects. */
  async withdraw(): Promise<void> {
    await Promise.all([...this.#ipams.values()].map(({ presence }) => presence.withdraw()));
  }

  #warm(settings: EtcdSettings, stateDir: string): ObservedIpam {
    const key = JSON.stringify([settings, stateDir]);
    const warm = this.#ipams.get(key) ?? this.#openIpam(settings, stateDir, key);
    this.#ipams.set(key, warm);
    return warm;
  }

  /** @param cluster any text that is unique to the cluster */
  #openIpam(settings: EtcdSettings, stateDir: string, cluster: string): ObservedIpam {
    const endpoints = settings.endpoints.join(',');
    const etcd = openEtcdStore(settings, {
      deadlineMs: ETCD_DEADLINE_MS,
      silent: silentEndpointsIn(stateDir),
    });
    const store: Store = observedStore(
      etcd,
      (error) => this.#watch.usedEtcd(endpoints, error),
      (error) => writes.told(error),
    );
    const writes = new WriteWatch({
      store,
      effects: hostEffects,
      tell: (refusal) => this.#watch.wroteEtcd(endpoints, refusal),
    });
    const observer = this.#watch.observer(cluster);
    const warm = warmIpam({
      etcd,
      store,
      effects: hostEffects,
      local: openLocalNode(this.forCall({ CELLNET_STATE_DIR: stateDir }), stateDir, settings, {
        schedule: hostEffects.schedule,
      }),
      observer: {
        ...observer,
        holds: (node, blocks) => {
          observer.holds(node, blocks);
          writes.lookAfter(node);
        },
      },
      log: this.#log,
      since: this.#startedAt,
      reconciles: () => this.reconciles,
      report: () => this.#watch.report(),
      usage: {
        told: (forecast) => this.#watch.metrics.usage.told(forecast),
        failed: () => this.#watch.metrics.usage.failed(),
      },
    });
    const retire = (): void => {
      writes.stop();
      warm.retire();
    };
    return { ...warm, ranges: new KnownRanges(store), writes, retire };
  }

  /**
   * Makes the next calls open connections of their own, with the current files and settings. Calls
   * under way end on those they have, which are closed then.
   */
  forget(): void {
    this.#watch.forget();
    void this.#podFacts.close();
    for (const warm of this.#ipams.values()) warm.retire();
    this.#ipams.clear();
    for (const opening of this.#switches.values()) retireWhenOpen(opening);
    this.#switches.clear();
  }

  /** Every call opens the folder several times, and nearly all calls the same one. */
  #openState(dir: string): NodeState {
    const known = this.#states.get(dir);
    if (known) return known;
    const state = new NodeState(dir, (what) => this.#log.warn('trouble with a record of the node', { what }));
    this.#states.set(dir, state);
    return state;
  }

  async #openSwitch(at: SwitchAddress, expiresAt: number): Promise<Switch> {
    const told = (error: unknown): void => this.#watch.usedSwitch(at.ovsdb, error);
    const opening = orLate(this.#switch(at), expiresAt, hostEffects, () => lateAnswer(at.ovsdb));
    // An open connection proves nothing about the server's health; the requests on it do.
    const warm = await observed(opening, (error) => {
      if (error !== undefined) told(error);
    });
    const ovs = observedSwitch(warm.asSwitch(expiresAt), told, (does) =>
      this.#watch.usedVswitchd(at.ovsdb, does),
    );
    return {
      ...ovs,
      addPort: async (port) => {
        await ovs.addPort(port);
        await this.programmed(at, port);
      },
      markPort: async (port) => {
        await ovs.markPort(port);
        await this.programmed(at, port);
      },
      removePort: async (containerId, ifname) => {
        await this.released(at, { containerId, ifname });
        return await ovs.removePort(containerId, ifname);
      },
    };
  }

  async #switch(at: SwitchAddress): Promise<WarmSwitch> {
    const key = JSON.stringify(at);
    const known = this.#switches.get(key);
    if (known && (await isAlive(known))) return await known;
    if (known) retireWhenOpen(known);
    // Another call may have started to connect during the await above.
    const now = this.#switches.get(key);
    const opening =
      now && now !== known
        ? now
        : WarmSwitch.connect(at, DEFAULT_DEADLINE_MS, this.#burstBarrier, hostEffects, this.#lostPorts);
    this.#switches.set(key, opening);
    return await opening;
  }

  async #announce(announcement: LaterAnnouncement): Promise<void> {
    try {
      await sendAnnouncements(announcement);
    } catch (error) {
      // The pod may be gone by now. The ADD has already sent the first announcement.
      this.#log.info('announcements were cut short', { ifname: announcement.ifname, reason: String(error) });
    }
  }
}

async function isAlive(opening: Promise<WarmSwitch>): Promise<boolean> {
  try {
    return (await opening).alive;
  } catch {
    return false;
  }
}

/** Those who wait for the connection begin to use it before it is retired. */
function retireWhenOpen(opening: Promise<WarmSwitch>): void {
  opening.then(
    async (warm) => {
      await hostEffects.yieldTurn();
      warm.retire();
    },
    () => undefined,
  );
}
