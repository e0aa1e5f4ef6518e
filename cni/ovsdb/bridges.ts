import {
  attachment,
  creation,
  marking,
  settingsOf,
  type BridgePlan,
  type BridgeStep,
} from './bridge-steps.ts';
import { DEFAULT_DEADLINE_MS } from './client.ts';
import { OvsdbError } from './errors.ts';
import { waitForInterface } from './interface-wait.ts';
import { OWNER } from './owner.ts';
import { asNumber, asRecord, asString, asUuids, map, type Operation } from './protocol.ts';
import type { OvsdbSession } from './session.ts';
import { INTERFACE_COLUMNS, isMarkedUplink, PORT_COLUMNS, uplinksOf } from './uplinks.ts';

export interface BridgeDetails {
  readonly datapathType: 'system' | 'netdev';
  readonly failMode: string | undefined;
  /**
   * Smallest MTU of the bridge's uplinks (`uplinksOf`). Undefined when the bridge has none.
   */
  readonly uplinkMtu: number | undefined;
  /** Present if there are uplinks, and none of them has a link. */
  readonly uplinkDown?: true;
  /** Present while ovs-vswitchd has not made the bridge's datapath, or could not make it. */
  readonly withoutDatapath?: true;
  /** Present if the bridge has any. */
  readonly controllers?: readonly { readonly target: string; readonly connected: boolean }[];
}

/** Whether a device can have the MTU, in bytes: from RFC 791's smallest to the largest packet. */
const isMtu = (mtu: number | undefined): mtu is number =>
  mtu !== undefined && Number.isInteger(mtu) && mtu >= 68 && mtu <= 65_535;

/** Returns the bridge, or undefined when it does not exist. Takes one round trip. */
export async function inspectBridge(
  session: OvsdbSession,
  bridge: string,
): Promise<BridgeDetails | undefined> {
  const notOurs = ['external_ids', 'excludes', map({ owner: OWNER })] as const;
  const [bridges, ports, interfaces, controllers] = await session.transact([
    {
      op: 'select',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      columns: ['datapath_type', 'datapath_id', 'fail_mode', 'ports', 'controller'],
    },
    { op: 'select', table: 'Port', where: [notOurs], columns: ['_uuid', ...PORT_COLUMNS] },
    {
      op: 'select',
      table: 'Interface',
      where: [notOurs],
      columns: ['_uuid', ...INTERFACE_COLUMNS, 'mtu', 'link_state'],
    },
    { op: 'select', table: 'Controller', where: [], columns: ['_uuid', 'target', 'is_connected'] },
  ]);
  const found = bridges?.rows?.[0];
  if (!found) return undefined;
  const members = new Set(asUuids(found['ports']));
  const uplinks = uplinksOf(members, ports?.rows ?? [], interfaces?.rows ?? []).map(({ device }) => device);
  const controllerIds = asUuids(found['controller']);
  const itsControllers = (controllers?.rows ?? [])
    .filter((row) => controllerIds.includes(asUuids(row['_uuid'])[0] ?? ''))
    .map((row) => ({ target: asString(row['target']) ?? '', connected: row['is_connected'] === true }));
  const mtus = uplinks.map((row) => asNumber(row['mtu'])).filter(isMtu);
  const isDown = uplinks.length > 0 && uplinks.every((row) => asString(row['link_state']) !== 'up');
  return {
    datapathType: asString(found['datapath_type']) === 'netdev' ? 'netdev' : 'system',
    failMode: asString(found['fail_mode']),
    uplinkMtu: mtus.length > 0 ? Math.min(...mtus) : undefined,
    ...(isDown && { uplinkDown: true }),
    ...(asString(found['datapath_id']) === undefined && { withoutDatapath: true }),
    ...(itsControllers.length > 0 && { controllers: itsControllers }),
  };
}

export interface BridgeChanges {
  readonly created: boolean;
  readonly uplinkAdded: boolean;
  /** Text for the operator. Empty when nothing had to change. */
  readonly changes: readonly string[];
}

