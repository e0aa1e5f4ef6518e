import type { Range } from '../../ipam/model/range.ts';
import { isIdle } from '../../ipam/node/surplus.ts';
import { listBlocks, type BlockView } from '../../ipam/query/views.ts';
import { setRangeState } from '../../ipam/ranges/ranges.ts';
import { findRange } from '../../ipam/store/ranges.ts';
import type { Context } from '../context/context.ts';
import { plural } from '../render/plural.ts';
import { giveBackIdle, isRanged } from './node-drain.ts';
import { cidrOf, leftText } from './node-show.ts';

export interface RangeDrainOptions {
  readonly dryRun?: boolean;
}

/** `range drain`: stops new allocations from the range and returns its idle blocks. */
export async function rangeDrain(
  context: Context,
  name: string,
  options: RangeDrainOptions,
): Promise<number> {
  const dryRun = options.dryRun ?? false;
  const { returned, left, unreadable } = await context.withIpam(async (ipam) => {
    if (dryRun) await findRange(ipam, name);
    else await setRangeState(ipam, name, 'draining');
    // This read follows the state change, after which no node claims a block of the range.
    const { blocks, unreadable } = await listBlocks(ipam, { range: name });
    return { ...(await giveBackIdle(ipam, blocks, dryRun)), unreadable };
  });
  const nodes = new Set(left.map(({ block }) => block.node)).size;
  context.print(
    { name, state: 'draining', dryRun, returned: returned.map(cidrOf), left: left.map(cidrOf), unreadable },
    () => {
      const would = dryRun ? 'would be' : 'is';
      const returning = `${plural(returned.length, 'empty block')} ${dryRun ? 'would be ' : ''}returned`;
      const lines = [`range ${name} ${would} draining: nothing new is given out of it; ${returning}\n`];
      if (left.length > 0) lines.push(`left: ${leftText(left)}, on ${plural(nodes, 'node')}\n`);
      lines.push(...restingHint(left, context.world.now()));
      return lines.join('');
    },
  );
  context.warnUnreadable(unreadable);
  return 0;
}

/** When only cooling addresses hold blocks, a repeated drain returns them. */
function restingHint(left: readonly BlockView[], now: number): string[] {
  const unused = left.filter((view) => isRanged(view) && !isIdle(view, now) && view.counts.used === 0);
  const keeping = unused.filter(({ counts }) => counts.kept > 0);
  const kept = keeping.reduce((sum, { counts }) => sum + counts.kept, 0);
  const resting = unused.filter((view) => !keeping.includes(view));
  const hints =
    kept === 0
      ? []
      : [
          `${plural(kept, 'address is', 'addresses are')} kept for pods that are gone: cnictl release ends that (cnictl ip list)\n`,
        ];
  if (resting.length === 0) return hints;
  return [
    ...hints,
    `${plural(resting.length, 'block')} with nothing but cooling addresses: the node's agent gives them back, or do this again\n`,
  ];
}

/** `range undrain` */
export async function rangeUndrain(context: Context, name: string): Promise<number> {
  const range: Range = await context.withIpam((ipam) => setRangeState(ipam, name, 'active'));
  context.print(
    { name, state: range.state },
    () => `range ${name} is active: addresses are given out of it\n`,
  );
  return 0;
}
