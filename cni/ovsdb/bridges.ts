import type { OvsdbClient } from './client.ts';
import { OvsdbError } from './errors.ts';
import { OWNER, waitForInterface } from './ports.ts';
import { asNumber, asString, asUuids, map, namedUuid, set, uuid, type Operation } from './protocol.ts';

export interface BridgeDetails {
  readonly datapathType: 'system' | 'netdev';
  readonly failMode: string | undefined;
  /** Smallest MTU of its uplinks: ports that are devices and not ours; undefined where it has none. */
  readonly uplinkMtu: number | undefined;
}

/** Interface types that are devices of the host; `internal` and tunnels are not (ovs-vswitchd.conf.db(5)). */
const DEVICE_TYPES = ['', 'system', 'dpdk', 'afxdp', 'afxdp-nonpmd'];

/** The bridge, or undefined where there is none. One round trip. */
export async function inspectBridge(client: OvsdbClient, bridge: string): Promise<BridgeDetails | undefined> {
  const notOurs = ['external_ids', 'excludes', map({ owner: OWNER })] as const;
  const [bridges, ports, interfaces] = await client.transact([
    {
      op: 'select',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      columns: ['datapath_type', 'fail_mode', 'ports'],
    },
    { op: 'select', table: 'Port', where: [notOurs], columns: ['_uuid', 'interfaces'] },
    { op: 'select', table: 'Interface', where: [notOurs], columns: ['_uuid', 'type', 'mtu'] },
  ]);
  const found = bridges?.rows?.[0];
  if (!found) return undefined;
  const members = new Set(asUuids(found['ports']));
  const devices = new Set(
    (ports?.rows ?? [])
      .filter((row) => members.has(asUuids(row['_uuid'])[0] ?? ''))
      .flatMap((row) => asUuids(row['interfaces'])),
  );
  const mtus = (interfaces?.rows ?? []).flatMap((row) => {
    const mtu = asNumber(row['mtu']);
    const isUplink =
      devices.has(asUuids(row['_uuid'])[0] ?? '') && DEVICE_TYPES.includes(asString(row['type']) ?? '');
    return isUplink && mtu !== undefined ? [mtu] : [];
  });
  return {
    datapathType: asString(found['datapath_type']) === 'netdev' ? 'netdev' : 'system',
    failMode: asString(found['fail_mode']),
    uplinkMtu: mtus.length > 0 ? Math.min(...mtus) : undefined,
  };
}

export interface BridgePlan {
  readonly bridge: string;
  /** Device that leads to the switch, usually a bond: its port carries all VLANs. */
  readonly uplink?: string | undefined;
  /** `standalone`: the bridge learns MAC addresses by itself, without a controller. */
  readonly failMode: 'standalone' | 'secure';
  readonly datapathType?: 'system' | 'netdev' | undefined;
  /** Longest wait for vswitchd, in milliseconds. */
  readonly deadlineMs?: number;
  readonly dryRun?: boolean;
}

export interface BridgeChanges {
  readonly created: boolean;
  readonly uplinkAdded: boolean;
  /** In words, for people; empty when everything was there. */
  readonly changes: readonly string[];
}

/**
 * Makes the bridge and attaches its uplink, as far as they are not there; done again it changes nothing.
 * Equivalent to: ovs-vsctl --may-exist add-br B -- set bridge B fail_mode=… datapath_type=… -- --may-exist add-port B UPLINK
 * @throws OvsdbError `uplink-taken` where the uplink is on another bridge, `port-failed` where it is no device
 */
