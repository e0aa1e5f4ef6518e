import type { Attachment } from '../../ipam/model/attachment.ts';
import { orLate } from '../../ipam/model/deadline.ts';
import type { Effects } from '../../ipam/model/effects.ts';
import { bridgeInfoOf, switchOn } from '../host/switch.ts';
import { OUR_COOKIE } from '../dataplane/tables.ts';
import { readFlows } from '../openflow/flows.ts';
import { inspectBridge } from '../ovsdb/bridges.ts';
import { OvsdbClient } from '../ovsdb/client.ts';
import { OvsdbError } from '../ovsdb/errors.ts';
import { portFailed, portTimeout } from '../ovsdb/interface-wait.ts';
import { joinMirrors, removeIdleMirrors } from '../ovsdb/mirrors.ts';
import { OWNER } from '../ovsdb/owner.ts';
import { attachPort, detachPorts, removePort, setExternalIds, unlessThere } from '../ovsdb/ports.ts';
import { asNumber, asRecord, asString, map, type RawRow } from '../ovsdb/protocol.ts';
import { tlsFiles } from '../ovsdb/remote.ts';
import type { OvsdbSession } from '../ovsdb/session.ts';
import { INTERFACE_COLUMNS, PORT_COLUMNS } from '../ovsdb/uplinks.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { BurstBarrier } from './burst-barrier.ts';
import { ChangeQueue } from './change-queue.ts';
import { InUse } from './in-use.ts';
import { KnownBridges } from './known-bridges.ts';
import type { PortEvents } from './lost-ports.ts';
import { RecentFlows } from './recent-flows.ts';
import type { BridgeInfo, PortSpec, Switch } from '../platform/switch.ts';

/** What {@link inspectBridge} reads of a bridge. */
const BRIDGE_COLUMNS = ['name', 'datapath_type', 'datapath_id', 'fail_mode', 'controller'];

const NOBODY: PortEvents = {
  portChanged: () => undefined,
  portMade: () => undefined,
  anyPortChanged: () => undefined,
};

/** What vswitchd reports about one of our interfaces. */
interface InterfaceState {
  readonly name: string;
  readonly ofport: number | undefined;
  readonly error: string | undefined;
}

/** Columns whose change by anybody else breaks a port. */
const OUR_PORT_COLUMNS = ['external_ids', 'tag', 'trunks'];

/**
 * A connection to Open vSwitch that stays open between calls. One monitor follows our interfaces
 * and one our ports, so that calls need no queries for them. It ends when the server leaves a
 * request unanswered; the calls on it fail then, and the next call connects again.
 */
export class WarmSwitch {
  readonly #client: OvsdbClient;
  readonly #interfaces = new Map<string, InterfaceState>();
  /** Callbacks by interface name, called at each change of the interface. */
  readonly #watchers = new Map<string, (state: InterfaceState) => void>();
  readonly #ports = new Map<string, Attachment>();
  /** UUIDs of our mirrors. */
  readonly #mirrors = new Set<string>();
  /** UUIDs of the ports that calls of this agent remove. */
  readonly #removing = new Set<string>();
  /** UUIDs of the ports whose external_ids calls of this agent change. */
  readonly #marking = new Set<string>();
  readonly #events: PortEvents;
  /** Whether the monitors have told what there was at first. */
  #hasBegun = false;
  readonly #bridges: KnownBridges;
  readonly #flows: RecentFlows;
  readonly #effects: Effects;
  readonly #changes: ChangeQueue;
  readonly #inUse = new InUse(() => this.close());
  readonly #burstBarrier: BurstBarrier;

  private constructor(client: OvsdbClient, barrier: BurstBarrier, effects: Effects, events: PortEvents) {
    this.#events = events;
    this.#client = client;
    this.#effects = effects;
    this.#bridges = new KnownBridges((bridge) => this.#lookAt(bridge), effects);
    this.#flows = new RecentFlows((bridge) => readFlows(client.remote, bridge, OUR_COOKIE), effects);
    this.#changes = new ChangeQueue((operations) => client.transact(operations), effects);
    this.#burstBarrier = barrier;
  }

