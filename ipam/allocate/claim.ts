import { formatCidr } from '../model/address.ts';
import type { Source } from '../model/demand.ts';
import { pickBlock, usableBlockTotal } from '../model/range.ts';
import { blankBlock } from '../node/blank-block.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import type { Claim } from '../node/transaction.ts';
import { blocksOfRange, cidrTextOfBlockKey } from '../records/keys.ts';
import { readRanges } from '../store/ranges.ts';
import { scanAll } from '../store/store.ts';
import { isEligible } from './eligible.ts';
import { exhausted, checkRangeNames } from './exhausted.ts';
import type { PickContext } from './pick-context.ts';

/**
 * Picks an unclaimed block of the first range with room.
 * @returns undefined if other writers filled the range meanwhile
 * @throws IpamError `exhausted`, `not-found` for an unknown range name
 */
export async function claimBlock(
  context: Omit<PickContext, 'request'> & { readonly request: Source },
): Promise<Claim | undefined> {
  const { store, effects } = context.ipam;
  const known = await readRanges(store);
  checkRangeNames(context.request, known);
  const eligible = known.filter((each) => isEligible(each.range, context));
  const claimed = await store.count(eligible.map((each) => blocksOfRange(each.range.name)));
  const claimsOf = (name: string): HeldBlock[] => context.claims.filter(({ range }) => range.name === name);
  const roomy = eligible.filter(
    ({ range }, i) => (claimed[i] ?? 0) + claimsOf(range.name).length < usableBlockTotal(range),
  );
  // The first range with room; after lost races, one of ever more ranges, to spread out a burst.
  const spread = roomy.slice(0, 2 ** Math.min(context.attempt, 10));
  const chosen = spread[Math.floor(effects.random() * spread.length)];
  if (!chosen) throw exhausted(context, known);
  const { range } = chosen;
  const keys = await scanAll(store, blocksOfRange(range.name), { keysOnly: true });
  const taken = new Set([
    ...keys.map((entry) => cidrTextOfBlockKey(entry.key)),
    ...claimsOf(range.name).map(({ block }) => formatCidr(block.cidr)),
  ]);
  const cidr = pickBlock(range, taken, effects.random());
  if (!cidr) return undefined;
  const block = await blankBlock(context.ipam, range, cidr, context.request.node);
  return { range, block, rangeEntry: chosen.entry };
}
