import { isDeepStrictEqual } from 'node:util';
import type { PortMirror } from '../protocol/mirrors.ts';
import { OvsdbError } from './errors.ts';
import { waitForInterface } from './interface-wait.ts';
import { mirrorOf, partsOf, selectOurMirrors } from './mirror-rows.ts';
import { joinMirrors, removeIdleMirrors } from './mirrors.ts';
import { ours } from './owner.ts';
import {
  asArray,
  asNumber,
  asRecord,
  asString,
  asUuids,
  map,
  namedUuid,
  set,
  uuid,
  type Operation,
  type Row,
} from './protocol.ts';
import type { OvsdbSession } from './session.ts';

export interface PortRequest {
  readonly bridge: string;
  /** Device name, used for the port and for its only interface. */
  readonly name: string;
  /** Access VLAN. Undefined: a trunk of all VLANs, untagged traffic included. */
  readonly tag?: number | undefined;
  /** VLANs that the port carries tagged. Untagged frames belong to `tag`; without it, they drop. */
  readonly trunks?: readonly number[];
  /** OpenFlow port number, 1 to 65279. If it is taken, vswitchd assigns another. */
  readonly ofportRequest?: number | undefined;
  readonly externalIds: Readonly<Record<string, string>>;
  /** Its parts in mirrors of the bridge. */
  readonly mirrors?: readonly PortMirror[];
}

/** Returns columns of table Port: ovs-vswitchd.conf.db(5) "VLAN Configuration". */
function vlanColumns({ tag, trunks = [] }: PortRequest): Row {
  const tagged = tag !== undefined && { tag };
  if (trunks.length === 0) return { ...tagged };
  return { ...tagged, trunks: set(trunks), vlan_mode: tag === undefined ? 'trunk' : 'native-untagged' };
}

/**
 * Attaches the port with its interface to the bridge in one transaction (RFC 7047 section 5.2). The
 * whole transaction fails when the bridge does not exist: a mutation alone would silently change no
 * row.
 * Equivalent to: ovs-vsctl add-port BRIDGE NAME tag=TAG external_ids:…
 *   -- set interface NAME external_ids:…
 * @param label distinguishes the rows of several ports in one transaction
 */
export function attachPort(request: PortRequest, label = ''): Operation[] {
  const { bridge, name, ofportRequest, externalIds } = request;
  const external_ids = map(externalIds);
  return [
    {
      op: 'wait',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      columns: ['name'],
      until: '==',
      rows: [{ name: bridge }],
      timeout: 0,
    },
    {
      op: 'insert',
      table: 'Interface',
      'uuid-name': `interface${label}`,
      row: { name, external_ids, ...(ofportRequest !== undefined && { ofport_request: ofportRequest }) },
    },
    {
      op: 'insert',
      table: 'Port',
      'uuid-name': `port${label}`,
      row: { name, interfaces: namedUuid(`interface${label}`), external_ids, ...vlanColumns(request) },
    },
    {
      op: 'mutate',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      mutations: [['ports', 'insert', set([namedUuid(`port${label}`)])]],
    },
  ];
}

/**
 * Sets external_ids of the port and its interface; those that are not named stay. Nothing happens
 * when the attachment has no such port.
 * Equivalent to: ovs-vsctl set port NAME external_ids:… -- set interface NAME external_ids:…
 */
export function setExternalIds({
  name,
  externalIds,
}: Pick<PortRequest, 'name' | 'externalIds'>): Operation[] {
  const { 'container-id': containerId, ifname } = externalIds;
  return ['Port', 'Interface'].map((table) => ({
    op: 'mutate',
    table,
    where: [['name', '==', name], ...ours(containerId, ifname)],
    mutations: [
      // An insert does not replace the value of a key: RFC 7047 section 5.1.
      ['external_ids', 'delete', set(Object.keys(externalIds))],
      ['external_ids', 'insert', map(externalIds)],
    ],
  }));
}

/**
 * Removes ports from any bridge. The database drops their rows with the last reference. Removes by
 * UUID, because a port that takes the name meanwhile is another row.
 * Equivalent to: ovs-vsctl del-port NAME
 */
export function detachPorts(uuids: readonly string[]): Operation[] {
  return uuids.map((id) => ({
    op: 'mutate',
    table: 'Bridge',
    where: [['ports', 'includes', uuid(id)]],
    mutations: [['ports', 'delete', uuid(id)]],
  }));
}

/**
 * Adds the port and resolves when the port forwards: vswitchd has assigned an OpenFlow port number.
 * A port that an earlier try of the same ADD made is taken as it is.
 * @param withinMs longest wait for vswitchd, in milliseconds
 * @returns that number
 * @throws OvsdbError `bridge-missing`, `port-exists`, `port-failed` with vswitchd's own text,
 *   `port-timeout`; those of {@link joinMirrors}. After the last ones, from `port-failed` on, the
 *   port is in the database, and the caller removes it.
 */
export async function addPort(
  session: OvsdbSession,
  request: PortRequest,
  withinMs: number,
): Promise<number> {
  const ready = waitForInterface(session, request.name, withinMs);
  try {
    await unlessThere(session, request, session.transact(attachPort(request)));
    await joinMirrors(session, request);
  } catch (error) {
    ready.cancel();
    throw error;
  }
  return await ready.ofport;
}

