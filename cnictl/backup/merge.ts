import { occupiedBy, type Covered } from '../../ipam/allocate/occupied.ts';
import { cidrSpan, formatCidr, spanContains, spansOverlap } from '../../ipam/model/address.ts';
import { usedSlots, type Block } from '../../ipam/model/block.ts';
import type { Range } from '../../ipam/model/range.ts';
import { decodeBlockOf } from '../../ipam/records/block-record.ts';
import { KEPT } from '../../ipam/records/kept-record.ts';
import { OWN } from '../../ipam/records/own-record.ts';
import { followingWrites } from '../../ipam/records/block-writes.ts';
import { BLOCKS, NODES, rangeKey, rangeNameOfBlockKey, RANGES } from '../../ipam/records/keys.ts';
import { isDrainKey } from '../../ipam/records/node-record.ts';
import { unchanged, type Entry } from '../../ipam/records/transaction.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import type { Collision, Unit } from './collision.ts';
import type { BackupRecord } from './format.ts';
import { readRecords, type Records } from './records.ts';
import { isRule, ruleCollision, rulesIn } from './rules.ts';

/** What a restore writes into a prefix that is in use. */
export interface MergePlan {
  readonly units: readonly Unit[];
  readonly ranges: readonly BackupRecord[];
  readonly collisions: readonly Collision[];
}

interface Present {
  readonly there: ReadonlyMap<string, Entry>;
  readonly now: Records;
  /** Keys that the backup lacks or has with another value. */
  readonly foreign: ReadonlySet<string>;
}

/**
 * Returns what collides with nothing that exists.
 * @param missing records of the backup that are to be written
 * @param foreign keys that the backup lacks or has with another value
 */
export function planMerge(
  records: readonly BackupRecord[],
  missing: readonly BackupRecord[],
  there: ReadonlyMap<string, Entry>,
  foreign: ReadonlySet<string>,
): MergePlan {
  const saved = readRecords(records);
  const present = { there, foreign, now: readRecords(there.values()) };
  const judged = missing
    .filter(({ key }) => key.startsWith(RANGES))
    .map((record) => ({ record, collision: rangeCollision(record.key, saved, present) }));
  const ranges = judged.filter(({ collision }) => !collision).map(({ record }) => record);
  const target = new Map([...targetsOf(ranges, saved), ...present.now.ranges]);
  const blocks = mergeBlocks(missing, saved, {
    ...present,
    target,
    owners: ownersOf(present.now.blocks.values()),
    covered: coveredIn(target, there.keys()),
  });
  // Those below `kept/` and `own/` follow from the blocks, and come with them or not at all.
  const others = missing.filter(
    ({ key }) =>
      ![RANGES, BLOCKS, KEPT, OWN].some((part) => key.startsWith(part)) && !blocks.indexed.has(key),
  );
  const rules = rulesIn(there.values());
  const clashes = others.flatMap(
    (record) =>
      otherCollision(record.key, there) ??
      (isRule(record.key) ? ruleCollision(record, rules) : undefined) ??
      [],
  );
  const refused = new Set(clashes.map(({ key }) => key));
  const singles = others.filter(({ key }) => !refused.has(key));
  return {
    units: [...blocks.units, ...singles.map((record) => ({ records: [record], guards: [] }))],
    ranges,
    collisions: [...judged.flatMap(({ collision }) => collision ?? []), ...blocks.collisions, ...clashes],
  };
}

function* targetsOf(ranges: readonly BackupRecord[], saved: Records): Iterable<[string, Range]> {
  for (const { key } of ranges) {
    const range = saved.ranges.get(key.slice(RANGES.length));
    if (range) yield [range.name, range];
  }
}

const reasonOf = ({ unreadable }: Records, key: string): string | undefined =>
  unreadable.find((each) => each.key === key)?.reason;

function rangeCollision(key: string, saved: Records, present: Present): Collision | undefined {
  const { there, now, foreign } = present;
  const problem = reasonOf(saved, key);
  if (problem !== undefined) return { key, reason: 'unsound', detail: problem };
  if (there.has(key)) {
    const detail = reasonOf(now, key) ?? 'it is there with other settings, or in another state';
    return { key, reason: 'differs', detail };
  }
  const range = saved.ranges.get(key.slice(RANGES.length));
  const span = range && cidrSpan(range.cidr);
  const other = span && [...now.ranges.values()].find((each) => spansOverlap(cidrSpan(each.cidr), span));
  if (other) {
    const detail = `it overlaps with range ${other.name} (${formatCidr(other.cidr)})`;
    return { key, reason: 'overlaps', detail };
  }
  const hidden = now.unreadable.find((each) => each.key.startsWith(RANGES) && foreign.has(each.key));
  if (!hidden) return undefined;
  return {
    key,
    reason: 'overlaps',
    detail: `it may overlap with a range that cannot be read: ${hidden.reason}`,
  };
}

