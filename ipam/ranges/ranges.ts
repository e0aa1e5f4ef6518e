import { isKept, nodeOf, usedSlots, type Block } from '../model/block.ts';
import { keptSlots } from '../model/kept-slot.ts';
import { IpamError } from '../model/errors.ts';
import { checkNoOverlap } from '../model/new-range.ts';
import type { Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { historyOfRange } from '../records/history-record.ts';
import { blocksOfRange, nodeKey, RANGES, rangeKey } from '../records/keys.ts';
import { lostOf, LOST } from '../records/lost-record.ts';
import { encodeRange } from '../records/range-record.ts';
import { RULES_CHANGED } from '../records/rule-record.ts';
import { encodeSetBack, SET_BACK } from '../records/set-back-record.ts';
import {
  absent,
  del,
  newestRevision,
  put,
  asRead,
  unchanged,
  type Entry,
  type Guard,
  type Put,
} from '../records/transaction.ts';
import { returnBlock } from '../release/return-block.ts';
import { findRange, readRanges } from '../store/ranges.ts';
import { retryLostRaces } from '../store/retry.ts';
import { readRules } from '../store/rules.ts';
import { readAgain, scanAll } from '../store/store.ts';
import { checkNotLost } from './lost-addresses.ts';
import { setRangeState } from './set-range.ts';

export { setRangeState } from './set-range.ts';

export interface AddOptions {
  /** Adds the range although attachments live whose addresses are in it, and etcd forgot them. */
  readonly recover?: boolean;
}

/**
 * Adds the range unless it overlaps with another, or attachments live in it. Of two overlapping
 * ranges added concurrently, one is refused: the write compares that no range was added or changed
 * since the read, and that no node lost addresses since.
 * @throws IpamError `conflict`, `in-use`, `corrupt-record`, `contention`, `store-…`
 */
export function addRange(ipam: Ipam, range: Range, options: AddOptions = {}): Promise<Range> {
  return retryLostRaces(`adding range '${range.name}'`, ipam.effects, async () => {
    const seen = await planRange(ipam, range, options);
    const key = rangeKey(range.name);
    const writes = [put(key, encodeRange(range)), ...(options.recover ? [recovery(ipam, range)] : [])];
    const done = await ipam.store.commit([absent(key), ...seen], writes);
    return done ? range : undefined;
  });
}

/**
 * Checks that the range can be added.
 * @returns guards that this still holds
 * @throws IpamError `conflict`, `in-use`, `store-…`; `corrupt-record` for a record below `ranges/`
 *   that cannot be read, because the new range may overlap with it
 */
export async function planRange(
  { store }: Ipam,
  range: Range,
  { recover }: AddOptions = {},
): Promise<Guard[]> {
  const { ranges, unreadable } = await readRanges(store);
  checkNoOverlap(
    range,
    ranges.map((each) => each.range),
  );
  const [broken] = unreadable;
  if (broken) {
    throw new IpamError(
      'corrupt-record',
      `range '${range.name}' cannot be added: it may overlap with one that cannot be read: ${broken.reason}`,
    );
  }
  const added = nothingNewer(
    RANGES,
    ranges.map((each) => each.entry),
  );
  if (recover) return [added];
  const notes = await scanAll(store, LOST);
  checkNotLost(range, lostOf(notes));
  return [added, nothingNewer(LOST, notes)];
}

/** Makes every node prove new addresses free on the wire until all have written back what lives. */
const recovery = ({ effects }: Ipam, { name }: Range): Put => {
  const reason = `range '${name}' was added again while pods live in it`;
  return put(SET_BACK, encodeSetBack({ at: effects.now(), node: 'operator', reason }));
};

const nothingNewer = (prefix: string, entries: readonly Entry[]): Guard => ({
  kind: 'nothing-newer',
  prefix,
  revision: newestRevision(entries),
});

/** What the removal of a range also removes. */
export interface RemovalPlan {
  readonly range: Range;
  /** Claimed blocks without an allocation, which are removed with the range. */
  readonly emptyBlocks: number;
  /** As it was when no rule named the range. */
  readonly rulesChanged: Entry | undefined;
}

const keptCount = (block: Block, now: number): number => keptSlots(block, (slot) => isKept(slot, now)).length;

/**
 * Checks that the range can be removed: none of its addresses is allocated.
 * @throws IpamError `not-found`, `in-use` with the number of allocations and their nodes;
 *   `corrupt-record` for its record or one of its blocks
 */
export async function planRangeRemoval(ipam: Ipam, name: string): Promise<RemovalPlan> {
  const { range } = await findRange(ipam, name);
  const { rules, changed } = await readRules(ipam.store);
  const rule = rules.find(({ ranges }) => ranges.includes(name));
  if (rule) {
    throw new IpamError('in-use', `range '${name}' cannot be removed: rule '${rule.name}' names it`, {
      remedy: `Remove the rule first: \`cnictl rule remove ${rule.name}\`.`,
    });
  }
  const entries = await scanAll(ipam.store, blocksOfRange(name));
  const decode = decodeBlockOf(range);
  const blocks = entries.map((entry) => decode(entry.key, entry.value));
  const now = ipam.effects.now();
  const busy = blocks.filter((block) => usedSlots(block).length > 0);
  const kept = blocks.reduce((sum, block) => sum + keptCount(block, now), 0);
  if (busy.length > 0) {
    const used = busy.reduce((sum, block) => sum + usedSlots(block).length, 0);
    const nodes = [...new Set(busy.flatMap(nodesWithAddresses))].sort();
    const some = nodes.slice(0, 5).join(', ') + (nodes.length > 5 ? ` and ${nodes.length - 5} more` : '');
    throw new IpamError(
      'in-use',
      `range '${name}' has ${used} ${used === 1 ? 'address' : 'addresses'} given out, on ${some}: expected none`,
      {
        remedy: `Look at them with \`cnictl ip list --range ${name}\`; move the pods or release what is leaked.`,
      },
    );
  }
  if (kept > 0) {
    throw new IpamError(
      'in-use',
      `range '${name}' keeps ${kept} ${kept === 1 ? 'address' : 'addresses'} for pods that are gone: expected none`,
      { remedy: `Look at them with \`cnictl ip list --range ${name}\`, and end it: \`cnictl release\`.` },
    );
  }
  return { range, emptyBlocks: blocks.length, rulesChanged: changed };
}

const nodesWithAddresses = (block: Block): string[] =>
  usedSlots(block).map(({ slot }) => nodeOf(block, slot));

/**
 * Removes a range without allocations, with its empty blocks and its history. It first sets the
 * range to draining, so that no node claims another block. If the removal fails, for example
 * because an address was allocated meanwhile, it restores the state of the range; blocks removed
 * so far stay removed.
 * @param onReturned receives the number of returned blocks after each one
 * @throws IpamError `not-found`, `in-use`, `corrupt-record`, `contention`, `store-…`
 */
export async function removeRange(
  ipam: Ipam,
  name: string,
  onReturned: (blocks: number) => void = () => undefined,
): Promise<RemovalPlan> {
  const plan = await planRangeRemoval(ipam, name);
  let returned = 0;
  await setRangeState(ipam, name, 'draining');
  try {
    await retryLostRaces(`removing range '${name}'`, ipam.effects, () =>
      removeDrained(ipam, name, () => onReturned(++returned)),
    );
  } catch (error) {
    await setRangeState(ipam, name, plan.range.state);
    throw error;
  }
  return plan;
}

async function removeDrained(ipam: Ipam, name: string, onReturned: () => void): Promise<true | undefined> {
  const { rulesChanged } = await planRangeRemoval(ipam, name);
  const { range, entry } = await findRange(ipam, name);
  const decode = decodeBlockOf(range);
  for (const blockEntry of await scanAll(ipam.store, blocksOfRange(name))) {
    const block = decode(blockEntry.key, blockEntry.value);
    // Allocated since the plan: the next attempt reports the nodes.
    if (usedSlots(block).length > 0 || keptCount(block, ipam.effects.now()) > 0) return undefined;
    const [index] = await ipam.store.get([nodeKey(block.node, block.cidr)]);
    const { guards, writes } = returnBlock(block, blockEntry, index);
    if ((await ipam.store.commit(guards, writes)) === undefined) return undefined;
    onReturned();
  }
  // No record is added to the history any more, because that needs a block.
  await removeHistory(ipam, name);
  const guards = [
    unchanged(entry),
    { kind: 'none', prefix: blocksOfRange(name) } as const,
    asRead(RULES_CHANGED, rulesChanged),
  ];
  return (await ipam.store.commit(guards, [del(rangeKey(name))])) === undefined ? undefined : true;
}

/** Deletes in small transactions: one for the history of a /16 would block etcd for seconds. */
async function removeHistory({ store }: Ipam, name: string): Promise<void> {
  const atOnce = 100;
  await readAgain(async () => {
    for await (const page of store.scan(historyOfRange(name), { keysOnly: true })) {
      for (let i = 0; i < page.length; i += atOnce)
        await store.commit(
          [],
          page.slice(i, i + atOnce).map(({ key }) => del(key)),
        );
    }
  });
}
