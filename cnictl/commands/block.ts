import { formatCidr } from '../../ipam/model/address.ts';
import type { BlockFilter, BlockView } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { formatAge } from '../context/durations.ts';
import { renderBar } from '../render/bar.ts';
import { painted } from '../render/cell.ts';
import { renderTable, type Column } from '../render/table.ts';
import { addressKey } from './ip.ts';
import { blocksOf } from './known-node.ts';
import { noBlockText } from './node-blocks.ts';
import type { ListOptions } from './list.ts';
import { showList } from './show-list.ts';

/**
 * `block list`
 * @throws CommandError for a node that nothing knows
 */
export async function blockList(context: Context, options: BlockFilter & ListOptions): Promise<number> {
  const { node, range } = options;
  const filter = { ...(node !== undefined && { node }), ...(range !== undefined && { range }) };
  return await showList<BlockView>(context, options, {
    gather: async () => {
      const { blocks, unreadable, nodes } = await context.withIpam((ipam) => blocksOf(context, ipam, filter));
      const none = (): string => {
        if (nodes) return noBlockText(filter, nodes);
        if (unreadable.length > 0) return 'No block can be read.\n';
        return 'No blocks are claimed: a node claims its first when it gets its first pod.\n';
      };
      return { rows: blocks, unreadable, none };
    },
    columns: () => blockColumns(context),
    json: blockJson,
    name: ({ block }) => formatCidr(block.cidr),
  });
}

export const blockTable = (context: Context, blocks: readonly BlockView[]): string =>
  renderTable(blockColumns(context), blocks, context.paint);

function blockColumns({ world, paint }: Context): Column<BlockView>[] {
  const now = world.now();
  return [
    {
      title: 'BLOCK',
      value: ({ block }) => formatCidr(block.cidr),
      sort: ({ block }) => addressKey({ address: block.cidr.base }),
    },
    { title: 'RANGE', value: ({ block }) => block.range },
    { title: 'NODE', value: ({ block }) => block.node },
    {
      title: 'CLAIMED',
      value: ({ block }) => formatAge(now - block.claimedAt),
      right: true,
      spare: 1,
      sort: ({ block }) => now - block.claimedAt,
    },
    { title: 'USED', value: ({ counts }) => `${counts.used}/${counts.capacity}`, right: true },
    { title: 'COOLING', value: ({ counts }) => `${counts.cooling}`, right: true, spare: 3 },
    { title: 'KEPT', value: ({ counts }) => `${counts.kept}`, right: true, spare: 2 },
    {
      title: 'UTILISATION',
      value: ({ counts }) => painted(renderBar(counts.used, counts.capacity, paint)),
      spare: 4,
      sort: ({ counts }) => counts.used / Math.max(1, counts.capacity),
    },
  ];
}

export function blockJson({ block, counts }: BlockView): object {
  return {
    cidr: formatCidr(block.cidr),
    range: block.range,
    node: block.node,
    capacity: counts.capacity,
    allocated: counts.used,
    cooling: counts.cooling,
    kept: counts.kept,
    claimedAt: new Date(block.claimedAt).toISOString(),
  };
}
