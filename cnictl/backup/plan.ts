import { cidrSpan, formatCidr, spansOverlap } from '../../ipam/model/address.ts';
import { usedSlots, type Block } from '../../ipam/model/block.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import type { Range } from '../../ipam/model/range.ts';
import { checkBlock, decodeBlock } from '../../ipam/records/block-record.ts';
import { CLUSTER, decodeCluster, KUBERNETES_KEY } from '../../ipam/records/cluster-record.ts';
import { BLOCKS, nodeKey, NODES, rangeKey, RANGES } from '../../ipam/records/keys.ts';
import { LOST } from '../../ipam/records/lost-record.ts';
import { isDrainKey } from '../../ipam/records/node-record.ts';
import { decodeRange } from '../../ipam/records/range-record.ts';
import { unchanged, type Entry, type Guard } from '../../ipam/records/transaction.ts';
import type { BackupRecord } from './format.ts';

/** Why a key of the backup is not written. Restore never overwrites a key. */
export type CollisionReason =
  /** The key exists with another value, or the block's index key exists. */
  | 'differs'
  /** The range overlaps an existing one. */
  | 'overlaps'
  /** The block's range does not exist and cannot be added, or the block does not fit it. */
  | 'range'
  /** An attachment of the block already has another address. */
  | 'owner'
  /**
   * This version cannot read the record, or the backup has no block to restore for the index key.
   */
  | 'unsound'
  /** The drain mark of a node. In a prefix in use, the operator decides again. */
  | 'node-state'
  /** Another client wrote the key during the restore. */
  | 'raced';

export interface Collision {
  readonly key: string;
  readonly reason: CollisionReason;
  readonly detail: string;
}

/** Keys that are written together or not at all. */
export interface Unit {
  readonly records: readonly BackupRecord[];
  /** Guards in addition to the absence of every key. */
  readonly guards: readonly Guard[];
}

export interface RestorePlan {
  /** True when the prefix holds only keys of the backup. The whole backup is then restored. */
  readonly whole: boolean;
  /**
   * Written before the ranges. Without its range no address of a block is allocated, so a partial
   * restore is never used.
   */
  readonly units: readonly Unit[];
  readonly ranges: readonly BackupRecord[];
  /** Keys that exist with the backup's value. */
  readonly already: readonly string[];
  readonly collisions: readonly Collision[];
  /** Records that this version cannot read. They are restored unchanged. */
  readonly unsound: readonly string[];
}

/**
 * Keys that programs write by themselves into an etcd that forgot: what nodes lost, and the cluster
 * of the first check. They are in the way of no restore.
 */
const isNote = (key: string): boolean => key.startsWith(LOST) || key.startsWith(CLUSTER);

/**
 * Returns existing keys that the backup lacks or has with another value. Empty: a whole restore.
 */
export function strangers(records: readonly BackupRecord[], present: readonly Entry[]): string[] {
  const values = new Map(records.map(({ key, value }) => [key, value]));
  return present.filter(({ key, value }) => values.get(key) !== value && !isNote(key)).map(({ key }) => key);
}

/**
 * Returns what to write, given what exists. Pure: the writes guard that it still holds. Leaves out
 * what nodes had lost when the backup was taken, because they tell themselves what they lost now.
 */
export function planRestore(saved: readonly BackupRecord[], present: readonly Entry[]): RestorePlan {
  const records = saved.filter(({ key }) => !key.startsWith(LOST));
  const there = new Map(present.map((entry) => [entry.key, entry]));
  const isThere = (record: BackupRecord): boolean => {
    const entry = there.get(record.key);
    return entry !== undefined && (entry.value === record.value || isSameCluster(record, entry));
  };
  const missing = records.filter((record) => !isThere(record));
  const already = records.filter(isThere).map(({ key }) => key);
  if (strangers(records, present).length > 0)
    return { ...planMerge(missing, readRecords(records), there), already };
  const collisions = missing.flatMap(({ key }) => (isNote(key) ? (otherCollision(key, there) ?? []) : []));
  return {
    whole: true,
    units: missing
      .filter(({ key }) => !key.startsWith(RANGES) && !there.has(key))
      .map((record) => ({ records: [record], guards: [] })),
    ranges: missing.filter(({ key }) => key.startsWith(RANGES)),
    already,
    collisions,
    unsound: unsoundOf(records).map(({ key }) => key),
  };
}

