import type { Effects } from '../../ipam/model/effects.ts';
import { SERVED_WITHIN_MS } from '../host/switch.ts';
import { ensureBridge, inspectBridge } from '../ovsdb/bridges.ts';
import { OvsdbClient } from '../ovsdb/client.ts';
import { OvsdbError } from '../ovsdb/errors.ts';
import { isServed } from '../ovsdb/liveness.ts';
import { attachPort, detachPorts, explain, findPorts, OWNER, removePort } from '../ovsdb/ports.ts';
import { asNumber, asRecord, asString, map, type Operation, type RawRow } from '../ovsdb/protocol.ts';
import { tlsFiles } from '../ovsdb/remote.ts';
import type { BridgeInfo, PortSpec, Switch } from '../platform/platform.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { BurstBarrier } from './burst-barrier.ts';
import { KnownBridges } from './known-bridges.ts';

/** What vswitchd reports about one of our interfaces. */
interface InterfaceState {
  readonly name: string;
  readonly ofport: number | undefined;
  readonly error: string | undefined;
}

interface OurPort {
  readonly containerId: string;
  readonly ifname: string;
}

/** One queued change: a few operations that belong together. */
interface Change {
  readonly operations: (label: string) => readonly Operation[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A connection to Open vSwitch that stays open between calls. One monitor follows our interfaces
 * and one our ports, so that calls need no queries for them. Changes of concurrent callers share
 * one transaction: vswitchd's work for each transaction grows with the ports of the bridge.
 */
export class WarmSwitch {
  readonly #client: OvsdbClient;
  readonly #interfaces = new Map<string, InterfaceState>();
  /** Callbacks by interface name, called at each change of the interface. */
  readonly #watchers = new Map<string, (state: InterfaceState) => void>();
  readonly #ports = new Map<string, OurPort>();
  readonly #bridges: KnownBridges;
  readonly #effects: Effects;
  readonly #changes: Change[] = [];
  #committing = false;
  readonly #burstBarrier: BurstBarrier;

  private constructor(client: OvsdbClient, barrier: BurstBarrier, effects: Effects) {
    this.#client = client;
    this.#effects = effects;
    this.#bridges = new KnownBridges((bridge) => this.#lookAt(bridge), effects);
    this.#burstBarrier = barrier;
  }

  /**
   * @param barrier holds the ADDs that are about to add a port
   * @throws OvsdbError `unreachable`
   */
  static async connect(
    { ovsdb, ovsdbTls }: SwitchAddress,
    deadlineMs: number,
    barrier: BurstBarrier,
    effects: Effects,
  ): Promise<WarmSwitch> {
    const tls = tlsFiles(ovsdbTls);
    const client = await OvsdbClient.connect(ovsdb, { deadlineMs, ...(tls && { tls }) });
    const warm = new WarmSwitch(client, barrier, effects);
    const ours = [['external_ids', 'includes', map({ owner: OWNER })]] as const;
    const others = [['external_ids', 'excludes', map({ owner: OWNER })]] as const;
    const changed = (): void => warm.#bridges.changed();
    try {
      await Promise.all([
        client.monitor('Interface', ours, ['name', 'ofport', 'error'], (row, uuid) =>
          warm.#seeInterface(row, uuid),
        ),
        client.monitor('Port', ours, ['external_ids'], (row, uuid) => warm.#seePort(row, uuid)),
        client.monitor('Bridge', [], ['name', 'datapath_type'], changed),
        client.monitor('Port', others, ['interfaces'], changed),
        client.monitor('Interface', others, ['type', 'mtu'], changed),
      ]);
    } catch (error) {
      warm.close();
      throw error;
    }
    return warm;
  }

  /** Whether the connection is still open. */
  get alive(): boolean {
    return this.#client.lost === undefined;
  }

  close(): void {
    this.#bridges.close();
    this.#client.close();
  }

  /** Returns a Switch for one call. Closing it leaves the connection open. */
  asSwitch(deadlineMs: number): Switch {
    const client = this.#client;
    return {
      inspectBridge: (bridge) => this.#bridges.get(bridge),
      isServed: () => isServed(client, SERVED_WITHIN_MS),
      createBridge: async (bridge, datapathType) => {
        await ensureBridge(client, { bridge, failMode: 'standalone', datapathType, deadlineMs });
      },
      addPort: (port) => this.#addPort(port, deadlineMs),
      removePort: (containerId, ifname) => this.#removePort(containerId, ifname),
      findPorts: (containerId, ifname) => findPorts(client, containerId, ifname),
      close: () => undefined,
    };
  }

  async #lookAt(bridge: string): Promise<BridgeInfo | undefined> {
    const found = await inspectBridge(this.#client, bridge);
    return found && { userspace: found.datapathType === 'netdev', uplinkMtu: found.uplinkMtu };
  }

  async #addPort(port: PortSpec, deadlineMs: number): Promise<void> {
    this.#burstBarrier.forget(port.name);
    await this.#burstBarrier.all();
    const ready = this.#whenReady(port.name, deadlineMs);
    try {
      await this.#change((label) => attachPort(port, label));
    } catch (error) {
      ready.cancel();
      throw explain(error, port);
    }
    await ready.done;
  }

  async #removePort(containerId: string, ifname: string): Promise<'removed' | 'absent'> {
    const uuids = [...this.#ports]
      .filter(([, port]) => port.containerId === containerId && port.ifname === ifname)
      .map(([uuid]) => uuid);
    // A port that the monitor has not reported may exist all the same: ask the database itself.
    if (uuids.length === 0) return await removePort(this.#client, containerId, ifname);
    await this.#change(() => detachPorts(uuids));
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
    if (!row) {
      this.#ports.delete(uuid);
      return;
    }
    const { 'container-id': containerId = '', ifname = '' } = asRecord(row['external_ids']);
    this.#ports.set(uuid, { containerId, ifname });
  }

  /**
   * `done` resolves when vswitchd has assigned the interface its OpenFlow port number. It rejects
   * with OvsdbError `port-failed` or `port-timeout`.
   */
  #whenReady(name: string, deadlineMs: number): { done: Promise<void>; cancel: () => void } {
    const remedy = 'Look at the log of ovs-vswitchd, and at `ovs-vsctl show`.';
    let cancel = (): void => undefined;
    const done = new Promise<void>((resolve, reject) => {
      const end = (error?: OvsdbError): void => {
        timer.cancel();
        this.#watchers.delete(name);
        if (error) reject(error);
        else resolve();
      };
      const late = `ovs-vswitchd did not take port '${name}' up within ${deadlineMs} ms: does it run?`;
      const timer = this.#effects.schedule(deadlineMs, () =>
        end(new OvsdbError('port-timeout', late, { remedy })),
      );
      cancel = () => end();
      this.#watchers.set(name, ({ ofport, error }) => {
        if (error !== undefined)
          end(new OvsdbError('port-failed', `ovs-vswitchd cannot use port '${name}': ${error}`, { remedy }));
        else if (ofport !== undefined && ofport > 0) end();
      });
    });
    // A rejection must not count as unhandled while the caller still awaits the transaction.
    done.catch(() => undefined);
    return { done, cancel: () => cancel() };
  }

  #change(operations: Change['operations']): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#changes.push({ operations, resolve, reject });
      if (!this.#committing) void this.#commitAll();
    });
  }

  /** Changes that arrive during a transaction share the next one. */
  async #commitAll(): Promise<void> {
    this.#committing = true;
    // Callers in the same turn of the event loop share the first transaction.
    await Promise.resolve();
    while (this.#changes.length > 0) await this.#commit(this.#changes.splice(0));
    this.#committing = false;
  }

  async #commit(changes: readonly Change[]): Promise<void> {
    try {
      await this.#client.transact(changes.flatMap(({ operations }, i) => operations(`${i}`)));
      for (const { resolve } of changes) resolve();
    } catch (error) {
      if (changes.length === 1 || !this.alive) {
        for (const { reject } of changes) reject(error);
        return;
      }
      // One bad change makes the database refuse all. Separate transactions show which one it is.
      for (const change of changes) await this.#commit([change]);
    }
  }
}
