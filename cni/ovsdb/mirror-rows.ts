/** Rows of table Mirror (ovs-vswitchd.conf.db(5)), and the operations on them. */
import { byName, rolesOf, type MirrorRole, type PortMirror } from '../protocol/mirrors.ts';
import { OWNER, ours } from './owner.ts';
import {
  asRecord,
  asString,
  asUuids,
  map,
  namedUuid,
  set,
  uuid,
  type Operation,
  type RawRow,
  type Row,
} from './protocol.ts';

/** The columns with the ports of a role: weak references, which a port that goes leaves. */
const COLUMNS: Readonly<Record<MirrorRole, string>> = {
  ingress: 'select_src_port',
  egress: 'select_dst_port',
  output: 'output_port',
};
const PORT_COLUMNS = Object.values(COLUMNS);

export interface MirrorRow {
  readonly uuid: string;
  readonly name: string;
  readonly isOurs: boolean;
  /** UUIDs of the ports with each role. */
  readonly ports: Readonly<Record<MirrorRole, readonly string[]>>;
}

export const selectMirrors = (name: string): Operation => ({
  op: 'select',
  table: 'Mirror',
  where: [['name', '==', name]],
  columns: ['_uuid', 'name', 'external_ids', ...PORT_COLUMNS],
});

export const selectOurMirrors = (): Operation => ({
  op: 'select',
  table: 'Mirror',
  where: ours(),
  columns: ['_uuid', 'name', 'external_ids', ...PORT_COLUMNS],
});

export function mirrorOf(row: RawRow): MirrorRow {
  const portsOf = (role: MirrorRole): string[] => asUuids(row[COLUMNS[role]]);
  return {
    uuid: asUuids(row['_uuid'])[0] ?? '',
    name: asString(row['name']) ?? '',
    isOurs: asRecord(row['external_ids'])['owner'] === OWNER,
    ports: { ingress: portsOf('ingress'), egress: portsOf('egress'), output: portsOf('output') },
  };
}

/** Returns the parts that the port takes in the mirrors, by name. */
export const partsOf = (mirrors: readonly MirrorRow[], port: string): PortMirror[] =>
  mirrors
    .map(({ name, ports }) => ({ name, roles: rolesOf((role) => ports[role].includes(port)) }))
    .filter(({ roles }) => roles.length > 0)
    .sort(byName);

/** Whether no port has a role any more. */
export const isIdle = ({ ports }: MirrorRow): boolean => Object.values(ports).flat().length === 0;

/**
 * Makes the mirror with the port in it. Fails when the bridge got or lost a mirror since it was
 * read: two transactions must not make two mirrors of one name.
 * Equivalent to: ovs-vsctl --id=@m create Mirror name=NAME select_src_port=PORT …
 *   -- add bridge BRIDGE mirrors @m
 * @param known UUIDs of the bridge's mirrors, as they were read
 */
export function createMirror(
  bridge: string,
  known: readonly string[],
  { name, roles }: PortMirror,
  port: string,
): Operation[] {
  const parts = Object.fromEntries(roles.map((role) => [COLUMNS[role], uuid(port)]));
  return [
    waitFor('Bridge', ['name', '==', bridge], { mirrors: set(known.map(uuid)) }),
    {
      op: 'insert',
      table: 'Mirror',
      'uuid-name': 'mirror',
      row: { name, external_ids: map({ owner: OWNER }), ...parts },
    },
    {
      op: 'mutate',
      table: 'Bridge',
      where: [['name', '==', bridge]],
      mutations: [['mirrors', 'insert', set([namedUuid('mirror')])]],
    },
  ];
}

/**
 * Gives the port its roles in a mirror. Fails when the mirror is gone, or when its output changed
 * and the port is to be the output.
 * Equivalent to: ovs-vsctl add Mirror ID select_src_port PORT …
 */
export function joinMirror(mirror: MirrorRow, { roles }: PortMirror, port: string): Operation[] {
  const { name, ports } = mirror;
  const output = roles.includes('output') && { [COLUMNS.output]: set(ports.output.map(uuid)) };
  return [
    waitFor('Mirror', ['_uuid', '==', uuid(mirror.uuid)], { name, ...output }),
    {
      op: 'mutate',
      table: 'Mirror',
      where: [['_uuid', '==', uuid(mirror.uuid)]],
      mutations: roles.map((role) => [COLUMNS[role], 'insert', set([uuid(port)])]),
    },
  ];
}

/**
 * Removes a mirror without ports. Fails when a port has joined it.
 * Equivalent to: ovs-vsctl remove bridge BRIDGE mirrors ID
 */
export function removeIdleMirror(id: string): Operation[] {
  const empty = Object.fromEntries(PORT_COLUMNS.map((column) => [column, set([])]));
  return [
    waitFor('Mirror', ['_uuid', '==', uuid(id)], empty),
    {
      op: 'mutate',
      table: 'Bridge',
      where: [['mirrors', 'includes', uuid(id)]],
      mutations: [['mirrors', 'delete', uuid(id)]],
    },
  ];
}

/** Lets the transaction go on only if the one row that matches has these values. */
const waitFor = (
  table: string,
  where: Extract<Operation, { op: 'wait' }>['where'][number],
  row: Row,
): Operation => ({
  op: 'wait',
  table,
  where: [where],
  columns: Object.keys(row),
  until: '==',
  rows: [row],
  timeout: 0,
});
