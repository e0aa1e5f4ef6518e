import {
  absent,
  del,
  newestRevision,
  put,
  scanAll,
  unchanged,
  type Entry,
  type Guard,
  type Store,
  type Write,
} from './store.ts';
import type { Block } from './block.ts';
import type { Range } from './range.ts';
import {
  blockKey,
  checkBlock,
  decodeBlock,
  decodeNodeEntry,
  decodeRange,
  encodeBlock,
  encodeNodeEntry,
  nodeKey,
  nodePrefix,
  rangeKey,
  type NodeEntry,
} from './records.ts';

/** A block that a node holds, with its range and what a write of it must compare. */
export interface Holding {
  readonly block: Block;
  readonly range: Range;
  readonly entry: Entry;
}

/** All that a node holds, as of one moment. */
export interface NodeHoldings {
  readonly holdings: readonly Holding[];
  /**
   * What an allocation compares beside the block that it changes: no other block was claimed or changed meanwhile. Without it
   * two calls for one attachment could each find room in another block, and a burst on a fresh node claim a block each.
   */
  readonly guards: readonly Guard[];
}

/**
 * The node's blocks and their ranges: two round trips, and no other node's records (docs/architecture.md).
 * A block that is not where the index says is left out: its claim or return is under way, or `cnictl doctor` finds it.
 * @throws IpamError `corrupt-record`, `store-…`
 */
export async function readHoldings(store: Store, node: string): Promise<NodeHoldings> {
  const prefix = nodePrefix(node);
  const index = await scanAll(store, prefix);
  const holdings = await readBlocks(
    store,
    node,
    index.map((entry) => decodeNodeEntry(entry.key, entry.value)),
  );
  const guards: Guard[] = [{ kind: 'nothing-newer', prefix, revision: newestRevision(index) }];
  return { holdings, guards: [...guards, ...holdings.map((holding) => unchanged(holding.entry))] };
}

async function readBlocks(store: Store, node: string, index: readonly NodeEntry[]): Promise<Holding[]> {
  if (index.length === 0) return [];
  const names = [...new Set(index.map((each) => each.range))];
  const entries = await store.get([
    ...names.map(rangeKey),
    ...index.map((each) => blockKey(each.range, each.cidr)),
  ]);
  const ranges = new Map(
    entries.slice(0, names.length).flatMap((entry) => {
      if (!entry) return [];
      const range = decodeRange(entry.key, entry.value);
      return [[range.name, range] as const];
    }),
  );
  return entries.slice(names.length).flatMap((entry) => {
    if (!entry) return [];
    const block = decodeBlock(entry.key, entry.value);
    const range = ranges.get(block.range);
    if (!range || block.node !== node) return [];
    checkBlock(entry.key, block, range);
    return [{ block, range, entry }];
  });
}

/** What a change of one block compares and writes. Guards and writes of several go into one transaction. */
export interface Change {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
}

export function changeBlock(holding: Holding, block: Block): Change {
  return { guards: [unchanged(holding.entry)], writes: [put(holding.entry.key, encodeBlock(block))] };
}

/** Claims a block for its node: nobody has it, and the range is as it was read (not draining, not removed). */
export function claimBlock(block: Block, rangeEntry: Entry): Change {
  const key = blockKey(block.range, block.cidr);
  const index = nodeKey(block.node, block.cidr);
  return {
    guards: [absent(key), absent(index), unchanged(rangeEntry)],
    writes: [put(key, encodeBlock(block)), put(index, encodeNodeEntry(block))],
  };
}

/** Gives a block back to its range: only as it was read, so not with an address that was given out meanwhile. */
export function returnBlock(block: Block, entry: Entry): Change {
  return {
    guards: [unchanged(entry)],
    writes: [del(entry.key), del(nodeKey(block.node, block.cidr))],
  };
}

export function commitAll(store: Store, changes: readonly Change[]): Promise<boolean> {
  return store.commit(
    changes.flatMap((change) => change.guards),
    changes.flatMap((change) => change.writes),
  );
}