/**
 * Creates the bridge and attaches its uplink, where they are missing. A repeated call changes
 * nothing. If a step fails, this function undoes the steps before it.
 * Equivalent to: ovs-vsctl --may-exist add-br B -- set bridge B fail_mode=… datapath_type=…
 *   -- --may-exist add-port B UPLINK
 * @throws OvsdbError `uplink-taken` when the uplink is on another bridge, `port-failed` when
 *   vswitchd cannot open the device, `port-timeout` when vswitchd does not take bridge or uplink up
 */
export async function ensureBridge(session: OvsdbSession, plan: BridgePlan): Promise<BridgeChanges> {
  const [bridges, ports] = await session.transact([
    {
      op: 'select',
      table: 'Bridge',
      where: [],
      columns: ['name', 'fail_mode', 'datapath_type', 'other_config', 'ports'],
    },
    {
      op: 'select',
      table: 'Port',
      where: [['name', '==', plan.uplink ?? '']],
      columns: ['_uuid', 'external_ids'],
    },
  ]);
  const rows = bridges?.rows ?? [];
  const present = rows.find((row) => row['name'] === plan.bridge);
  const uplinkRow = ports?.rows?.[0];
  const uplinkPort = asUuids(uplinkRow?.['_uuid'])[0];
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
  const steps = present
    ? settingsOf(
        plan,
        asString(present['fail_mode']),
        asString(present['datapath_type']),
        asRecord(present['other_config'])['hwaddr'],
      )
    : [creation(plan)];
  if (plan.uplink !== undefined && !holder) steps.push(attachment(plan.bridge, plan.uplink));
  else if (plan.uplink !== undefined && uplinkRow && !isMarkedUplink(uplinkRow))
    steps.push(marking(plan.bridge, plan.uplink));
  if (!(plan.dryRun ?? false)) await carryOut(session, steps, plan);
  return {
    created: !present,
    uplinkAdded: plan.uplink !== undefined && !holder,
    changes: steps.map((step) => step.change),
  };
}

async function carryOut(
  session: OvsdbSession,
  steps: readonly BridgeStep[],
  plan: BridgePlan,
): Promise<void> {
  const undos: (readonly Operation[])[] = [];
  try {
    for (const step of steps) {
      const ready =
        step.device === undefined
          ? undefined
          : waitForInterface(session, step.device, plan.deadlineMs ?? DEFAULT_DEADLINE_MS);
      try {
        undos.unshift(step.undo(await session.transact(step.operations)));
        await ready?.ofport;
      } catch (error) {
        ready?.cancel();
        throw step.device === plan.bridge ? explainBridge(error, plan) : error;
      }
    }
  } catch (error) {
    throw await undoAll(session, undos, error);
  }
}

/** @returns the first cause; its message also names what could not be undone */
async function undoAll(
  session: OvsdbSession,
  undos: readonly (readonly Operation[])[],
  first: unknown,
): Promise<unknown> {
  try {
    for (const undo of undos) await session.transact(undo);
    return first;
  } catch (error) {
    if (!(first instanceof OvsdbError) || !(error instanceof OvsdbError)) return first;
    const { code, message, remedy, cause } = first;
    return new OvsdbError(code, `${message}; what was made before is still there: ${error.message}`, {
      cause,
      remedy: `${remedy} Take it off with ovs-vsctl del-port, del-br.`,
    });
  }
}

function explainBridge(
  error: unknown,
  { bridge, datapathType, deadlineMs = DEFAULT_DEADLINE_MS }: BridgePlan,
): unknown {
  if (!(error instanceof OvsdbError) || (error.code !== 'port-timeout' && error.code !== 'port-failed')) {
    return error;
  }
  const message =
    error.code === 'port-timeout'
      ? `ovs-vswitchd did not take bridge '${bridge}' up within ${deadlineMs} ms`
      : error.message;
  const kernel =
    datapathType === 'netdev'
      ? ''
      : 'Without the kernel module (modprobe openvswitch) use the userspace datapath: `--datapath netdev`. ';
  return new OvsdbError(error.code, message, {
    cause: error,
    remedy: `${kernel}Look whether ovs-vswitchd runs, and at its log (/var/log/openvswitch/ovs-vswitchd.log).`,
  });
}