/** Tells whether both say that etcd belongs to one cluster, since whenever. */
function isSameCluster(a: BackupRecord, b: Entry): boolean {
  if (a.key !== KUBERNETES_KEY) return false;
  try {
    return decodeCluster(a.key, a.value).uid === decodeCluster(b.key, b.value).uid;
  } catch (error) {
    if (error instanceof IpamError) return false;
    throw error;
  }
}

interface Read {
  readonly ranges: ReadonlyMap<string, Range>;
  readonly blocks: ReadonlyMap<string, Block>;
  readonly unsound: readonly { readonly key: string; readonly problem: string }[];
}

export function readRecords(records: Iterable<BackupRecord>): Read {
  const ranges = new Map<string, Range>();
  const blocks = new Map<string, Block>();
  const unsound: { key: string; problem: string }[] = [];
  for (const { key, value } of records) {
    try {
      if (key.startsWith(RANGES)) {
        const range = decodeRange(key, value);
        ranges.set(range.name, range);
      } else if (key.startsWith(BLOCKS)) blocks.set(key, decodeBlock(key, value));
    } catch (error) {
      if (!(error instanceof IpamError)) throw error;
      unsound.push({ key, problem: error.message });
    }
  }
  return { ranges, blocks, unsound };
}

/**
 * Returns records that this version cannot read. Keeps no decoded record, because a backup may have
 * half a million allocations.
 */
export function unsoundOf(
  records: readonly BackupRecord[],
): { readonly key: string; readonly problem: string }[] {
  return records.flatMap((record) => readRecords([record]).unsound);
}

function planMerge(
  missing: readonly BackupRecord[],
  read: Read,
  there: ReadonlyMap<string, Entry>,
): Omit<RestorePlan, 'already'> {
  const now = readRecords(there.values());
  const problems = new Map(read.unsound.map(({ key, problem }) => [key, problem]));
  const judged = missing
    .filter(({ key }) => key.startsWith(RANGES))
    .map((record) => ({ record, collision: rangeCollision(record.key, read, now, { there, problems }) }));
  const ranges = judged.filter(({ collision }) => !collision).map(({ record }) => record);
  const target = new Map([...targetsOf(ranges, read), ...now.ranges]);
  const blocks = mergeBlocks(missing, read, {
    target,
    owners: ownersOf(now.blocks.values()),
    there,
    problems,
  });
  const others = missing.filter(
    ({ key }) => !key.startsWith(RANGES) && !key.startsWith(BLOCKS) && !blocks.indexed.has(key),
  );
  const clashes = others.flatMap(({ key }) => otherCollision(key, there) ?? []);
  const refused = new Set(clashes.map(({ key }) => key));
  const singles = others.filter(({ key }) => !refused.has(key));
  return {
    whole: false,
    units: [...blocks.units, ...singles.map((record) => ({ records: [record], guards: [] }))],
    ranges,
    collisions: [...judged.flatMap(({ collision }) => collision ?? []), ...blocks.collisions, ...clashes],
    unsound: [],
  };
}

function* targetsOf(ranges: readonly BackupRecord[], read: Read): Iterable<[string, Range]> {
  for (const { key } of ranges) {
    const range = read.ranges.get(key.slice(RANGES.length));
    if (range) yield [range.name, range];
  }
}

