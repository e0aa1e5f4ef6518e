import { ruleOf } from '../../ipam/model/holder.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { listBlocks, type BlockFilter, type BlockPage, type BlockView } from '../../ipam/query/views.ts';
import { printable } from '../render/printable.ts';

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
  return { ...page, nodes: nodesHolding(all) };
}

/** Returns the nodes that hold one of the blocks, sorted. */
export function nodesHolding(blocks: readonly Pick<BlockView, 'block'>[]): string[] {
  const ofNodes = blocks.map(({ block }) => block).filter((block) => ruleOf(block) === undefined);
  return [...new Set(ofNodes.map(({ node }) => node))].sort();
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
