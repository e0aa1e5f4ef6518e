import { RANGES } from '../../ipam/records/keys.ts';
import type { Entry } from '../../ipam/records/transaction.ts';
import type { Collision, Unit } from './collision.ts';
import type { BackupRecord } from './format.ts';
import { planMerge } from './merge.ts';
import { unreadableIn } from './records.ts';

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
  /** Keys of records that this version cannot read. They are restored unchanged. */
  readonly unreadable: readonly string[];
}

/**
 * Returns existing keys that the backup lacks or has with another value. Empty: a whole restore.
 */
export function strangers(records: readonly BackupRecord[], present: readonly Entry[]): string[] {
  const values = new Map(records.map(({ key, value }) => [key, value]));
  return present.filter(({ key, value }) => values.get(key) !== value).map(({ key }) => key);
}

/** Returns what to write, given what exists. Pure: the writes guard that it still holds. */
export function planRestore(records: readonly BackupRecord[], present: readonly Entry[]): RestorePlan {
  const there = new Map(present.map((entry) => [entry.key, entry]));
  const isThere = ({ key, value }: BackupRecord): boolean => there.get(key)?.value === value;
  const missing = records.filter((record) => !isThere(record));
  const already = records.filter(isThere).map(({ key }) => key);
  const foreign = strangers(records, present);
  if (foreign.length > 0)
    return { whole: false, ...planMerge(records, missing, there, new Set(foreign)), already, unreadable: [] };
  return {
    whole: true,
    units: missing
      .filter(({ key }) => !key.startsWith(RANGES))
      .map((record) => ({ records: [record], guards: [] })),
    ranges: missing.filter(({ key }) => key.startsWith(RANGES)),
    already,
    collisions: [],
    unreadable: unreadableIn(records).map(({ key }) => key),
  };
}
