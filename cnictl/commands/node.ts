import { ensureBridge } from '../../cni/ovsdb/bridges.ts';
import { listBlocks } from '../../ipam/inventory.ts';
import { DEFAULT_BRIDGE, DEFAULT_OVSDB } from '../../ipam/settings.ts';
import type { Context } from '../context.ts';
import { renderBar } from '../render/bar.ts';
import { renderTable } from '../render/table.ts';

export interface NodeUsage {
  readonly name: string;
  readonly blocks: number;
  readonly capacity: number;
  readonly allocated: number;
  readonly cooling: number;
  readonly ranges: readonly string[];
}

/** The nodes that hold blocks, by name. */
export function gatherNodes(blocks: Awaited<ReturnType<typeof listBlocks>>): NodeUsage[] {
  const nodes = new Map<string, NodeUsage>();
  for (const { block, counts } of blocks) {
    const before = nodes.get(block.node);
    nodes.set(block.node, {
      name: block.node,
      blocks: (before?.blocks ?? 0) + 1,
      capacity: (before?.capacity ?? 0) + counts.capacity,
      allocated: (before?.allocated ?? 0) + counts.used,
      cooling: (before?.cooling ?? 0) + counts.cooling,
      ranges: [...new Set([...(before?.ranges ?? []), block.range])].sort(),
    });
  }
  return [...nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `node list` */
export async function nodeList(context: Context): Promise<number> {
  const nodes = gatherNodes(await context.withIpam((ipam) => listBlocks(ipam)));
  context.print(nodes, () => {
    if (nodes.length === 0) return 'No node holds a block yet.\n';
    return renderTable<NodeUsage>(
      [
        { title: 'NODE', value: ({ name }) => name },
        { title: 'BLOCKS', value: ({ blocks }) => `${blocks}`, right: true },
        { title: 'USED', value: ({ allocated, capacity }) => `${allocated}/${capacity}`, right: true },
        { title: 'COOLING', value: ({ cooling }) => `${cooling}`, right: true },
        {
          title: 'UTILISATION',
          value: ({ allocated, capacity }) => renderBar(allocated, capacity, context.paint),
        },
        { title: 'RANGES', value: ({ ranges }) => ranges.join(', ') },
      ],
      nodes,
      context.paint,
    );
  });
  return 0;
}

export interface NodeInitOptions {
  readonly bridge?: string;
  readonly uplink?: string;
  readonly failMode: 'standalone' | 'secure';
  readonly datapath?: 'system' | 'netdev';
  readonly dryRun?: boolean;
}

/** `node init`: the bridge and its uplink on this node, as far as they are not there. */
export async function nodeInit(context: Context, options: NodeInitOptions): Promise<number> {
  const remote = context.settings.ovsdb ?? DEFAULT_OVSDB;
  const bridge = options.bridge ?? context.settings.bridge ?? DEFAULT_BRIDGE;
  const dryRun = options.dryRun ?? false;
  const ovsdb = await context.world.openOvsdb(remote, context.settings.ovsdbTls ?? {});
  try {
    const { failMode, datapath, uplink } = options;
    const done = await ensureBridge(ovsdb, { bridge, uplink, failMode, datapathType: datapath, dryRun });
    context.print({ bridge, uplink: uplink ?? null, dryRun, ...done }, () => {
      if (done.changes.length === 0) return `bridge ${bridge} is as it should be: nothing to do\n`;
      return done.changes.map((change) => `${dryRun ? 'would do: ' : ''}${change}\n`).join('');
    });
    return 0;
  } finally {
    ovsdb.close();
  }
}
