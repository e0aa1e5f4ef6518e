import { formatCidr } from '../../ipam/model/address.ts';
import type { BlockFilter, BlockView } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { formatAge } from '../context/durations.ts';
import { renderBar } from '../render/bar.ts';
import { painted } from '../render/cell.ts';
import { renderTable } from '../render/table.ts';
import { blocksOf } from './known-node.ts';
import { noBlockText } from './node-blocks.ts';

/**
 * `block list`
 * @throws CommandError for a node that nothing knows
 */
export async function blockList(context: Context, filter: BlockFilter): Promise<number> {
  const { blocks, unreadable, nodes } = await context.withIpam((ipam) => blocksOf(context, ipam, filter));
  context.print(blocks.map(blockJson), () => {
    if (nodes) return noBlockText(filter, nodes);
    if (blocks.length === 0 && unreadable.length > 0) return 'No block can be read.\n';
    if (blocks.length === 0)
      return 'No blocks are claimed: a node claims its first when it gets its first pod.\n';
    return blockTable(context, blocks);
  });
  context.warnUnreadable(unreadable);
  return 0;
}

export function blockTable(context: Context, blocks: readonly BlockView[]): string {
  const now = context.world.now();
  return renderTable<BlockView>(
    [
      { title: 'BLOCK', value: ({ block }) => formatCidr(block.cidr) },
      { title: 'RANGE', value: ({ block }) => block.range },
      { title: 'NODE', value: ({ block }) => block.node },
      { title: 'CLAIMED', value: ({ block }) => formatAge(now - block.claimedAt), right: true },
      { title: 'USED', value: ({ counts }) => `${counts.used}/${counts.capacity}`, right: true },
      { title: 'COOLING', value: ({ counts }) => `${counts.cooling}`, right: true },
      { title: 'KEPT', value: ({ counts }) => `${counts.kept}`, right: true },
      {
        title: 'UTILISATION',
        value: ({ counts }) => painted(renderBar(counts.used, counts.capacity, context.paint)),
      },
    ],
    blocks,
    context.paint,
  );
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
