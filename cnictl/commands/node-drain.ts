import type { Range } from '../../ipam/model/range.ts';
import { setNodeDraining } from '../../ipam/node/drain.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { isIdle, type BlockUse } from '../../ipam/node/surplus.ts';
import { nodeInEtcd, viewNode } from '../../ipam/query/node-view.ts';
import { addressesOf, type AddressView, type BlockView } from '../../ipam/query/views.ts';
import { returnIdleBlock } from '../../ipam/release/return-block.ts';
import { checkNodeName } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';
import { printable } from '../render/printable.ts';
import { addressJson, addressTable } from './ip.ts';
import { requireKnownNode } from './known-node.ts';
import { listOfNode, noBlockText } from './node-blocks.ts';
import { cidrOf, leftText } from './node-show.ts';

/** A block whose range exists. A block without its range is never idle. */
export type RangedBlock = BlockView & { readonly range: Range };

export const isRanged = (view: BlockView): view is RangedBlock => view.range !== undefined;

/**
 * Returns the idle blocks of these.
 * @returns the returned blocks, and those that stay: in use, cooling, changed, or without a range
 */
export async function giveBackIdle(
  ipam: Ipam,
  views: readonly BlockView[],
  dryRun: boolean,
): Promise<{ readonly returned: readonly BlockView[]; readonly left: readonly BlockView[] }> {
  const returned: BlockView[] = [];
  const left: BlockView[] = [];
  for (const view of views) {
    const use: Pick<BlockUse, 'cidr' | 'node' | 'sequence'> = view.block;
    const idle = isRanged(view) && isIdle(view, ipam.effects.now());
    const went = idle && (dryRun || (await returnIdleBlock(ipam, view.range, use)) === 'returned');
    (went ? returned : left).push(view);
  }
  return { returned, left };
}

const UNKNOWN_YET = ' To drain a node before it joins the cluster: --force.';

/**
 * `node drain`: stops new allocations on the node, returns its idle blocks, and names what stays.
 * @throws CommandError for a node that neither etcd nor the cluster knows, unless forced
 */
export async function nodeDrain(
  context: Context,
  given: string,
  options: { readonly dryRun?: boolean; readonly force?: boolean },
): Promise<number> {
  checkNodeName(given);
  const { dryRun = false, force = false } = options;
  const { name, returned, left, guests, unreadable, others } = await context.withIpam(async (ipam) => {
    const name = await nodeInEtcd(ipam, given);
    if (!force) await requireKnownNode(context, ipam, name, UNKNOWN_YET);
    if (!dryRun) await setNodeDraining(ipam, name, true);
    // This read follows the mark, so it sees every earlier allocation, and no later one can follow.
    const { blocks, guests, unreadable } = await viewNode(ipam, name);
    const isKnown = !force || blocks.length + unreadable.length > 0;
    const { nodes: others = [] } = isKnown ? {} : await listOfNode(ipam, { node: name });
    return { name, ...(await giveBackIdle(ipam, blocks, dryRun)), guests, unreadable, others };
  });
  if (others.length > 0)
    context.warn(
      `${noBlockText({ node: name }, others).trimEnd()}; if that is not its name: cnictl node undrain ${name}`,
    );
  const now = context.world.now();
  const used = [...left, ...guests]
    .flatMap((view) => addressesOf(view, now))
    .filter(({ state, node }) => state === 'used' && node === name);
  context.print(
    {
      name,
      state: 'draining',
      dryRun,
      returned: returned.map(cidrOf),
      left: left.map(cidrOf),
      addresses: used.map(addressJson),
      unreadable,
    },
    () => drainText(context, { name, dryRun, returned, left, used, hides: unreadable.length > 0 }),
  );
  context.warnUnreadable(unreadable);
  return 0;
}

interface Drained {
  readonly name: string;
  readonly dryRun: boolean;
  readonly returned: readonly BlockView[];
  readonly left: readonly BlockView[];
  readonly used: readonly AddressView[];
  /** Whether records of the node cannot be read. */
  readonly hides: boolean;
}

function drainText(context: Context, { name, dryRun, returned, left, used, hides }: Drained): string {
  const would = dryRun ? 'would be ' : '';
  const lines = [
    `node ${printable(name)} ${dryRun ? 'would be' : 'is'} draining: nothing new is given out on it\n`,
    ...returned.map((view) => `block ${cidrOf(view)} of range ${view.block.range} ${would}returned\n`),
  ];
  const what = hides ? 'no block that can be read' : 'no block';
  // Pods may have kept addresses of other nodes' blocks.
  if (left.length > 0) lines.push(`left: ${leftText(left)}\n`);
  else lines.push(`${what} ${dryRun ? 'would be' : 'is'} left\n`);
  if (used.length > 0) lines.push(`\n${addressTable(context, used, context.world.now())}`);
  return lines.join('');
}

/**
 * `node undrain`
 * @throws CommandError for a node that neither etcd nor the cluster knows
 */
export async function nodeUndrain(context: Context, given: string): Promise<number> {
  checkNodeName(given);
  const { name, changed } = await context.withIpam(async (ipam) => {
    const name = await nodeInEtcd(ipam, given);
    await requireKnownNode(context, ipam, name);
    return { name, changed: await setNodeDraining(ipam, name, false) };
  });
  context.print({ name, state: 'active', changed }, () =>
    changed
      ? `node ${printable(name)} is active: addresses are given out on it\n`
      : `node ${printable(name)} was not draining: nothing to do\n`,
  );
  return 0;
}