  /**
   * @param silentAfterMs how long the server may leave a request unanswered
   * @param barrier holds the ADDs that are about to add a port
   * @param events receives what happens to our ports without this agent
   * @throws OvsdbError `unreachable`, `timeout`
   */
  static async connect(
    { ovsdb, ovsdbTls }: SwitchAddress,
    silentAfterMs: number,
    barrier: BurstBarrier,
    effects: Effects,
    events: PortEvents = NOBODY,
  ): Promise<WarmSwitch> {
    const tls = tlsFiles(ovsdbTls);
    const client = await OvsdbClient.connect(ovsdb, { deadlineMs: silentAfterMs, ...(tls && { tls }) });
    const warm = new WarmSwitch(client, barrier, effects, events);
    const ours = [['external_ids', 'includes', map({ owner: OWNER })]] as const;
    const others = [['external_ids', 'excludes', map({ owner: OWNER })]] as const;
    const changed = (): void => warm.#bridges.changed();
    try {
      await Promise.all([
        client.monitor('Interface', ours, ['name', 'ofport', 'error'], (row, uuid) =>
          warm.#seeInterface(row, uuid),
        ),
        client.monitor('Port', ours, OUR_PORT_COLUMNS, (row, uuid) => warm.#seePort(row, uuid)),
        client.monitor('Mirror', ours, ['name'], (row, uuid) => warm.#mirrors[row ? 'add' : 'delete'](uuid)),
        client.monitor('Bridge', [], BRIDGE_COLUMNS, (row) => warm.#seeBridge(row)),
        client.monitor('Controller', [], ['target', 'is_connected'], changed),
        client.monitor('Port', others, PORT_COLUMNS, changed),
        client.monitor('Interface', others, [...INTERFACE_COLUMNS, 'mtu'], changed),
      ]);
    } catch (error) {
      warm.close();
      throw error;
    }
    warm.#begin();
    return warm;
  }

  /** From now on reports changes, and the loss of a connection that nobody closes. */
  #begin(): void {
    this.#hasBegun = true;
    this.#client.onLost(() => {
      if (this.#hasBegun) this.#events.anyPortChanged();
    });
  }

  /** Whether the connection is still open. */
  get alive(): boolean {
    return this.#client.lost === undefined;
  }

  /** Closes the connection when the last Switch on it is closed. */
  retire(): void {
    this.#inUse.retire();
  }

  close(): void {
    this.#hasBegun = false;
    this.#bridges.close();
    this.#client.close();
  }

  /**
   * Returns a Switch for one call, which closes it. The connection stays open for the next.
   * @param expiresAt when all its work must be over, in milliseconds of the monotonic clock
   */
  asSwitch(expiresAt: number): Switch {
    const session = this.#client.until(expiresAt);
    const inTime = <T>(work: Promise<T>): Promise<T> =>
      orLate(work, expiresAt, this.#effects, () => lateAnswer(this.#client.remote));
    const use = { session, expiresAt, inTime };
    return {
      ...switchOn(session, this.#client.remote),
      inspectBridge: (bridge) => inTime(this.#bridges.get(bridge)),
      readFlows: (bridge) => this.#flows.get(bridge),
      addPort: (port) => this.#addPort(port, use),
      markPort: (port) => this.#markPort(port, use),
      removePort: (containerId, ifname) => this.#removePort(containerId, ifname, use),
      close: this.#inUse.begin(),
    };
  }

  async #lookAt(bridge: string): Promise<BridgeInfo | undefined> {
    const found = await inspectBridge(this.#client, bridge);
    return found && bridgeInfoOf(found);
  }

  async #addPort(port: PortSpec, { session, expiresAt, inTime }: Use): Promise<void> {
    this.#burstBarrier.forget(port.name);
    await this.#burstBarrier.all();
    const ready = this.#whenReady(port.name, expiresAt);
    try {
      const attaching = this.#changes.commit((label) => attachPort(port, label), expiresAt);
      // The monitor tells nothing more of a port that forwards already.
      if ((await unlessThere(session, port, inTime(attaching))) === 'there') ready.look();
      await joinMirrors(session, port);
    } catch (error) {
      ready.cancel();
      throw error;
    }
    await ready.done;
  }

  async #markPort({ name, externalIds }: PortSpec, { expiresAt, inTime }: Use): Promise<void> {
    const { 'container-id': containerId = '', ifname = '' } = externalIds;
    const uuids = this.#uuidsOf({ containerId, ifname });
    for (const uuid of uuids) this.#marking.add(uuid);
    try {
      await inTime(this.#changes.commit(() => setExternalIds({ name, externalIds }), expiresAt));
    } finally {
      // The monitor reports a change before the database answers its transaction.
      for (const uuid of uuids) this.#marking.delete(uuid);
    }
  }

  /** Returns the UUIDs of the attachment's ports that the monitor has reported. */
  #uuidsOf({ containerId, ifname }: Attachment): string[] {
    return [...this.#ports]
      .filter(([, port]) => port.containerId === containerId && port.ifname === ifname)
      .map(([uuid]) => uuid);
  }

  async #removePort(
    containerId: string,
    ifname: string,
    { session, expiresAt, inTime }: Use,
  ): Promise<'removed' | 'absent'> {
    const uuids = this.#uuidsOf({ containerId, ifname });
    // A port that the monitor has not reported may exist all the same: ask the database itself.
    if (uuids.length === 0) return await removePort(session, containerId, ifname);
    for (const uuid of uuids) this.#removing.add(uuid);
    try {
      await inTime(this.#changes.commit(() => detachPorts(uuids), expiresAt));
    } catch (error) {
      for (const uuid of uuids) this.#removing.delete(uuid);
      throw error;
    }
    if (this.#mirrors.size > 0) await removeIdleMirrors(session);
    return 'removed';
  }

  #seeInterface(row: RawRow | undefined, uuid: string): void {
    if (!row) {
      this.#interfaces.delete(uuid);
      return;
    }
    const before = this.#interfaces.get(uuid);
    const state = {
      name: asString(row['name']) ?? before?.name ?? '',
      ofport: 'ofport' in row ? asNumber(row['ofport']) : before?.ofport,
      error: 'error' in row ? asString(row['error']) : before?.error,
    };
    this.#interfaces.set(uuid, state);
    this.#watchers.get(state.name)?.(state);
  }

  #seePort(row: RawRow | undefined, uuid: string): void {
    const known = this.#ports.get(uuid);
    if (row && !known) {
      const { 'container-id': containerId = '', ifname = '' } = asRecord(row['external_ids']);
      this.#ports.set(uuid, { containerId, ifname });
      this.#events.portMade({ containerId, ifname });
      return;
    }
    if (!row) this.#ports.delete(uuid);
    const isOwnWork = row ? this.#marking.has(uuid) : this.#removing.delete(uuid);
    if (known && !isOwnWork) this.#events.portChanged(known);
  }

  #seeBridge(row: RawRow | undefined): void {
    this.#bridges.changed();
    // The name of a bridge never changes, so only a new one comes with it.
    if (this.#hasBegun && row && 'name' in row) this.#events.anyPortChanged();
  }

  /**
   * `done` resolves when vswitchd has assigned the interface its OpenFlow port number. It rejects
   * with OvsdbError `port-failed` or `port-timeout`, or as the connection was lost.
   */
  #whenReady(name: string, expiresAt: number): Readiness {
    const withinMs = Math.max(0, expiresAt - this.#effects.monotonic());
    let settle: (error?: OvsdbError) => void = () => undefined;
    const done = new Promise<void>((resolve, reject) => {
      settle = (error) => {
        if (error) reject(error);
        else resolve();
      };
    });
    const watch = ({ ofport, error }: InterfaceState): void => {
      if (error !== undefined) settle(portFailed(name, error));
      else if (ofport !== undefined && ofport > 0) settle();
    };
    const timer = this.#effects.schedule(withinMs, () => settle(portTimeout(name, withinMs)));
    const forget = this.#client.onLost(settle);
    this.#watchers.set(name, watch);
    const end = (): void => {
      timer.cancel();
      forget();
      if (this.#watchers.get(name) === watch) this.#watchers.delete(name);
    };
    // With a handler, a rejection does not count as unhandled while the caller still attaches.
    done.then(end, end);
    return {
      done,
      cancel: () => settle(),
      look: () => {
        const known = [...this.#interfaces.values()].find((each) => each.name === name);
        if (known && (known.ofport ?? 0) > 0) settle();
      },
    };
  }
}

/** One call's use of the connection. */
interface Use {
  readonly session: OvsdbSession;
  /** Milliseconds of the monotonic clock. */
  readonly expiresAt: number;
  /** Ends the wait for the work at that time. */
  readonly inTime: <T>(work: Promise<T>) => Promise<T>;
}

/** The wait for an interface that vswitchd is to take up. */
interface Readiness {
  readonly done: Promise<void>;
  /** Ends the wait. */
  cancel(): void;
  /** Ends the wait if the interface forwards already, by what is known of it. */
  look(): void;
}

/** Returns the error of a call whose deadline came before the database's answer. */
export function lateAnswer(remote: string): OvsdbError {
  const what = `Open vSwitch's database at ${remote} did not answer within the deadline of the call`;
  return new OvsdbError('timeout', what);
}