/**
 * Resolves as the attach does, and also when it was refused because the very port is there already:
 * a transaction without an answer may have been carried out, and the caller repeats it.
 * @returns `there` in that case
 * @throws OvsdbError as {@link addPort}
 */
export async function unlessThere(
  session: OvsdbSession,
  request: PortRequest,
  attaching: Promise<unknown>,
): Promise<'attached' | 'there'> {
  try {
    await attaching;
    return 'attached';
  } catch (error) {
    const explained = explain(error, request);
    if (!(explained instanceof OvsdbError) || explained.code !== 'port-exists') throw explained;
    const { 'container-id': containerId = '', ifname = '' } = request.externalIds;
    const ours = await findPorts(session, containerId, ifname);
    if (ours.some((port) => isAsRequested(port, request))) return 'there';
    throw explained;
  }
}

/** Whether the port is exactly what the request would make: same place, VLANs and marks. */
export function isAsRequested(
  port: FoundPort,
  { bridge, name, tag, trunks = [], externalIds }: PortRequest,
): boolean {
  return isDeepStrictEqual(
    { ...port, trunks: [...port.trunks].sort(), externalIds: port.externalIds },
    { ...port, bridge, name, tag, trunks: [...trunks].sort(), externalIds },
  );
}

function explain(error: unknown, { bridge, name }: PortRequest): unknown {
  if (!(error instanceof OvsdbError)) return error;
  if (error.code === 'timed out' && error.refused) {
    return new OvsdbError('bridge-missing', `bridge '${bridge}' does not exist in Open vSwitch`, {
      cause: error,
      remedy: `Make it: cnictl node init --bridge ${bridge} --uplink DEVICE`,
    });
  }
  if (error.code === 'constraint violation') {
    return new OvsdbError('port-exists', `port '${name}' is in Open vSwitch already: ${error.message}`, {
      cause: error,
    });
  }
  return error;
}

/**
 * Removes the attachment's port from any bridge, and mirrors of ours that lost their last port.
 * Other owners' ports of that name stay.
 */
export async function removePort(
  session: OvsdbSession,
  containerId: string,
  ifname: string,
): Promise<'removed' | 'absent'> {
  const [found, mirrors] = await session.transact([
    { op: 'select', table: 'Port', where: ours(containerId, ifname), columns: ['_uuid'] },
    selectOurMirrors(),
  ]);
  const uuids = (found?.rows ?? []).flatMap((row) => asUuids(row['_uuid']));
  if (uuids.length > 0) await session.transact(detachPorts(uuids));
  if ((mirrors?.rows ?? []).length > 0) await removeIdleMirrors(session);
  return uuids.length > 0 ? 'removed' : 'absent';
}

export interface FoundPort {
  readonly name: string;
  readonly bridge: string | undefined;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly externalIds: Readonly<Record<string, string>>;
  readonly ofport: number | undefined;
  readonly error: string | undefined;
  /** Its parts in our mirrors, by name. Absent: it has none. */
  readonly mirrors?: readonly PortMirror[];
}

/**
 * Returns our ports, of one attachment or of all.
 * Equivalent to: ovs-vsctl find port external_ids:owner=cellnet
 */
export async function findPorts(
  session: OvsdbSession,
  containerId?: string,
  ifname?: string,
): Promise<FoundPort[]> {
  const where = ours(containerId, ifname);
  const [ports, interfaces, bridges, mirrorRows] = await session.transact([
    {
      op: 'select',
      table: 'Port',
      where,
      columns: ['_uuid', 'name', 'tag', 'trunks', 'external_ids', 'interfaces'],
    },
    { op: 'select', table: 'Interface', where, columns: ['_uuid', 'ofport', 'error'] },
    { op: 'select', table: 'Bridge', where: [], columns: ['name', 'ports'] },
    selectOurMirrors(),
  ]);
  const ourMirrors = (mirrorRows?.rows ?? []).map(mirrorOf);
  const interfaceOf = new Map((interfaces?.rows ?? []).map((row) => [asUuids(row['_uuid'])[0], row]));
  const bridgeOf = new Map(
    (bridges?.rows ?? []).flatMap((row) =>
      asUuids(row['ports']).map((id) => [id, asString(row['name'])] as const),
    ),
  );
  return (ports?.rows ?? []).map((row) => {
    const device = interfaceOf.get(asUuids(row['interfaces'])[0]);
    const mirrors = partsOf(ourMirrors, asUuids(row['_uuid'])[0] ?? '');
    return {
      name: asString(row['name']) ?? '',
      bridge: bridgeOf.get(asUuids(row['_uuid'])[0] ?? ''),
      tag: asNumber(row['tag']),
      trunks: asArray(row['trunks']).filter((each) => typeof each === 'number'),
      externalIds: asRecord(row['external_ids']),
      ofport: asNumber(device?.['ofport']),
      error: asString(device?.['error']),
      ...(mirrors.length > 0 && { mirrors }),
    };
  });
}