export async function ensureBridge(client: OvsdbClient, plan: BridgePlan): Promise<BridgeChanges> {
  const [bridges, ports] = await client.transact([
    { op: 'select', table: 'Bridge', where: [], columns: ['name', 'fail_mode', 'datapath_type', 'ports'] },
    { op: 'select', table: 'Port', where: [['name', '==', plan.uplink ?? '']], columns: ['_uuid'] },
  ]);
  const rows = bridges?.rows ?? [];
  const present = rows.find((row) => row['name'] === plan.bridge);
  const uplinkPort = asUuids(ports?.rows?.[0]?.['_uuid'])[0];
  const holder =
    uplinkPort === undefined ? undefined : rows.find((row) => asUuids(row['ports']).includes(uplinkPort));
  if (holder && holder['name'] !== plan.bridge) {
    throw new OvsdbError(
      'uplink-taken',
      `uplink '${plan.uplink ?? ''}' is on bridge '${asString(holder['name']) ?? ''}': expected it on none, or on '${plan.bridge}'`,
      {
        remedy: 'Take it off there first (ovs-vsctl del-port), or name another uplink.',
      },
    );
  }
  const steps: { readonly change: string; readonly operations: Operation[]; readonly device?: string }[] = [];
  if (!present) {
    const type = plan.datapathType ?? 'system';
    steps.push({
      change: `bridge ${plan.bridge} made (fail_mode ${plan.failMode}, datapath ${type})`,
      operations: createBridge(plan.bridge, plan.failMode, type),
      device: plan.bridge,
    });
  } else steps.push(...settingsOf(plan, asString(present['fail_mode']), asString(present['datapath_type'])));
  if (plan.uplink !== undefined && !holder) {
    steps.push({
      change: `uplink ${plan.uplink} attached to ${plan.bridge}`,
      operations: attachUplink(plan.bridge, plan.uplink),
      device: plan.uplink,
    });
  }
  if (!(plan.dryRun ?? false))
    for (const step of steps) await carryOut(client, step, plan.deadlineMs ?? 5_000);
  return {
    created: !present,
    uplinkAdded: plan.uplink !== undefined && !holder,
    changes: steps.map((step) => step.change),
  };
}

async function carryOut(
  client: OvsdbClient,
  step: { readonly operations: readonly Operation[]; readonly device?: string },
  deadlineMs: number,
): Promise<void> {
  if (step.device === undefined) {
    await client.transact(step.operations);
    return;
  }
  const ready = waitForInterface(client, step.device, deadlineMs);
  try {
    await client.transact(step.operations);
    await ready.ofport;
  } catch (error) {
    ready.cancel();
    await removeFailed(client, step.device, error);
    throw error;
  }
}

/** An uplink that vswitchd cannot open is taken off again: nothing half done stays. */
async function removeFailed(client: OvsdbClient, device: string, error: unknown): Promise<void> {
  if (!(error instanceof OvsdbError) || error.code !== 'port-failed') return;
  const [found] = await client.transact([
    { op: 'select', table: 'Port', where: [['name', '==', device]], columns: ['_uuid'] },
  ]);
  const ids = (found?.rows ?? []).flatMap((row) => asUuids(row['_uuid']));
  await client.transact(
    ids.map((id) => ({
      op: 'mutate',
      table: 'Bridge',
      where: [['ports', 'includes', uuid(id)]],
      mutations: [['ports', 'delete', uuid(id)]],
    })),
  );
}

function settingsOf(
  plan: BridgePlan,
  failMode?: string,
  datapathType = '',
): { change: string; operations: Operation[] }[] {
  const update = (row: Record<string, string>): Operation[] => [
    { op: 'update', table: 'Bridge', where: [['name', '==', plan.bridge]], row },
  ];
  const steps: { change: string; operations: Operation[] }[] = [];
  if ((failMode ?? 'standalone') !== plan.failMode) {
    steps.push({
      change: `fail_mode of ${plan.bridge} set to ${plan.failMode} (was ${failMode ?? 'unset'})`,
      operations: update({ fail_mode: plan.failMode }),
    });
  }
  if (plan.datapathType !== undefined && plan.datapathType !== (datapathType || 'system')) {
    steps.push({
      change: `datapath of ${plan.bridge} set to ${plan.datapathType} (was ${datapathType || 'system'})`,
      operations: update({ datapath_type: plan.datapathType }),
    });
  }
  return steps;
}

function createBridge(name: string, failMode: string, datapathType: string): Operation[] {
  return [
    { op: 'insert', table: 'Interface', 'uuid-name': 'interface', row: { name, type: 'internal' } },
    { op: 'insert', table: 'Port', 'uuid-name': 'port', row: { name, interfaces: namedUuid('interface') } },
    {
      op: 'insert',
      table: 'Bridge',
      'uuid-name': 'bridge',
      row: { name, ports: set([namedUuid('port')]), fail_mode: failMode, datapath_type: datapathType },
    },
    {
      op: 'mutate',
      table: 'Open_vSwitch',
      where: [],
      mutations: [['bridges', 'insert', set([namedUuid('bridge')])]],
    },
  ];
}

function attachUplink(bridge: string, name: string): Operation[] {
  return [
    { op: 'insert', table: 'Interface', 'uuid-name': 'interface', row: { name } },
    { op: 'insert', table: 'Port', 'uuid-name': 'port', row: { name, interfaces: namedUuid('interface') } },
    {
      op: 'mutate',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      mutations: [['ports', 'insert', set([namedUuid('port')])]],
    },
  ];
}
