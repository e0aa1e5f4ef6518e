import { IpamError } from '../../ipam/model/errors.ts';
import { decodeCluster, KUBERNETES_KEY } from '../../ipam/records/cluster-record.ts';
import { RANGES } from '../../ipam/records/keys.ts';
import { LOST } from '../../ipam/records/lost-record.ts';
import { RULES_CHANGED } from '../../ipam/records/rule-record.ts';
import type { Entry } from '../../ipam/records/transaction.ts';
import type { Collision, Unit } from './collision.ts';
import type { BackupRecord } from './format.ts';
import { isKept, isOfLivingNodes } from './living.ts';
import { otherCollision, planMerge } from './merge.ts';
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
  /** Keys that exist with the backup's value, or that a living node has written since. */
  readonly already: readonly string[];
  readonly collisions: readonly Collision[];
  /** Keys of records that this version cannot read. They are restored unchanged. */
  readonly unreadable: readonly string[];
}

/**
 * Keys that programs write by themselves into an etcd that forgot: what nodes lost, and the cluster
 * of the first check. They are in the way of no restore. Nor is the key that changes with rules.
 */
const isNote = (key: string): boolean =>
  key.startsWith(LOST) || key === KUBERNETES_KEY || key === RULES_CHANGED;

/**
 * Returns existing keys that the backup lacks or has with another value, except those that programs
 * write by themselves into an etcd that forgot. Empty: a whole restore.
 */
export function strangers(records: readonly BackupRecord[], present: readonly Entry[]): string[] {
  const values = new Map(records.map(({ key, value }) => [key, value]));
  return present
    .filter(({ key, value }) => values.get(key) !== value && !isNote(key) && !isOfLivingNodes(key))
    .map(({ key }) => key);
}

/**
 * Returns what to write, given what exists. Pure: the writes guard that it still holds. Leaves out
 * what nodes had lost when the backup was taken, because they tell themselves what they lost now.
 */
export function planRestore(saved: readonly BackupRecord[], present: readonly Entry[]): RestorePlan {
  const records = saved.filter(({ key }) => isKept(key) && !key.startsWith(LOST));
  const there = new Map(present.map((entry) => [entry.key, entry]));
  const isThere = (record: BackupRecord): boolean => {
    const entry = there.get(record.key);
    if (!entry) return false;
    return entry.value === record.value || isSameCluster(record, entry) || isOfLivingNodes(record.key);
  };
  const missing = records.filter((record) => !isThere(record));
  const already = records.filter(isThere).map(({ key }) => key);
  const foreign = strangers(records, present);
  if (foreign.length > 0)
    return { whole: false, ...planMerge(records, missing, there, new Set(foreign)), already, unreadable: [] };
  const collisions = missing.flatMap(({ key }) => (isNote(key) ? (otherCollision(key, there) ?? []) : []));
  return {
    whole: true,
    units: missing
      .filter(({ key }) => !key.startsWith(RANGES) && !there.has(key))
      .map((record) => ({ records: [record], guards: [] })),
    ranges: missing.filter(({ key }) => key.startsWith(RANGES)),
    already,
    collisions,
    unreadable: unreadableIn(records).map(({ key }) => key),
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
