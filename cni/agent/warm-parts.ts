import { hostname } from 'node:os';
import type { Ipam } from '../../ipam/allocator.ts';
import type { EtcdSettings } from '../../ipam/etcd/settings.ts';
import { openEtcdStore } from '../../ipam/etcd/store.ts';
import { OrderQueue, type HoldingsCache } from '../../ipam/orders.ts';
import { realSurroundings } from '../../ipam/retry.ts';
import type { Kernel, LaterAnnouncement, Log, Parts, Switch, SwitchAddress } from '../parts.ts';
import { sendAnnouncements } from '../real/announcement.ts';
import { readBoot } from '../real/boot.ts';
import { runDelegate } from '../real/delegate.ts';
import { sharedKernel } from '../real/kernel.ts';
import type { IpamPlace } from '../reconcile/places.ts';
import type { Environment } from '../request.ts';
import { NodeState } from '../state/node-state.ts';
import { lock, tryLock } from '../real/lock.ts';
import { realNamespaces } from '../real/namespaces.ts';
import { ETCD_DEADLINE_MS } from '../with-ipam.ts';
import { Gathering } from './gathering.ts';
import { StockKeeper } from './stock-keeper.ts';
import { observed, observedStore, observedSwitch } from './observed.ts';
import { WarmSwitch } from './warm-switch.ts';
import type { Watch } from './watch.ts';

interface WarmIpam {
  readonly ipam: Ipam;
  readonly keeper: StockKeeper;
  close(): void;
}

/** Parts whose connections live on from call to call: one for each etcd cluster and each Open vSwitch that calls name. */
export class WarmParts {
  readonly #watch: Watch;
  readonly #log: Log;
  readonly #ipams = new Map<string, WarmIpam>();
  readonly #switches = new Map<string, Promise<WarmSwitch>>();
  readonly #boot = readBoot();
  /** Links that are being made: their ports follow. */
  readonly #gathering = new Gathering();
  readonly #kernel: Kernel = {
    ...sharedKernel,
    createVeth: (spec) => {
      this.#gathering.expect(spec.hostName);
      return sharedKernel.createVeth(spec).catch((error: unknown) => {
        this.#gathering.forget(spec.hostName);
        throw error;
      });
    },
    deleteLink: (name, alias) => {
      this.#gathering.forget(name);
      return sharedKernel.deleteLink(name, alias);
    },
  };

  constructor(watch: Watch, log: Log) {
    this.#watch = watch;
    this.#log = log;
  }

  /** For one call, in the environment that it brings. */
  forCall(env: Environment): Parts {
    return {
      now: () => Date.now(),
      hostname: hostname(),
      ...this.#boot,
      openIpam: (settings) => Promise.resolve({ ...this.ipam(settings), close: () => undefined }),
      openSwitch: (at, deadlineMs) => this.#openSwitch(at, deadlineMs),
      openKernel: () => Promise.resolve(this.#kernel),
      namespaces: realNamespaces,
      openState: (dir) =>
        new NodeState(dir, (what) => this.#log.warn('trouble with a record of the node', { what })),
      lock,
      tryLock,
      runDelegate: (call) => runDelegate(call, env),
      isCrowded: () => this.#gathering.size > 0,
      announceLater: (announcement) => void this.#announce(announcement),
      log: this.#log,
      onStep: this.#watch.metrics.stepTimer(),
      onCleared: (cleared) => this.#watch.metrics.countCleared(cleared),
    };
  }

  /** With the memory of what the node holds. @throws IpamError `invalid` */
  ipam(settings: EtcdSettings): Ipam {
    return this.#warm(settings).ipam;
  }

  /** The node gives idle blocks back also where nothing has been allocated on it since this process began, as while it is drained. */
  lookAfter({ etcd, node }: IpamPlace): void {
    this.#warm(etcd).keeper.lookAfter(node);
  }

  #warm(settings: EtcdSettings): WarmIpam {
    const key = JSON.stringify(settings);
    const warm = this.#ipams.get(key) ?? openIpam(settings, key, this.#watch, this.#log);
    this.#ipams.set(key, warm);
    return warm;
  }

  /** Forgets every connection: the next call opens its own, by files and settings as they are then. */
  forget(): void {
    this.#watch.forget();
    for (const warm of this.#ipams.values()) warm.close();
    this.#ipams.clear();
    for (const opening of this.#switches.values()) closeWhenOpen(opening);
    this.#switches.clear();
  }

  async #openSwitch(at: SwitchAddress, deadlineMs: number): Promise<Switch> {
    const told = (error: unknown): void => this.#watch.usedSwitch(at.ovsdb, error);
    // A connection that stands says nothing yet of the server: the requests on it do.
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
    // Others may have begun to connect anew while this one looked.
    const now = this.#switches.get(key);
    const opening = now && now !== known ? now : WarmSwitch.connect(at, deadlineMs, this.#gathering);
    this.#switches.set(key, opening);
    return await opening;
  }

  async #announce(announcement: LaterAnnouncement): Promise<void> {
    try {
      await sendAnnouncements(announcement);
    } catch (error) {
      // The pod may be gone by now; its first announcement has gone out.
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
  const cache: HoldingsCache = new Map();
  const known = { store, around: realSurroundings, cache, witness: watch.witness(key) };
  const queued = { ...known, queue: new OrderQueue(known, ETCD_DEADLINE_MS) };
  const keeper = new StockKeeper(queued, cache, log);
  return {
    ipam: { ...queued, allocated: (request) => keeper.noted(request) },
    keeper,
    close: () => {
      keeper.stop();
      store.close();
    },
  };
}
