import { formatCidr } from '../../ipam/model/address.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { listBlocks, type BlockFilter, type BlockPage, type BlockView } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { formatAge } from '../context/durations.ts';
import { renderBar } from '../render/bar.ts';
import { painted } from '../render/cell.ts';
import { printable } from '../render/printable.ts';
import { renderTable } from '../render/table.ts';

/** `block list` */
export async function blockList(context: Context, filter: BlockFilter): Promise<number> {
  const { blocks, unreadable, nodes } = await context.withIpam((ipam) => listOfNode(ipam, filter));
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
      {
        title: 'UTILISATION',
        value: ({ counts }) => painted(renderBar(counts.used, counts.capacity, context.paint)),
      },
    ],
    blocks,
    context.paint,
  );
}

/**
 * Returns the blocks. When the named node holds none, returns also the sorted nodes that hold
 * blocks.
 */
export async function listOfNode(
  ipam: Ipam,
  filter: BlockFilter,
): Promise<BlockPage & { readonly nodes?: readonly string[] }> {
  const page = await listBlocks(ipam, filter);
  if (page.blocks.length > 0 || filter.node === undefined) return page;
  const ofAllNodes = filter.range === undefined ? {} : { range: filter.range };
  const { blocks: all } = await listBlocks(ipam, ofAllNodes);
  return { ...page, nodes: [...new Set(all.map(({ block }) => block.node))].sort() };
}

const NODES_NAMED = 10;

/**
 * Explains why a list by node is empty.
 * @param nodes nodes that hold blocks; the text names the first ten
 */
export function noBlockText({ node, range }: BlockFilter, nodes: readonly string[]): string {
  const where = range === undefined ? '' : ` of range '${range}'`;
  return `node '${printable(node ?? '')}' holds no block${where}; nodes that do: ${nodesText(nodes)}\n`;
}

/** Names the first ten. */
export function nodesText(nodes: readonly string[]): string {
  const more = nodes.length > NODES_NAMED ? ` and ${nodes.length - NODES_NAMED} more` : '';
  return nodes.length === 0 ? 'none' : `${printable(nodes.slice(0, NODES_NAMED).join(', '))}${more}`;
}

export function blockJson({ block, counts }: BlockView): object {
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