interface MergeState extends Present {
  readonly target: ReadonlyMap<string, Range>;
  readonly owners: ReadonlyMap<string, string>;
  /** What existing keys of blocks that do not fit cover, by the name of the range. */
  readonly covered: ReadonlyMap<string, readonly Covered[]>;
}

function coveredIn(
  target: ReadonlyMap<string, Range>,
  keys: Iterable<string>,
): ReadonlyMap<string, readonly Covered[]> {
  const byRange = new Map<string, string[]>();
  for (const key of keys) {
    if (!key.startsWith(BLOCKS)) continue;
    const name = rangeNameOfBlockKey(key);
    const own = byRange.get(name);
    if (own) own.push(key);
    else byRange.set(name, [key]);
  }
  return new Map(
    [...target].map(([name, range]) => [name, occupiedBy(range, byRange.get(name) ?? []).covered]),
  );
}

function mergeBlocks(
  missing: readonly BackupRecord[],
  saved: Records,
  state: MergeState,
): {
  readonly units: readonly Unit[];
  readonly collisions: readonly Collision[];
  /** Keys that are written, or refused, together with a block. */
  readonly indexed: ReadonlySet<string>;
} {
  const values = new Map(missing.map(({ key, value }) => [key, value]));
  const units: Unit[] = [];
  const collisions: Collision[] = [];
  const indexed = new Set<string>();
  for (const record of missing.filter(({ key }) => key.startsWith(BLOCKS))) {
    const block = saved.blocks.get(record.key);
    const collision = block
      ? blockCollision(record, block, state)
      : ({
          key: record.key,
          reason: 'unsound',
          detail: reasonOf(saved, record.key) ?? 'it cannot be read',
        } as const);
    const own = block ? keysWith(block) : [];
    for (const key of own) indexed.add(key);
    if (collision) collisions.push(collision);
    if (collision || !block) continue;
    const range = state.there.get(rangeKey(block.range));
    units.push({
      records: [
        record,
        ...own.flatMap((key) => {
          const value = values.get(key);
          return value === undefined ? [] : [{ key, value }];
        }),
      ],
      guards: range ? [unchanged(range)] : [],
    });
  }
  return { units, collisions, indexed };
}

/** Returns the keys that follow from a block, such as the index entries of its nodes. */
const keysWith = (block: Block): string[] =>
  followingWrites([{ before: undefined, after: block }]).map(({ key }) => key);

function blockCollision(record: BackupRecord, block: Block, state: MergeState): Collision | undefined {
  const { key } = record;
  if (state.there.has(key))
    return { key, reason: 'differs', detail: 'the block is claimed, or was used since' };
  const taken = keysWith(block).find((each) => state.there.has(each));
  if (taken?.startsWith(NODES)) return { key, reason: 'differs', detail: "a node's index names it already" };
  if (taken !== undefined) {
    const what = taken.startsWith(OWN) ? 'is there already' : 'keeps another address for its pod';
    return { key, reason: 'differs', detail: `etcd key '${taken}' ${what}` };
  }
  const range = state.target.get(block.range);
  if (!range) {
    const detail = reasonOf(state.now, rangeKey(block.range)) ?? `range ${block.range} is not there`;
    return { key, reason: 'range', detail };
  }
  const read = readRecord(record, decodeBlockOf(range));
  if ('unreadable' in read) return { key, reason: 'range', detail: read.unreadable.reason };
  const other = state.covered.get(range.name)?.find((span) => spanContains(span, block.cidr.base));
  if (other)
    return { key, reason: 'differs', detail: `etcd key '${other.key}' covers addresses of the block` };
  for (const id of ownerIds(block)) {
    const elsewhere = state.owners.get(id);
    if (elsewhere !== undefined)
      return { key, reason: 'owner', detail: `attachment ${id} has an address in block ${elsewhere}` };
  }
  return undefined;
}

/** Judges index keys, marks, and keys that this version does not know. */
export function otherCollision(key: string, there: ReadonlyMap<string, Entry>): Collision | undefined {
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
