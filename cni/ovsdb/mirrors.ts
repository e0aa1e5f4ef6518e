import type { PortMirror } from '../protocol/mirrors.ts';
import { OvsdbError } from './errors.ts';
import {
  createMirror,
  isIdle,
  joinMirror,
  mirrorOf,
  removeIdleMirror,
  selectMirrors,
  selectOurMirrors,
  type MirrorRow,
} from './mirror-rows.ts';
import { asString, asUuids, uuid, type Operation } from './protocol.ts';
import type { OvsdbSession } from './session.ts';

/**
 * Most attempts to join a mirror. Each failed one shows that another call was first, and a bridge
 * has at most 32 mirrors (`MAX_MIRRORS` of Open vSwitch).
 */
const MAX_ATTEMPTS = 40;

export interface MirroredPort {
  readonly bridge: string;
  readonly name: string;
  readonly mirrors?: readonly PortMirror[];
}

/**
 * Gives an attached port its roles in the mirrors of its bridge, and makes those that are missing.
 * A repeated call changes nothing.
 * @throws OvsdbError `mirror-not-ours`, `mirror-taken`, `busy`
 */
export async function joinMirrors(session: OvsdbSession, port: MirroredPort): Promise<void> {
  for (const mirror of port.mirrors ?? []) await join(session, port, mirror);
}

async function join(session: OvsdbSession, port: MirroredPort, wanted: PortMirror): Promise<void> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const seen = await look(session, port, wanted.name);
    const { id, mirror } = seen;
    if (mirror && !mirror.isOurs) throw notOurs(port.bridge, wanted.name);
    if (mirror && wanted.roles.every((role) => mirror.ports[role].includes(id))) return;
    const holder = wanted.roles.includes('output') ? mirror?.ports.output[0] : undefined;
    if (holder !== undefined && holder !== id)
      throw taken(port.bridge, wanted.name, await nameOf(session, holder));
    const operations = mirror
      ? joinMirror(mirror, wanted, id)
      : createMirror(port.bridge, seen.known, wanted, id);
    if (await isCommitted(session, operations)) return;
  }
  throw new OvsdbError('busy', `mirror '${wanted.name}' of bridge '${port.bridge}' changes all the time`);
}

interface Look {
  /** UUID of the port. */
  readonly id: string;
  /** UUIDs of the bridge's mirrors. */
  readonly known: readonly string[];
  /** The bridge's mirror of that name. */
  readonly mirror: MirrorRow | undefined;
}

async function look(session: OvsdbSession, port: MirroredPort, mirror: string): Promise<Look> {
  const [ports, bridges, mirrors] = await session.transact([
    { op: 'select', table: 'Port', where: [['name', '==', port.name]], columns: ['_uuid'] },
    { op: 'select', table: 'Bridge', where: [['name', '==', port.bridge]], columns: ['mirrors'] },
    selectMirrors(mirror),
  ]);
  const id = asUuids(ports?.rows?.[0]?.['_uuid'])[0];
  if (id === undefined)
    throw new OvsdbError('port-failed', `port '${port.name}' was removed while it joined mirror '${mirror}'`);
  const known = asUuids(bridges?.rows?.[0]?.['mirrors']);
  const ofBridge = (mirrors?.rows ?? []).map(mirrorOf).filter((each) => known.includes(each.uuid));
  // A mirror of another owner must be told even beside one of ours.
  return { id, known, mirror: ofBridge.find(({ isOurs }) => !isOurs) ?? ofBridge[0] };
}

async function nameOf(session: OvsdbSession, port: string): Promise<string> {
  const [found] = await session.transact([
    { op: 'select', table: 'Port', where: [['_uuid', '==', uuid(port)]], columns: ['name'] },
  ]);
  return asString(found?.rows?.[0]?.['name']) ?? port;
}

/**
 * Removes our mirrors that no port belongs to any more. Call it after ports were removed, where
 * there are mirrors of ours. A mirror that a port joins meanwhile stays.
 * @throws OvsdbError
 */
export async function removeIdleMirrors(session: OvsdbSession): Promise<void> {
  const [found] = await session.transact([selectOurMirrors()]);
  for (const mirror of (found?.rows ?? []).map(mirrorOf).filter(isIdle))
    await isCommitted(session, removeIdleMirror(mirror.uuid));
}

/** Returns false when the database is not as it was read. */
async function isCommitted(session: OvsdbSession, operations: readonly Operation[]): Promise<boolean> {
  try {
    await session.transact(operations);
    return true;
  } catch (error) {
    if (error instanceof OvsdbError && error.code === 'timed out' && error.refused) return false;
    throw error;
  }
}

const notOurs = (bridge: string, name: string): OvsdbError =>
  new OvsdbError('mirror-not-ours', `mirror '${name}' of bridge '${bridge}' is not cellnet's: left alone`, {
    remedy: `Choose another name, or find out who made it: \`ovs-vsctl list Mirror ${name}\`.`,
  });

const taken = (bridge: string, name: string, port: string): OvsdbError =>
  new OvsdbError(
    'mirror-taken',
    `mirror '${name}' of bridge '${bridge}' has an output already, port '${port}': expected none`,
    { remedy: 'A mirror has one output: remove that pod first, or choose another name.' },
  );
