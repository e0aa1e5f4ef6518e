import type { Block } from '../model/block.ts';
import { messageOf } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import { checkBlock, decodeBlock } from '../records/block-record.ts';
import { blockKey, nodePrefix, rangeKey } from '../records/keys.ts';
import { decodeMachineRecord, machineKey, type MachineRecord } from '../records/machine-record.ts';
import { decodeNodeEntry, isDrainKey, type NodeEntry } from '../records/node-record.ts';
import { decodeRange } from '../records/range-record.ts';
import { decodeSetBack, SET_BACK, type SetBack } from '../records/set-back-record.ts';
import { newestRevision, type Entry } from '../records/transaction.ts';
import { scanAll, type Store, type StoreState } from '../store/store.ts';

/** A block that a node holds, with its range. */
export interface HeldBlock {
  readonly block: Block;
  readonly range: Range;
}

/** A block with the entry that a write of it must compare. */
export interface ReadBlock extends HeldBlock {
  readonly entry: Entry;
}

/** A record that this version cannot interpret. It stays as it is, and so does what it covers. */
export interface UnreadableRecord {
  readonly key: string;
  /** Names the key, and says what is wrong. */
  readonly reason: string;
}

/** All blocks of a node, and what guards a change of them. */
export interface NodeBlocks {
  readonly blocks: readonly ReadBlock[];
  /** The ranges of the blocks, as they were read. */
  readonly rangeEntries: readonly Entry[];
  /** Newest revision of the keys in the node's index. */
  readonly indexRevision: string;
  /** Records of the node that cannot be read, or whose range is missing in etcd. */
  readonly unreadable: readonly UnreadableRecord[];
  /** True if IPAM makes no new allocation on the node. */
  readonly draining: boolean;
  /** The machine that writes under the node's name; undefined before its first write. */
  readonly machine: { readonly entry: Entry; readonly record: MachineRecord } | undefined;
  /** The cluster's latest set-back, with its entry; undefined if there was none. */
  readonly setBack: { readonly entry: Entry; readonly record: SetBack } | undefined;
  /** State of etcd before the blocks were read. */
  readonly state: StoreState;
}

/**
 * Reads the node's blocks and their ranges in two round trips. It reads no record of another node
 * (docs/architecture.md). A block that is not where the index says is left out: its claim or return
 * is under way, or `cnictl doctor` finds it. The machine record is read before the blocks, so that
 * a change between the two reads fails the comparison of the record.
 * @throws IpamError `corrupt-record` for the machine record, without which the node cannot write;
 *   `store-…`
 */
export async function readNodeBlocks(store: Store, node: string): Promise<NodeBlocks> {
  let state: StoreState = { clusterId: '0', revision: '0' };
  const [index, [machine, setBack]] = await Promise.all([
    scanAll(store, nodePrefix(node)),
    store.get([machineKey(node), SET_BACK], { onState: (seen) => (state = seen) }),
  ]);
  const unreadable: UnreadableRecord[] = [];
  const readable = readableIn(unreadable);
  const entries = index.filter(({ key }) => !isDrainKey(key));
  const located = entries.flatMap((entry) =>
    readable(entry, ({ key, value }) => decodeNodeEntry(key, value)),
  );
  const found = await readBlocks(store, node, located);
  // An unreadable record tells of a set-back at an unknown time, so it counts as the latest.
  const unknown: SetBack = { at: Infinity, node: '', reason: 'unreadable' };
  const [record = unknown] = setBack ? readable(setBack, ({ key, value }) => decodeSetBack(key, value)) : [];
  return {
    ...found,
    unreadable: [...unreadable, ...found.unreadable],
    indexRevision: newestRevision(index),
    draining: entries.length < index.length,
    machine: machine && { entry: machine, record: decodeMachineRecord(machine.key, machine.value) },
    setBack: setBack && { entry: setBack, record },
    state,
  };
}

async function readBlocks(
  store: Store,
  node: string,
  index: readonly NodeEntry[],
): Promise<Pick<NodeBlocks, 'blocks' | 'rangeEntries' | 'unreadable'>> {
  if (index.length === 0) return { blocks: [], rangeEntries: [], unreadable: [] };
  const names = [...new Set(index.map((each) => each.range))];
  const entries = await store.get([
    ...names.map(rangeKey),
    ...index.map((each) => blockKey(each.range, each.cidr)),
  ]);
  const unreadable: UnreadableRecord[] = [];
  const readable = readableIn(unreadable);
  const rangeEntries = entries.slice(0, names.length).filter((entry) => entry !== undefined);
  const ranges = new Map(
    rangeEntries
      .flatMap((entry) => readable(entry, ({ key, value }) => decodeRange(key, value)))
      .map((range) => [range.name, range]),
  );
  const blocks = entries.slice(names.length).flatMap((entry) => {
    if (!entry) return [];
    return readable(entry, ({ key, value }) => {
      const block = decodeBlock(key, value);
      if (block.node !== node) return undefined;
      const range = ranges.get(block.range);
      if (!range) throw new Error(`etcd key '${key}' is of a range that etcd does not hold soundly`);
      checkBlock(key, block, range);
      return { block, range, entry };
    });
  });
  return { blocks, rangeEntries, unreadable };
}

/**
 * Returns a reader that collects what it cannot read, so that one record does not stop the rest.
 */
function readableIn(
  unreadable: UnreadableRecord[],
): <T>(entry: Entry, read: (entry: Entry) => T | undefined) => T[] {
  return (entry, read) => {
    try {
      const value = read(entry);
      return value === undefined ? [] : [value];
    } catch (error) {
      unreadable.push({ key: entry.key, reason: messageOf(error) });
      return [];
    }
  };
}
