import { hasSlotsOf, type Block } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import { checkBlock } from '../records/block-record.ts';
import { blockKey, nodePrefix, rangeKey } from '../records/keys.ts';
import { lostKey } from '../records/lost-record.ts';
import { decodeMachineRecord, machineKey, type MachineRecord } from '../records/machine-record.ts';
import { decodeNodeEntry, isDrainKey, type NodeEntry } from '../records/node-record.ts';
import { decodeBlockQuickly } from '../records/quick-block.ts';
import { decodeRange } from '../records/range-record.ts';
import { RULES_CHANGED } from '../records/rule-record.ts';
import { decodeSetBack, SET_BACK, type SetBack } from '../records/set-back-record.ts';
import { newestRevision, type Entry } from '../records/transaction.ts';
import { readRecord, unreadableOf, valuesOf, type UnreadableRecord } from '../records/unreadable.ts';
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

/** All blocks of a node, and what guards a change of them. */
export interface NodeBlocks {
  readonly blocks: readonly ReadBlock[];
  /**
   * Blocks of other nodes of which attachments of this node have addresses: their pods took kept
   * ones along. The node gives nothing else out of them.
   */
  readonly guests: readonly ReadBlock[];
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
  /** Changes with each change of a rule; undefined before the first rule. */
  readonly rulesChanged: Entry | undefined;
  /** What this node has told that etcd has lost; undefined if nothing. */
  readonly lost: Entry | undefined;
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
  const [index, [machine, setBack, lost, rulesChanged]] = await Promise.all([
    scanAll(store, nodePrefix(node)),
    store.get([machineKey(node), SET_BACK, lostKey(node), RULES_CHANGED], {
      onState: (seen) => (state = seen),
    }),
  ]);
  const entries = index.filter(({ key }) => !isDrainKey(key));
  const located = entries.map((entry) => readRecord(entry, decodeNodeEntry));
  const found = await readBlocks(store, node, valuesOf(located));
  const told = setBack && readRecord(setBack, decodeSetBack);
  return {
    ...found,
    unreadable: [...unreadableOf(located), ...found.unreadable],
    indexRevision: newestRevision(index),
    draining: entries.length < index.length,
    machine: machine && { entry: machine, record: decodeMachineRecord(machine.key, machine.value) },
    setBack: setBack && { entry: setBack, record: told && 'value' in told ? told.value : UNKNOWN_SET_BACK },
    lost,
    rulesChanged,
    state,
  };
}

/** A record that cannot be read tells of a set-back at an unknown time: it counts as the latest. */
const UNKNOWN_SET_BACK: SetBack = { at: Infinity, node: '', reason: 'unreadable' };

async function readBlocks(
  store: Store,
  node: string,
  index: readonly NodeEntry[],
): Promise<Pick<NodeBlocks, 'blocks' | 'guests' | 'rangeEntries' | 'unreadable'>> {
  if (index.length === 0) return { blocks: [], guests: [], rangeEntries: [], unreadable: [] };
  const names = [...new Set(index.map((each) => each.range))];
  const entries = await store.get([
    ...names.map(rangeKey),
    ...index.map((each) => blockKey(each.range, each.cidr)),
  ]);
  const rangeEntries = entries.slice(0, names.length).filter((entry) => entry !== undefined);
  const ranges = new Map(
    valuesOf(rangeEntries.map((entry) => readRecord(entry, decodeRange))).map((range) => [range.name, range]),
  );
  const reads = entries
    .slice(names.length)
    .filter((entry) => entry !== undefined)
    .map((entry) => readRecord(entry, (key, value) => readHeld({ ...entry, key, value }, ranges)));
  const found = valuesOf(reads);
  return {
    blocks: found.filter(({ block }) => block.node === node),
    guests: found.filter(({ block }) => block.node !== node && hasSlotsOf(block, node)),
    rangeEntries,
    unreadable: unreadableOf(reads),
  };
}

/** @throws IpamError `corrupt-record`, also where the range of the block cannot be used */
function readHeld(entry: Entry, ranges: ReadonlyMap<string, Range>): ReadBlock {
  const block = decodeBlockQuickly(entry.key, entry.value);
  const range = ranges.get(block.range);
  if (!range) {
    throw new IpamError(
      'corrupt-record',
      `etcd key '${entry.key}' is of a range that etcd does not hold, or whose record cannot be read`,
    );
  }
  checkBlock(entry.key, block, range);
  return { block, range, entry };
}
