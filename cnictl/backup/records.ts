import type { Block } from '../../ipam/model/block.ts';
import type { Range } from '../../ipam/model/range.ts';
import { decodeBlock } from '../../ipam/records/block-record.ts';
import { BLOCKS, NODES, RANGES } from '../../ipam/records/keys.ts';
import { decodeNodeRecord } from '../../ipam/records/node-record.ts';
import { decodeRange } from '../../ipam/records/range-record.ts';
import { decodeRule } from '../../ipam/records/rule-record.ts';
import { readRecord, unreadableOf, type Read, type UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { blockReader } from '../../ipam/store/blocks.ts';
import type { BackupRecord } from './format.ts';
import { isRule } from './rules.ts';

/** The ranges by name and the blocks by key. */
export interface Records {
  readonly ranges: ReadonlyMap<string, Range>;
  readonly blocks: ReadonlyMap<string, Block>;
  readonly unreadable: readonly UnreadableRecord[];
}

/** Decodes ranges and blocks, and leaves other records out. */
export function readRecords(records: Iterable<BackupRecord>): Records {
  const ranges = new Map<string, Range>();
  const blocks = new Map<string, Block>();
  const unreadable: UnreadableRecord[] = [];
  for (const record of records) {
    const { key } = record;
    if (key.startsWith(RANGES)) {
      const read = readRecord(record, decodeRange);
      if ('value' in read) ranges.set(read.value.name, read.value);
      else unreadable.push(read.unreadable);
    } else if (key.startsWith(BLOCKS)) {
      const read = readRecord(record, decodeBlock);
      if ('value' in read) blocks.set(key, read.value);
      else unreadable.push(read.unreadable);
    }
  }
  return { ranges, blocks, unreadable };
}

/**
 * Returns the records of ranges, blocks, nodes and rules that this version cannot use. It keeps no
 * decoded block, because a backup may have half a million allocations.
 */
export function unreadableIn(records: readonly BackupRecord[]): UnreadableRecord[] {
  const { ranges, unreadable } = readRecords(records.filter(({ key }) => key.startsWith(RANGES)));
  const readBlock = blockReader([...ranges.values()]);
  const others = records.flatMap((record): readonly Read<unknown>[] => {
    if (record.key.startsWith(BLOCKS)) return [readBlock(record)];
    if (isRule(record.key)) return [readRecord(record, decodeRule)];
    return record.key.startsWith(NODES) ? [readRecord(record, decodeNodeRecord)] : [];
  });
  return [...unreadable, ...unreadableOf(others)];
}
