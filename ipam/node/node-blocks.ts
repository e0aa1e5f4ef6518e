import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import { checkBlock, decodeBlock } from '../records/block-record.ts';
import { blockKey, nodePrefix, rangeKey } from '../records/keys.ts';
import { decodeNodeEntry, isDrainKey, type NodeEntry } from '../records/node-record.ts';
import { decodeRange } from '../records/range-record.ts';
import { newestRevision, type Entry, type Version } from '../records/transaction.ts';
import { scanAll, type Store } from '../store/store.ts';

/** A block that a node holds, with its range. */
export interface HeldBlock {
  readonly block: Block;
  readonly range: Range;
}

/** A block with the version that a write of it must compare. */
export interface ReadBlock extends HeldBlock {
  readonly entry: Version;
}

/** All blocks of a node as of one moment. */
export interface NodeBlocks {
  readonly blocks: readonly ReadBlock[];
  /** The ranges of the blocks, as they were read. */
  readonly rangeEntries: readonly Entry[];
  /** Newest revision of the keys in the node's index. */
  readonly indexRevision: string;
  /** Keys of the node's blocks whose range is missing in etcd. IPAM cannot interpret them. */
  readonly strays: readonly string[];
  /** True if IPAM makes no new allocation on the node. */
  readonly draining: boolean;
}

/**
 * Reads the node's blocks and their ranges in two round trips. It reads no record of another node
 * (docs/architecture.md). A block that is not where the index says is left out: its claim or return
 * is under way, or `cnictl doctor` finds it.
 * @throws IpamError `corrupt-record`, `store-…`
 */
export async function readNodeBlocks(store: Store, node: string): Promise<NodeBlocks> {
  const index = await scanAll(store, nodePrefix(node));
  const indexRevision = newestRevision(index);
  const entries = index
    .filter(({ key }) => !isDrainKey(key))
    .map((entry) => decodeNodeEntry(entry.key, entry.value));
  const draining = entries.length < index.length;
  return { ...(await readBlocks(store, node, entries)), indexRevision, draining };
}

async function readBlocks(
  store: Store,
  node: string,
  index: readonly NodeEntry[],
): Promise<Omit<NodeBlocks, 'indexRevision' | 'draining'>> {
  if (index.length === 0) return { blocks: [], rangeEntries: [], strays: [] };
  const names = [...new Set(index.map((each) => each.range))];
  const entries = await store.get([
    ...names.map(rangeKey),
    ...index.map((each) => blockKey(each.range, each.cidr)),
  ]);
  const rangeEntries = entries.slice(0, names.length).filter((entry) => entry !== undefined);
  const ranges = new Map(
    rangeEntries.map((entry) => {
      const range = decodeRange(entry.key, entry.value);
      return [range.name, range] as const;
    }),
  );
  const strays: string[] = [];
  const blocks = entries.slice(names.length).flatMap((entry) => {
    if (!entry) return [];
    const block = decodeBlock(entry.key, entry.value);
    const range = ranges.get(block.range);
    if (block.node !== node) return [];
    if (!range) {
      strays.push(entry.key);
      return [];
    }
    checkBlock(entry.key, block, range);
    return [{ block, range, entry: { key: entry.key, revision: entry.revision } }];
  });
  return { blocks, rangeEntries, strays };
}
