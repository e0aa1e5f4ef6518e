import { isDeepStrictEqual } from 'node:util';
import type { Address } from '../../../ipam/model/address.ts';
import type { Attachment } from '../../../ipam/model/attachment.ts';
import type { Effects, Timer } from '../../../ipam/model/effects.ts';
import { messageOf } from '../../../ipam/model/errors.ts';
import { addressesMarked, localPodOf, type LocalPod, type RecordedPod } from '../../dataplane/local-pod.ts';
import { isLimited } from '../../dataplane/pod-flows.ts';
import type { RangePlace } from '../../dataplane/range-flows.ts';
import { managementSocket } from '../../openflow/management.ts';
import { OvsdbClient } from '../../ovsdb/client.ts';
import { watchPorts, type PortsByBridge, type WatchedPort } from '../../ovsdb/port-watch.ts';
import { tlsFiles } from '../../ovsdb/remote.ts';
import type { Log } from '../../platform/platform.ts';
import type { PortSpec } from '../../platform/switch.ts';
import type { SwitchAddress } from '../../protocol/settings.ts';
import type { ServiceTable } from '../../services/service-table.ts';
import type { BridgeConnection } from './bridge-connection.ts';
import { BridgeKeeper, type BridgeEvents } from './bridge-keeper.ts';

export interface DataplaneOptions {
  readonly ovs: SwitchAddress;
  /** The bridge that serves Services even before a pod is on it. */
  readonly bridge: string;
  /** Undefined: the bridges serve no Services, and only limit pods. */
  readonly table: ServiceTable | undefined;
  /** Opens the OpenFlow connection of a bridge by its socket. */
  readonly connect: (path: string, lost: () => void) => Promise<BridgeConnection>;
  /** Returns what the node's record of the attachment tells; undefined if there is none. */
  readonly recorded: (attachment: Attachment) => RecordedPod | undefined;
  readonly ranges: () => Promise<readonly RangePlace[]>;
  /** Addresses of this node. No Service may take them. */
  readonly nodeAddresses: () => readonly Address[];
  readonly events: (bridge: string) => BridgeEvents;
  readonly log: Log;
  readonly effects: Effects;
}

/** Pause before Open vSwitch's database is tried again, in milliseconds. */
const RETRY_MS = 500;
/** How often ranges and the node's addresses are read again, in milliseconds. */
const READ_EVERY_MS = 30_000;
/** Longest wait for the flows of a port to go before the port goes, in milliseconds. */
const RELEASED_WITHIN_MS = 500;
/** Longest time that a released port may stay, in milliseconds: its removal may have failed. */
const LEAVES_WITHIN_MS = 10_000;
/** Longest wait of the agent's own requests to Open vSwitch's database, in milliseconds. */
const DEADLINE_MS = 5_000;

/**
 * Programs the bridges of this node: follows its ports, its ranges and the Services, and hands them
 * to the keeper of each bridge.
 */
export class Dataplane {
  readonly #options: DataplaneOptions;
  readonly #keepers = new Map<string, BridgeKeeper>();
  #client: OvsdbClient | undefined;
  #ports: (() => PortsByBridge) | undefined;
  #tableKnown = false;
  #rangesKnown = false;
  #servicesKnown = false;
  #ranges: readonly RangePlace[] = [];
  #toldTrouble = '';
  #closed = false;
  #retry: Timer | undefined;
  #reading: Timer | undefined;
  #tableTurn = false;
  readonly #pods = new WeakMap<WatchedPort, LocalPod>();
  /** Ports that a DEL is about to remove: their flows are gone before them. */
  readonly #leaving = new Set<string>();
  /** Called after each look at the ports. */
  readonly #onPorts = new Set<() => void>();

