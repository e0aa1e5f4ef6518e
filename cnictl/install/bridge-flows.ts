import { OUR_COOKIE } from '../../cni/dataplane/tables.ts';
import { asString } from '../../cni/ovsdb/protocol.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { DEFAULT_OVSDB } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import type { Tree } from './layout.ts';

/** The bridges of this node that have flows of cellnet. */
export interface Programmed {
  readonly ovsdb: string;
  readonly bridges: readonly string[];
  /** Why some may not have been found. */
  readonly trouble: string | undefined;
}

/**
 * Looks at all bridges of the Open vSwitch whose socket is in the tree: this machine's own, or in a
 * pod the node's, whose folders are mounted below the root.
 */
export async function programmedBridges({ world, settings }: Context, tree: Tree): Promise<Programmed> {
  const named = settings.ovsdb ?? DEFAULT_OVSDB;
  if (!named.startsWith('unix:/')) return { ovsdb: named, bridges: [], trouble: undefined };
  const path = tree.at(named.slice('unix:'.length));
  const ovsdb = `unix:${path}`;
  if (world.files.kind(path) === undefined) return { ovsdb, bridges: [], trouble: undefined };
  const bridges: string[] = [];
  try {
    const client = await world.openOvsdb(ovsdb, settings.ovsdbTls ?? {});
    const select = { op: 'select', table: 'Bridge', where: [], columns: ['name'] } as const;
    const [found] = await client.transact([select]).finally(() => client.close());
    for (const row of found?.rows ?? []) {
      const bridge = asString(row['name']) ?? '';
      const connection = await world.openBridge(ovsdb, bridge);
      const flows = await connection.countFlows(OUR_COOKIE).finally(() => connection.close());
      if (flows > 0) bridges.push(bridge);
    }
    return { ovsdb, bridges, trouble: undefined };
  } catch (error) {
    return { ovsdb, bridges, trouble: `flows may be left on the bridges: ${messageOf(error)}` };
  }
}
