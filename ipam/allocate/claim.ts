import { formatCidr } from '../model/address.ts';
import type { Source } from '../model/demand.ts';
import { ruleHolder } from '../model/holder.ts';
import { pickBlock, usableBlockTotal, type Range } from '../model/range.ts';
import { blankBlock } from '../node/blank-block.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import type { Foreign } from '../node/transaction.ts';
import { blocksOfRange } from '../records/keys.ts';
import { readRanges } from '../store/ranges.ts';
import { scanAll, type Store } from '../store/store.ts';
import { isEligible } from './eligible.ts';
import { exhausted, checkRangeNames } from './exhausted.ts';
import { occupiedBy, type Occupied } from './occupied.ts';
import type { PickContext } from './pick-context.ts';

/** An unclaimed block, as it is when it is claimed. */
export type Claim = HeldBlock & Foreign;

/**
 * Picks an unclaimed block of the first range with room. A block counts as claimed if its key
 * exists, whatever its value.
 * @returns undefined if other writers filled the range meanwhile
 * @throws IpamError `exhausted`, `not-found` for an unknown range name
 */
export async function claimBlock(
  context: Omit<PickContext, 'request'> & { readonly request: Source },
): Promise<Claim | undefined> {
  const { store, effects } = context.ipam;
  const known = await readRanges(store);
  checkRangeNames(context.request, known);
  const eligible = known.ranges.filter((each) => isEligible(each.range, context));
  const claimed = await store.count(eligible.map((each) => blocksOfRange(each.range.name)));
  const claimsOf = (name: string): HeldBlock[] => context.claims.filter(({ range }) => range.name === name);
  const roomy = eligible.filter(
    ({ range }, i) => (claimed[i] ?? 0) + claimsOf(range.name).length < usableBlockTotal(range),
  );
  // The first range with room; after lost races, one of ever more ranges, to spread out a burst.
  const spread = roomy.slice(0, 2 ** Math.min(context.attempt, 10));
  const chosen = spread[Math.floor(effects.random() * spread.length)];
  for (const { range, entry } of [...(chosen ? [chosen] : []), ...roomy.filter((each) => each !== chosen)]) {
    const { blocks, covered } = await readOccupied(store, range);
    const taken = new Set([...blocks, ...claimsOf(range.name).map(({ block }) => formatCidr(block.cidr))]);
    const cidr = pickBlock(range, taken, effects.random(), covered);
    if (!cidr) {
      if (covered.length === 0) return undefined;
      // The count promised room, but one key covers several blocks.
      continue;
    }
    const { node, blocksOf } = context.request;
    const holder = blocksOf === undefined ? node : ruleHolder(blocksOf);
    const block = await blankBlock(context.ipam, range, cidr, holder);
    return { range, block, rangeEntry: entry };
  }
  throw exhausted(context, known);
}

/** Reads which blocks of the range are claimed: keys only. */
export async function readOccupied(store: Store, range: Range): Promise<Occupied> {
  const entries = await scanAll(store, blocksOfRange(range.name), { keysOnly: true });
  return occupiedBy(
    range,
    entries.map(({ key }) => key),
  );
}