function mergeBlocks(
  missing: readonly BackupRecord[],
  read: Read,
  state: MergeState,
): {
  readonly units: readonly Unit[];
  readonly collisions: readonly Collision[];
  /** Index keys that are written, or refused, together with a block. */
  readonly indexed: ReadonlySet<string>;
} {
  const values = new Map(missing.map(({ key, value }) => [key, value]));
  const units: Unit[] = [];
  const collisions: Collision[] = [];
  const indexed = new Set<string>();
  for (const record of missing.filter(({ key }) => key.startsWith(BLOCKS))) {
    const block = read.blocks.get(record.key);
    const collision = blockCollision(record.key, block, state);
    const index = block && nodeKey(block.node, block.cidr);
    if (index !== undefined) indexed.add(index);
    if (collision) collisions.push(collision);
    if (collision || !block || index === undefined) continue;
    const value = values.get(index);
    const range = state.there.get(rangeKey(block.range));
    units.push({
      records: [record, ...(value === undefined ? [] : [{ key: index, value }])],
      guards: range ? [unchanged(range)] : [],
    });
  }
  return { units, collisions, indexed };
}

function rangeCollision(
  key: string,
  read: Read,
  now: Read,
  { there, problems }: Pick<MergeState, 'there' | 'problems'>,
): Collision | undefined {
  const problem = problems.get(key);
  if (problem !== undefined) return { key, reason: 'unsound', detail: problem };
  if (there.has(key))
    return { key, reason: 'differs', detail: 'it is there with other settings, or in another state' };
  const range = read.ranges.get(key.slice(RANGES.length));
  const span = range && cidrSpan(range.cidr);
  const other = span && [...now.ranges.values()].find((each) => spansOverlap(cidrSpan(each.cidr), span));
  if (!other) return undefined;
  return {
    key,
    reason: 'overlaps',
    detail: `it overlaps with range ${other.name} (${formatCidr(other.cidr)})`,
  };
}

interface MergeState {
  readonly target: ReadonlyMap<string, Range>;
  readonly owners: ReadonlyMap<string, string>;
  readonly there: ReadonlyMap<string, Entry>;
  readonly problems: ReadonlyMap<string, string>;
}

function blockCollision(key: string, block: Block | undefined, state: MergeState): Collision | undefined {
  if (!block) return { key, reason: 'unsound', detail: state.problems.get(key) ?? 'it cannot be read' };
  const present = state.there.get(key);
  if (present) return { key, reason: 'differs', detail: 'the block is claimed, or was used since' };
  if (state.there.has(nodeKey(block.node, block.cidr)))
    return { key, reason: 'differs', detail: "the node's index names it already" };
  const range = state.target.get(block.range);
  if (!range) return { key, reason: 'range', detail: `range ${block.range} is not there` };
  try {
    checkBlock(key, block, range);
  } catch (error) {
    return { key, reason: 'range', detail: messageOf(error) };
  }
  for (const id of ownerIds(block)) {
    const elsewhere = state.owners.get(id);
    if (elsewhere !== undefined)
      return { key, reason: 'owner', detail: `attachment ${id} has an address in block ${elsewhere}` };
  }
  return undefined;
}

/** Judges index keys, marks, and keys that this version does not know. */
function otherCollision(key: string, there: ReadonlyMap<string, Entry>): Collision | undefined {
  if (there.has(key)) return { key, reason: 'differs', detail: 'it is there with another value' };
  if (isDrainKey(key)) return { key, reason: 'node-state', detail: 'drain the node again if it is to be' };
  if (key.startsWith(NODES))
    return { key, reason: 'unsound', detail: 'the backup has no block that it names, or it is there' };
  return undefined;
}

/** Identifies attachment and family: an attachment has one address of each family. */
function ownerIds(block: Block): string[] {
  return usedSlots(block).map(
    ({ slot, address }) => `${slot.owner.containerId}/${slot.owner.ifname}/IPv${address.family}`,
  );
}

function ownersOf(blocks: Iterable<Block>): Map<string, string> {
  const owners = new Map<string, string>();
  for (const block of blocks) for (const id of ownerIds(block)) owners.set(id, formatCidr(block.cidr));
  return owners;
}
