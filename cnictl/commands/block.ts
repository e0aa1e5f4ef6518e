import { formatCidr } from '../../ipam/address.ts';
import { listBlocks, type BlockFilter, type BlockView } from '../../ipam/inventory.ts';
import type { Context } from '../context.ts';
import { formatAge } from '../durations.ts';
import { renderBar } from '../render/bar.ts';
import { renderTable } from '../render/table.ts';

/** `block list` */
export async function blockList(context: Context, filter: BlockFilter): Promise<number> {
  const blocks = await context.withIpam((ipam) => listBlocks(ipam, filter));
  const now = context.world.now();
  context.print(blocks.map(blockJson), () => {
    if (blocks.length === 0)
      return 'No blocks are claimed: a node claims its first when it gets its first pod.\n';
    return renderTable<BlockView>(
      [
        { title: 'BLOCK', value: ({ block }) => formatCidr(block.cidr) },
        { title: 'RANGE', value: ({ block }) => block.range },
        { title: 'NODE', value: ({ block }) => block.node },
        { title: 'CLAIMED', value: ({ block }) => formatAge(now - block.claimedAt), right: true },
        { title: 'USED', value: ({ counts }) => `${counts.used}/${counts.capacity}`, right: true },
        { title: 'COOLING', value: ({ counts }) => `${counts.cooling}`, right: true },
        {
          title: 'UTILISATION',
          value: ({ counts }) => renderBar(counts.used, counts.capacity, context.paint),
        },
      ],
      blocks,
      context.paint,
    );
  });
  return 0;
}

function blockJson({ block, counts }: BlockView): object {
  return {
    cidr: formatCidr(block.cidr),
    range: block.range,
    node: block.node,
    capacity: counts.capacity,
    allocated: counts.used,
    cooling: counts.cooling,
    claimedAt: new Date(block.claimedAt).toISOString(),
  };
}
