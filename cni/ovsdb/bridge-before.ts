/** What Open vSwitch had of a bridge and its uplink before a change, and how it gets that back. */
import { removeBridge } from './bridge-steps.ts';
import { OvsdbError } from './errors.ts';
import { detachPorts } from './ports.ts';
import { asRecord, asString, asUuids, map, set, uuid, type Operation, type RawRow } from './protocol.ts';
import type { OvsdbSession } from './session.ts';
import { isMarkedUplink, UPLINK_MARK } from './uplinks.ts';

export interface BridgeBefore {
  /** Undefined: there was no such bridge. */
  readonly settings:
    | {
        readonly failMode: string | undefined;
        readonly datapathType: string;
        /** `other_config:hwaddr`. */
        readonly mac: string | undefined;
      }
    | undefined;
  /** Whether the uplink was a port of the bridge. */
  readonly attached: boolean;
  /** Whether that port was marked as uplink. */
  readonly marked: boolean;
}

/** Takes one round trip. */
export async function readBridgeBefore(
  session: OvsdbSession,
  bridge: string,
  uplink: string,
): Promise<BridgeBefore> {
  const { found, port, members } = await readRows(session, bridge, uplink);
  const attached = port !== undefined && members.includes(port.uuid);
  return {
    settings: found && {
      failMode: asString(found['fail_mode']),
      datapathType: asString(found['datapath_type']) ?? '',
      mac: asRecord(found['other_config'])['hwaddr'],
    },
    attached,
    marked: attached && port.marked,
  };
}

/**
 * Gives bridge and uplink back what they had. A repeated call changes nothing. A bridge that was
 * not there before goes, unless somebody gave it a port meanwhile.
 * @returns whether the bridge is as it was: false when others use it by now
 * @throws OvsdbError
 */
export async function restoreBridge(
  session: OvsdbSession,
  bridge: string,
  uplink: string,
  before: BridgeBefore,
): Promise<boolean> {
  const { found, port, members, own } = await readRows(session, bridge, uplink);
  if (!found) return true;
  const isMember = port !== undefined && members.includes(port.uuid);
  if (isMember && !before.attached) await session.transact(detachPorts([port.uuid]));
  else if (isMember && !before.marked) await session.transact(unmark(port.uuid));
  if (before.settings) {
    await session.transact(restoreSettings(bridge, before.settings));
    return true;
  }
  try {
    await session.transact(removeBridge(asUuids(found['_uuid']), own));
    return true;
  } catch (error) {
    if (error instanceof OvsdbError && error.refused) return false;
    throw error;
  }
}

interface Rows {
  /** The bridge's row. Undefined when it does not exist. */
  readonly found: RawRow | undefined;
  /** UUIDs of its ports. */
  readonly members: readonly string[];
  /** The uplink's port, of whatever bridge. */
  readonly port: { readonly uuid: string; readonly marked: boolean } | undefined;
  /** UUIDs of the ports that bear the bridge's name: its own port. */
  readonly own: readonly string[];
}

async function readRows(session: OvsdbSession, bridge: string, uplink: string): Promise<Rows> {
  const [bridges, ports] = await session.transact([
    {
      op: 'select',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      columns: ['_uuid', 'fail_mode', 'datapath_type', 'other_config', 'ports'],
    },
    { op: 'select', table: 'Port', where: [], columns: ['_uuid', 'name', 'external_ids'] },
  ]);
  const found = bridges?.rows?.[0];
  const named = (name: string): RawRow[] => (ports?.rows ?? []).filter((row) => row['name'] === name);
  const port = named(uplink)[0];
  return {
    found,
    members: asUuids(found?.['ports']),
    port: port && { uuid: asUuids(port['_uuid'])[0] ?? '', marked: isMarkedUplink(port) },
    own: named(bridge).flatMap((row) => asUuids(row['_uuid'])),
  };
}

const unmark = (port: string): Operation[] => [
  {
    op: 'mutate',
    table: 'Port',
    where: [['_uuid', '==', uuid(port)]],
    mutations: [['external_ids', 'delete', map(UPLINK_MARK)]],
  },
];

const restoreSettings = (
  bridge: string,
  { failMode, datapathType, mac }: NonNullable<BridgeBefore['settings']>,
): Operation[] => [
  {
    op: 'update',
    table: 'Bridge',
    where: [['name', '==', bridge]],
    row: { fail_mode: set(failMode === undefined ? [] : [failMode]), datapath_type: datapathType },
  },
  {
    op: 'mutate',
    table: 'Bridge',
    where: [['name', '==', bridge]],
    mutations: [
      ['other_config', 'delete', set(['hwaddr'])],
      ...(mac === undefined ? [] : ([['other_config', 'insert', map({ hwaddr: mac })]] as const)),
    ],
  },
];
