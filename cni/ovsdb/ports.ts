import type { OvsdbClient } from './client.ts';
import { OvsdbError } from './errors.ts';
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
  type Condition,
  type Operation,
  type RawRow,
  type Row,
} from './protocol.ts';

export const OWNER = 'cellnet';

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

/** Returns the condition for rows with our mark, of one attachment or of all. */
function ours(containerId?: string, ifname?: string): Condition[] {
  const marks = {
    owner: OWNER,
    ...(containerId !== undefined && { 'container-id': containerId }),
    ...(ifname !== undefined && { ifname }),
  };
  return [['external_ids', 'includes', map(marks)]];
}

/**
 * Adds the port and resolves when the port forwards: vswitchd has assigned an OpenFlow port number.
 * @returns that number
 * @throws OvsdbError `bridge-missing`, `port-exists`, `port-failed` with vswitchd's own text,
 *   `port-timeout`. After the last two the port is in the database, and the caller removes it.
 */
export async function addPort(
  client: OvsdbClient,
  request: PortRequest,
  deadlineMs: number,
): Promise<number> {
  const ready = waitForInterface(client, request.name, deadlineMs);
  try {
    await client.transact(attachPort(request));
  } catch (error) {
    ready.cancel();
    throw explain(error, request);
  }
  return await ready.ofport;
}

export function explain(error: unknown, { bridge, name }: PortRequest): unknown {
  if (!(error instanceof OvsdbError)) return error;
  if (error.code === 'timed out' && error.operation === 0) {
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
 * Watches an interface until vswitchd has taken it up. The caller calls this function before it
 * sends the transaction that creates the interface, on the same connection. So the monitor misses
 * no change and costs no round trip. `cancel` ends the wait.
 */
export function waitForInterface(
  client: OvsdbClient,
  name: string,
  deadlineMs: number,
): { ofport: Promise<number>; cancel: () => void } {
  let cancel = (): void => undefined;
  const ofport = new Promise<number>((resolve, reject) => {
    const fail = (code: string, message: string): void => {
      clearTimeout(timer);
      reject(
        new OvsdbError(code, message, {
          remedy: 'Look at the log of ovs-vswitchd, and at `ovs-vsctl show`.',
        }),
      );
    };
    const timer = setTimeout(
      () =>
        fail(
          'port-timeout',
          `ovs-vswitchd did not take port '${name}' up within ${deadlineMs} ms: does it run?`,
        ),
      deadlineMs,
    );
    cancel = (): void => {
      clearTimeout(timer);
      resolve(0);
    };
    const listen = (row: RawRow | undefined): void => {
      const problem = asString(row?.['error']);
      const number = asNumber(row?.['ofport']);
      if (problem !== undefined) fail('port-failed', `ovs-vswitchd cannot use port '${name}': ${problem}`);
      else if (number !== undefined && number > 0) {
        clearTimeout(timer);
        resolve(number);
      }
    };
    client
      .monitor('Interface', [['name', '==', name]], ['ofport', 'error'], listen)
      .catch((error: unknown) => {
        clearTimeout(timer);
        reject(error instanceof Error ? error : new Error(String(error)));
      });
  });
  // Without this handler a rejection during the transaction would count as unhandled.
  ofport.catch(() => undefined);
  return { ofport, cancel: () => cancel() };
}

/** Removes the attachment's port from any bridge. Other owners' ports of that name stay. */
export async function removePort(
  client: OvsdbClient,
  containerId: string,
  ifname: string,
): Promise<'removed' | 'absent'> {
  const [found] = await client.transact([
    { op: 'select', table: 'Port', where: ours(containerId, ifname), columns: ['_uuid'] },
  ]);
  const uuids = (found?.rows ?? []).flatMap((row) => asUuids(row['_uuid']));
  if (uuids.length === 0) return 'absent';
  await client.transact(detachPorts(uuids));
  return 'removed';
}

export interface FoundPort {
  readonly name: string;
  readonly bridge: string | undefined;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly externalIds: Readonly<Record<string, string>>;
  readonly ofport: number | undefined;
  readonly error: string | undefined;
}

/**
 * Returns our ports, of one attachment or of all.
 * Equivalent to: ovs-vsctl find port external_ids:owner=cellnet
 */
export async function findPorts(
  client: OvsdbClient,
  containerId?: string,
  ifname?: string,
): Promise<FoundPort[]> {
  const where = ours(containerId, ifname);
  const [ports, interfaces, bridges] = await client.transact([
    {
      op: 'select',
      table: 'Port',
      where,
      columns: ['_uuid', 'name', 'tag', 'trunks', 'external_ids', 'interfaces'],
    },
    { op: 'select', table: 'Interface', where, columns: ['_uuid', 'ofport', 'error'] },
    { op: 'select', table: 'Bridge', where: [], columns: ['name', 'ports'] },
  ]);
  const interfaceOf = new Map((interfaces?.rows ?? []).map((row) => [asUuids(row['_uuid'])[0], row]));
  const bridgeOf = new Map(
    (bridges?.rows ?? []).flatMap((row) =>
      asUuids(row['ports']).map((id) => [id, asString(row['name'])] as const),
    ),
  );
  return (ports?.rows ?? []).map((row) => {
    const device = interfaceOf.get(asUuids(row['interfaces'])[0]);
    return {
      name: asString(row['name']) ?? '',
      bridge: bridgeOf.get(asUuids(row['_uuid'])[0] ?? ''),
      tag: asNumber(row['tag']),
      trunks: asArray(row['trunks']).filter((each) => typeof each === 'number'),
      externalIds: asRecord(row['external_ids']),
      ofport: asNumber(device?.['ofport']),
      error: asString(device?.['error']),
    };
  });
}
