import { hostname } from 'node:os';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import { sendAnnouncements } from '../host/announcement.ts';
import { readBoot } from '../host/boot.ts';
import { runDelegate } from '../host/delegate.ts';
import { hostEffects } from '../host/effects.ts';
import { sharedKernel } from '../host/kernel.ts';
import { lock, tryLock } from '../host/lock.ts';
import { hostNamespaces } from '../host/namespaces.ts';
import { NodeState } from '../host/node-state.ts';
import { readShared } from '../host/shared-config.ts';
import { ETCD_DEADLINE_MS } from '../platform/connections.ts';
import type { Kernel, LaterAnnouncement, Log, Platform, Switch } from '../platform/platform.ts';
import type { Environment } from '../protocol/request.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { IpamPlace } from '../reconcile/places.ts';
import type { AgentPlatform } from './agent.ts';
import { BurstBarrier } from './burst-barrier.ts';
import { observed, observedStore, observedSwitch } from './observed.ts';
import { warmIpam, type WarmIpam } from './warm-ipam.ts';
import { WarmSwitch } from './warm-switch.ts';
import type { Watch } from './watch.ts';

/**
 * A platform that keeps its connections from call to call: one for each etcd cluster and each
 * Open vSwitch that calls name.
 */
export class WarmPlatform implements AgentPlatform {
  readonly readShared = readShared;
  readonly #watch: Watch;
  readonly #log: Log;
  readonly #ipams = new Map<string, WarmIpam>();
  readonly #switches = new Map<string, Promise<WarmSwitch>>();
  readonly #boot = readBoot();
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

  constructor(watch: Watch, log: Log) {
    this.#watch = watch;
    this.#log = log;
  }

  /** Returns the platform for one call with this environment. */
  forCall(env: Environment): Platform {
    return {
      now: hostEffects.now,
      yieldTurn: hostEffects.yieldTurn,
      hostname: hostname(),
      ...this.#boot,
      openIpam: (settings) => Promise.resolve({ ...this.ipam(settings), close: () => undefined }),
      openSwitch: (at, deadlineMs) => this.#openSwitch(at, deadlineMs),
      openKernel: () => Promise.resolve(this.#kernel),
      namespaces: hostNamespaces,
      openState: (dir) =>
        new NodeState(dir, (what) => this.#log.warn('trouble with a record of the node', { what })),
      lock,
      tryLock,
      runDelegate: (call) => runDelegate(call, env),
      inBurst: () => this.#burstBarrier.size > 0,
      announceLater: (announcement) => void this.#announce(announcement),
      log: this.#log,
      onStep: this.#watch.metrics.stepTimer(),
      onCleared: (cleared) => this.#watch.metrics.countCleared(cleared),
    };
  }

  /** Returns an Ipam that caches the node blocks. Throws IpamError `invalid`. */
  ipam(settings: EtcdSettings): Ipam {
    return this.#warm(settings).ipam;
  }

  /**
   * Returns idle blocks of the node from now on, even if this process never allocates an address on
   * it, for example while the node is drained.
   */
  lookAfter({ etcd, node }: IpamPlace): void {
    this.#warm(etcd).keeper.lookAfter(node);
  }

  #warm(settings: EtcdSettings): WarmIpam {
    const key = JSON.stringify(settings);
    const warm = this.#ipams.get(key) ?? openIpam(settings, key, this.#watch, this.#log);
    this.#ipams.set(key, warm);
    return warm;
  }

  /** Closes every connection. The next call opens its own with the current files and settings. */
  forget(): void {
    this.#watch.forget();
    for (const warm of this.#ipams.values()) warm.close();
    this.#ipams.clear();
    for (const opening of this.#switches.values()) closeWhenOpen(opening);
    this.#switches.clear();
  }

  async #openSwitch(at: SwitchAddress, deadlineMs: number): Promise<Switch> {
    const told = (error: unknown): void => this.#watch.usedSwitch(at.ovsdb, error);
    // An open connection proves nothing about the server's health; the requests on it do.
    const warm = await observed(this.#switch(at, deadlineMs), (error) => {
      if (error !== undefined) told(error);
    });
    return observedSwitch(warm.asSwitch(deadlineMs), told, (does) =>
      this.#watch.usedVswitchd(at.ovsdb, does),
    );
  }

  async #switch(at: SwitchAddress, deadlineMs: number): Promise<WarmSwitch> {
    const key = JSON.stringify(at);
    const known = this.#switches.get(key);
    if (known && (await isAlive(known))) return await known;
    if (known) closeWhenOpen(known);
    // Another call may have started to connect during the await above.
    const now = this.#switches.get(key);
    const opening =
      now && now !== known ? now : WarmSwitch.connect(at, deadlineMs, this.#burstBarrier, hostEffects);
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

function closeWhenOpen(opening: Promise<WarmSwitch>): void {
  opening.then(
    (warm) => warm.close(),
    () => undefined,
  );
}

function openIpam(settings: EtcdSettings, key: string, watch: Watch, log: Log): WarmIpam {
  const endpoints = settings.endpoints.join(',');
  const store = observedStore(openEtcdStore(settings, { deadlineMs: ETCD_DEADLINE_MS }), (error) =>
    watch.usedEtcd(endpoints, error),
  );
  return warmIpam(store, hostEffects, watch.observer(key), log);
}