  constructor(options: DataplaneOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#follow();
    if (!this.#options.table) return;
    this.#keeperOf(this.#options.bridge);
    void this.#readOn();
  }

  /** The bridges keep what they do. */
  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#reading?.cancel();
    this.#client?.close();
    for (const keeper of this.#keepers.values()) keeper.close();
    for (const resolve of this.#onPorts) resolve();
  }

  get keepers(): ReadonlyMap<string, BridgeKeeper> {
    return this.#keepers;
  }

  /** The table of Services changed. What changes at once is sent together. */
  tableChanged(): void {
    if (this.#tableTurn) return;
    this.#tableTurn = true;
    void this.#options.effects.yieldTurn().then(() => {
      this.#tableTurn = false;
      this.#takeTable();
    });
  }

  /** From now on the table has all Services and their endpoints. */
  tableKnown(): void {
    this.#tableKnown = true;
    this.#serve();
  }

  /**
   * Serves what the table has. Without the ranges nobody knows which addresses no Service may take,
   * so what an earlier agent programmed stays until they are read.
   */
  #serve(): void {
    if (!this.#tableKnown || !this.#rangesKnown || this.#servicesKnown) return;
    this.#takeTable();
    this.#servicesKnown = true;
    for (const keeper of this.#keepers.values()) keeper.servicesKnown();
  }

  /**
   * Resolves once the bridge does what it is to do for the port and the addresses of its marks.
   * @returns false if that is not so within the time
   */
  async programmed(
    { bridge, name: port, externalIds }: Pick<PortSpec, 'bridge' | 'name' | 'externalIds'>,
    withinMs: number,
  ): Promise<boolean> {
    const addresses = addressesMarked(externalIds);
    if (this.#leaving.delete(port)) this.#seePorts();
    let timer: Timer | undefined;
    let late = false;
    const timeout = new Promise<void>((resolve) => {
      timer = this.#options.effects.schedule(withinMs, () => {
        late = true;
        resolve();
      });
    });
    try {
      for (;;) {
        const keeper = this.#keepers.get(bridge);
        // Each ADD would wait the whole time for a bridge that has been failing for long.
        if (keeper?.isFailing) return false;
        if (keeper && isDeepStrictEqual(keeper.program.pods.get(port)?.addresses, addresses)) {
          await Promise.race([keeper.inPlace(), timeout]);
          return !this.#isOver(late);
        }
        await Promise.race([new Promise<void>((resolve) => this.#onPorts.add(resolve)), timeout]);
        if (this.#isOver(late)) return false;
      }
    } finally {
      timer?.cancel();
    }
  }

  /**
   * Takes away the flows of a port that is about to be removed: its number may be another pod's
   * next. Resolves when they are gone, or after a while without that.
   */
  async release(port: string): Promise<void> {
    const keepers = [...this.#keepers.values()].filter(({ program }) => program.pods.has(port));
    if (keepers.length === 0) return;
    const { effects } = this.#options;
    this.#leaving.add(port);
    effects.schedule(LEAVES_WITHIN_MS, () => {
      if (this.#leaving.delete(port)) this.#seePorts();
    });
    for (const keeper of keepers) {
      keeper.program.removePod(port);
      keeper.changed();
    }
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = effects.schedule(RELEASED_WITHIN_MS, resolve);
    });
    await Promise.race([Promise.all(keepers.map((keeper) => keeper.inPlace())), late]);
    timer?.cancel();
  }

  #isOver(late: boolean): boolean {
    return late || this.#closed;
  }

  /** Follows the ports, on a connection of its own, and connects again when it is lost. */
  async #follow(): Promise<void> {
    const { ovs, effects } = this.#options;
    const again = (): void => {
      if (!this.#closed) this.#retry = effects.schedule(RETRY_MS, () => void this.#follow());
    };
    try {
      const tls = tlsFiles(ovs.ovsdbTls);
      const client = await OvsdbClient.connect(ovs.ovsdb, { deadlineMs: DEADLINE_MS, ...(tls && { tls }) });
      this.#client = client;
      if (this.#closed) client.close();
      let turn = false;
      const look = (): void => {
        if (turn) return;
        turn = true;
        void effects.yieldTurn().then(() => {
          turn = false;
          this.#seePorts();
        });
      };
      this.#ports = await watchPorts(client, look);
      look();
      client.onLost(again);
    } catch (error) {
      this.#client?.close();
      this.#trouble(`Open vSwitch's database cannot be followed: ${messageOf(error)}`);
      again();
    }
  }

  #seePorts(): void {
    if (!this.#ports || this.#closed) return;
    for (const [bridge, ports] of this.#ports()) {
      const known = this.#keepers.get(bridge);
      const pods = ports
        .filter(({ name }) => !this.#leaving.has(name))
        .flatMap((port) => this.#podOf(port) ?? []);
      const isNeeded = this.#options.table
        ? pods.length > 0
        : pods.some(({ limits }) => limits && isLimited(limits));
      const keeper = known ?? (isNeeded ? this.#keeperOf(bridge) : undefined);
      if (keeper?.program.setPods(pods)) keeper.changed();
    }
    for (const resolve of this.#onPorts) resolve();
    this.#onPorts.clear();
  }

  /** The watch hands in the same object as long as nothing of the port changes. */
  #podOf(port: WatchedPort): LocalPod | undefined {
    const known = this.#pods.get(port);
    if (known) return known;
    const { 'container-id': containerId = '', ifname = '' } = port.externalIds;
    const pod = localPodOf(port, this.#options.recorded({ containerId, ifname }) ?? {});
    if (pod) this.#pods.set(port, pod);
    return pod;
  }

  #keeperOf(bridge: string): BridgeKeeper {
    const known = this.#keepers.get(bridge);
    if (known) return known;
    const { connect, ovs, events, effects, table } = this.#options;
    const path = managementSocket(ovs.ovsdb, bridge);
    const keeper = new BridgeKeeper({
      connect: (lost) => connect(path, lost),
      services: table !== undefined,
      events: events(bridge),
      effects,
    });
    this.#keepers.set(bridge, keeper);
    keeper.program.setRanges(this.#ranges);
    for (const [key, frontend] of table?.all() ?? []) keeper.program.setFrontend(key, frontend);
    if (this.#servicesKnown || !table) keeper.servicesKnown();
    else keeper.changed();
    return keeper;
  }

  #takeTable(): void {
    const { table } = this.#options;
    if (!table) return;
    const { changed, removed } = table.take();
    if (changed.size === 0 && removed.size === 0) return;
    for (const keeper of this.#keepers.values()) {
      for (const key of removed) keeper.program.setFrontend(key, undefined);
      for (const [key, frontend] of changed) keeper.program.setFrontend(key, frontend);
      if (this.#servicesKnown) keeper.changed();
    }
  }

  async #readOn(): Promise<void> {
    await this.#read();
    if (this.#closed) return;
    const pauseMs = this.#rangesKnown ? READ_EVERY_MS : RETRY_MS;
    this.#reading = this.#options.effects.schedule(pauseMs, () => void this.#readOn());
  }

  async #read(): Promise<void> {
    try {
      this.#ranges = await this.#options.ranges();
      this.#rangesKnown = true;
    } catch (error) {
      this.#trouble(`the ranges cannot be read: ${messageOf(error)}`);
    }
    if (this.#closed) return;
    for (const keeper of this.#keepers.values()) if (keeper.program.setRanges(this.#ranges)) keeper.changed();
    this.#options.table?.setForbidden({
      ranges: this.#ranges,
      nodeAddresses: this.#options.nodeAddresses(),
    });
    this.tableChanged();
    this.#serve();
  }

  /** Logs what goes on being wrong once. */
  #trouble(what: string): void {
    if (what !== this.#toldTrouble)
      this.#options.log.warn('the bridges are not programmed', { reason: what });
    this.#toldTrouble = what;
  }
}
