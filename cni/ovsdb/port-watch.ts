import { asArray, asNumber, asRecord, asString, asUuids, map, type RawRow } from './protocol.ts';
import { OWNER } from './owner.ts';
import type { FoundPort } from './ports.ts';
import type { OvsdbSession } from './session.ts';

/** Our ports by the name of their bridge. Each bridge of the database has an entry. */
export type PortsByBridge = ReadonlyMap<string, readonly WatchedPort[]>;
export type WatchedPort = Pick<FoundPort, 'name' | 'tag' | 'trunks' | 'externalIds'> & {
  /** Undefined as long as ovs-vswitchd has not taken up the port. */
  readonly ofport: number | undefined;
};

interface BridgeRow {
  readonly name: string;
  readonly ports: readonly string[];
}
interface PortRow {
  readonly port: Omit<WatchedPort, 'ofport'>;
  readonly interfaces: readonly string[];
}

/**
 * Follows our ports on all bridges of the database.
 * @param changed called after each change, and once at the end of the first report
 * @returns returns the ports as they are now. A port is the same object as long as nothing of it
 *   changes
 */
export async function watchPorts(session: OvsdbSession, changed: () => void): Promise<() => PortsByBridge> {
  const bridges = new Map<string, BridgeRow>();
  const ports = new Map<string, PortRow>();
  const ofports = new Map<string, number | undefined>();
  const watched = new Map<string, WatchedPort & { readonly row: PortRow }>();
  let hasBegun = false;
  const follow = <T>(known: Map<string, T>, next: (row: RawRow, before: T | undefined) => T) => {
    return (row: RawRow | undefined, uuid: string): void => {
      if (row) known.set(uuid, next(row, known.get(uuid)));
      else known.delete(uuid);
      if (!row) watched.delete(uuid);
      if (hasBegun) changed();
    };
  };
  const portAt = (uuid: string): WatchedPort[] => {
    const row = ports.get(uuid);
    if (!row) return [];
    const ofport = ofports.get(row.interfaces[0] ?? '');
    const before = watched.get(uuid);
    // A changed row is a new object.
    const port = before?.row === row && before.ofport === ofport ? before : { ...row.port, ofport, row };
    watched.set(uuid, port);
    return [port];
  };
  const ours = [['external_ids', 'includes', map({ owner: OWNER })]] as const;
  const columns = ['name', 'tag', 'trunks', 'external_ids', 'interfaces'];
  await Promise.all([
    session.monitor('Bridge', [], ['name', 'ports'], follow(bridges, bridgeOf)),
    session.monitor('Port', ours, columns, follow(ports, portOf)),
    session.monitor('Interface', ours, ['ofport'], follow<number | undefined>(ofports, ofportOf)),
  ]);
  hasBegun = true;
  changed();
  return () => new Map([...bridges.values()].map(({ name, ports: uuids }) => [name, uuids.flatMap(portAt)]));
}

const bridgeOf = (row: RawRow, before?: BridgeRow): BridgeRow => ({
  name: asString(row['name']) ?? before?.name ?? '',
  ports: 'ports' in row ? toggled(before?.ports, asUuids(row['ports'])) : (before?.ports ?? []),
});

const portOf = (row: RawRow, before?: PortRow): PortRow => ({
  port: {
    name: asString(row['name']) ?? before?.port.name ?? '',
    tag: 'tag' in row ? asNumber(row['tag']) : before?.port.tag,
    trunks:
      'trunks' in row
        ? toggled(
            before?.port.trunks,
            asArray(row['trunks']).filter((each) => typeof each === 'number'),
          )
        : (before?.port.trunks ?? []),
    externalIds: patched(before?.port.externalIds ?? {}, asRecord(row['external_ids'])),
  },
  interfaces:
    'interfaces' in row
      ? toggled(before?.interfaces, asUuids(row['interfaces']))
      : (before?.interfaces ?? []),
});

const ofportOf = (row: RawRow, before: number | undefined): number | undefined =>
  'ofport' in row ? asNumber(row['ofport']) : before;

/**
 * Applies a difference of sets. The update of a changed row lists members that were added or
 * removed (ovsdb-server(7), section 4.1.14 `modify`), that of a new row all members.
 */
function toggled<T>(before: readonly T[] | undefined, difference: readonly T[]): T[] {
  const now = new Set(before);
  for (const each of difference) if (!now.delete(each)) now.add(each);
  return [...now];
}

/** Applies a difference of maps: a pair that was there is gone, any other is new. */
function patched(
  before: Readonly<Record<string, string>>,
  difference: Record<string, string>,
): Record<string, string> {
  const changed = new Set(Object.keys(difference));
  const isGone = (key: string): boolean => before[key] === difference[key];
  return Object.fromEntries([
    ...Object.entries(before).filter(([key]) => !changed.has(key)),
    ...Object.entries(difference).filter(([key]) => !isGone(key)),
  ]);
}
