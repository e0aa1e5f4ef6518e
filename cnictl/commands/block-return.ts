import { formatCidr } from '../../ipam/model/address.ts';
import type { Block } from '../../ipam/model/block.ts';
import { ruleOf } from '../../ipam/model/holder.ts';
import type { Range } from '../../ipam/model/range.ts';
import { drainingNodes } from '../../ipam/node/drain.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { blockUseOf, surplusOf, type BlockUse } from '../../ipam/node/surplus.ts';
import { nodeInEtcd } from '../../ipam/query/node-view.ts';
import { scanBlocks } from '../../ipam/query/views.ts';
import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { returnIdleBlock, type ReturnOutcome } from '../../ipam/release/return-block.ts';
import { mayOwnBlocks, readRules } from '../../ipam/store/rules.ts';
import { readRanges, findRange } from '../../ipam/store/ranges.ts';
import { readAgain } from '../../ipam/store/store.ts';
import type { Context } from '../context/context.ts';
import { formatAge, formatDuration, parseDuration } from '../context/durations.ts';
import { plural } from '../render/plural.ts';
import { renderTable } from '../render/table.ts';
import { blocksOf } from './known-node.ts';
import { noBlockText } from './node-blocks.ts';

export interface BlockReturnOptions {
  readonly node?: string;
  readonly range?: string;
  readonly idle: string;
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

interface Returned {
  readonly use: BlockUse;
  readonly outcome: ReturnOutcome | 'would-return';
}

/**
 * `block return`: returns blocks that nodes hold and do not use, so that other nodes can claim
 * them. Allocated and cooling addresses stay: the return compares the block's revision as it was
 * read.
 * @throws CommandError for a node that nothing knows
 */
export async function blockReturn(context: Context, given: BlockReturnOptions): Promise<number> {
  const idleMs = parseDuration(given.idle, '--idle');
  const dryRun = given.dryRun ?? false;
  return await context.withIpam(async (ipam) => {
    const node = given.node === undefined ? {} : { node: await nodeInEtcd(ipam, given.node) };
    const options = { ...given, ...node };
    if (options.range !== undefined) await findRange(ipam, options.range);
    const { found, unreadable } = await gather(ipam, options, idleMs);
    if (found.length === 0) {
      const { nodes } =
        options.node === undefined ? {} : await blocksOf(context, ipam, { node: options.node });
      context.print([], () =>
        nodes
          ? noBlockText({ node: options.node ?? '' }, nodes)
          : `No block has been idle for ${formatDuration(idleMs)} that its node can do without.\n`,
      );
      context.warnUnreadable(unreadable);
      return 0;
    }
    if (!dryRun)
      await context.confirm(`This returns ${plural(found.length, 'idle block')}`, options.yes ?? false);
    const results = await returnAll(ipam, found, dryRun);
    const now = context.world.now();
    context.print(
      results.map((each) => resultJson(each, now)),
      () => resultTable(context, results, now),
    );
    context.warnUnreadable(unreadable);
    return 0;
  });
}

/**
 * Returns the idle blocks to release. A node's other blocks decide its surplus, so this function
 * reads all of them.
 */
function gather(ipam: Ipam, options: BlockReturnOptions, idleMs: number): ReturnType<typeof gatherOnce> {
  return readAgain(() => gatherOnce(ipam, options, idleMs));
}

async function gatherOnce(
  ipam: Ipam,
  options: BlockReturnOptions,
  idleMs: number,
): Promise<{ readonly found: readonly BlockUse[]; readonly unreadable: readonly UnreadableRecord[] }> {
  const now = ipam.effects.now();
  const draining = await drainingNodes(ipam);
  const rules = await readRules(ipam.store);
  /** Nothing more is given out of its blocks. */
  const isEnding = ({ node }: Block): boolean => {
    const rule = ruleOf({ node });
    return rule === undefined ? draining.has(node) : !mayOwnBlocks(rules, rule);
  };
  const byNode = new Map<string, BlockUse[]>();
  const unreadable: UnreadableRecord[] = [];
  for await (const page of scanBlocks(ipam, options.node === undefined ? {} : { node: options.node })) {
    unreadable.push(...page.unreadable);
    for (const { block, range } of page.blocks) {
      if (!range) continue;
      const use = blockUseOf({ block, range }, now, isEnding(block));
      const known = byNode.get(block.node);
      if (known) known.push(use);
      else byNode.set(block.node, [use]);
    }
  }
  const found = [...byNode.values()]
    .flatMap((stances) => (options.all ? stances.filter(({ idle }) => idle) : surplusOf(stances)))
    .filter(({ range }) => options.range === undefined || range === options.range)
    .filter(({ lastChange }) => now - lastChange >= idleMs);
  return { found, unreadable };
}

async function returnAll(ipam: Ipam, found: readonly BlockUse[], dryRun: boolean): Promise<Returned[]> {
  const known = await readRanges(ipam.store);
  const ranges = new Map<string, Range>(known.ranges.map(({ range }) => [range.name, range]));
  const results: Returned[] = [];
  for (const use of found) {
    const range = ranges.get(use.range);
    const outcome = dryRun ? 'would-return' : range ? await returnIdleBlock(ipam, range, use) : 'changed';
    results.push({ use, outcome });
  }
  return results;
}

function resultJson({ use, outcome }: Returned, now: number): object {
  const { cidr, range, node, lastChange } = use;
  return { cidr: formatCidr(cidr), range, node, idleSeconds: Math.floor((now - lastChange) / 1000), outcome };
}

const OUTCOMES = {
  returned: 'returned',
  'would-return': 'would be returned',
  changed: 'kept: it changed meanwhile',
  unreadable: 'kept: its record or index entry cannot be read',
} as const;

function resultTable({ paint }: Context, results: readonly Returned[], now: number): string {
  return renderTable<Returned>(
    [
      { title: 'BLOCK', value: ({ use }) => formatCidr(use.cidr) },
      { title: 'RANGE', value: ({ use }) => use.range },
      { title: 'NODE', value: ({ use }) => use.node },
      { title: 'IDLE', value: ({ use }) => formatAge(now - use.lastChange), right: true },
      { title: 'OUTCOME', value: ({ outcome }) => OUTCOMES[outcome] },
    ],
    results,
    paint,
  );
}
