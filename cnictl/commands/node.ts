import { ruleOf } from '../../ipam/model/holder.ts';
import { nodeOf, usedSlots } from '../../ipam/model/block.ts';
import { drainingNodes } from '../../ipam/node/drain.ts';
import { listNames, type NameView } from '../../ipam/node/name-records.ts';
import { listBlocks, type BlockView } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { renderBar } from '../render/bar.ts';
import { painted } from '../render/cell.ts';
import type { Column } from '../render/table.ts';
import { aliveText, nameJson } from './node-name.ts';
import { showList, type Listed, type ListOptions } from './show-list.ts';

export interface NodeUsage {
  readonly name: string;
  readonly blocks: number;
  readonly capacity: number;
  readonly allocated: number;
  readonly cooling: number;
  readonly ranges: readonly string[];
}

/** Returns the nodes that hold blocks, by name. */
export function gatherNodes(blocks: readonly BlockView[]): NodeUsage[] {
  const nodes = new Map<string, NodeUsage>();
  for (const { block, counts } of blocks.filter((view) => ruleOf(view.block) === undefined)) {
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

/**
 * Returns how many attachments are on each node, whichever node holds the blocks of their
 * addresses. One with an address of each family counts once.
 */
function attachmentsOf(blocks: readonly BlockView[]): ReadonlyMap<string, number> {
  const nodes = new Map<string, Set<string>>();
  for (const { block } of blocks)
    for (const { slot } of usedSlots(block)) {
      const node = nodeOf(block, slot);
      const known = nodes.get(node) ?? new Set();
      nodes.set(node, known.add(`${slot.owner.containerId} ${slot.owner.ifname}`));
    }
  return new Map([...nodes].map(([node, known]) => [node, known.size]));
}

const withoutBlocks = (name: string): NodeUsage => ({
  name,
  blocks: 0,
  capacity: 0,
  allocated: 0,
  cooling: 0,
  ranges: [],
});

type NodeRow = NodeUsage & {
  readonly attachments: number;
  readonly state: string;
  readonly view: NameView | undefined;
};

/** `node list` */
export async function nodeList(context: Context, options: ListOptions): Promise<number> {
  return await showList<NodeRow>(context, options, {
    gather: () => gatherRows(context),
    columns: () => nodeColumns(context),
    json: ({ view, ...usage }) => ({ ...usage, ...nameJson(view) }),
    name: ({ name }) => name,
  });
}

async function gatherRows(context: Context): Promise<Listed<NodeRow>> {
  const { rows, unreadable } = await context.withIpam(async (ipam) => {
    const draining = await drainingNodes(ipam);
    const { blocks, unreadable } = await listBlocks(ipam);
    const usages = gatherNodes(blocks);
    const known = new Set(usages.map(({ name }) => name));
    const names = await listNames(ipam.store);
    const attachments = attachmentsOf(blocks);
    // Pods may have taken kept addresses to a node that holds no block.
    const others = new Set([...draining, ...attachments.keys()]);
    const bare = [...others].filter((name) => !known.has(name)).map(withoutBlocks);
    const rows = [...usages, ...bare]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((usage) => ({
        ...usage,
        attachments: attachments.get(usage.name) ?? 0,
        state: draining.has(usage.name) ? 'draining' : 'active',
        view: names.get(usage.name),
      }));
    return { rows, unreadable };
  });
  const none = (): string =>
    unreadable.length > 0 ? 'No block can be read.\n' : 'No node holds a block yet.\n';
  return { rows, unreadable, none };
}

function nodeColumns({ paint, world }: Context): Column<NodeRow>[] {
  const now = world.now();
  return [
    { title: 'NODE', value: ({ name }) => name },
    { title: 'STATE', value: ({ state }) => (state === 'active' ? state : painted(paint.yellow(state))) },
    { title: 'BLOCKS', value: ({ blocks }) => `${blocks}`, right: true },
    { title: 'USED', value: ({ allocated, capacity }) => `${allocated}/${capacity}`, right: true },
    { title: 'COOLING', value: ({ cooling }) => `${cooling}`, right: true, spare: 4 },
    {
      title: 'UTILISATION',
      value: ({ allocated, capacity }) => painted(renderBar(allocated, capacity, paint)),
      spare: 1,
      sort: ({ allocated, capacity }) => allocated / Math.max(1, capacity),
    },
    { title: 'ATTACHMENTS', value: ({ attachments }) => `${attachments}`, right: true, spare: 3 },
    { title: 'RANGES', value: ({ ranges }) => ranges.join(', '), spare: 2 },
    { title: 'MACHINE', value: ({ view }) => view?.owner?.record.machine?.id ?? '-', spare: 5 },
    { title: 'ALIVE', value: ({ view }) => aliveText(view, now) },
  ];
}
