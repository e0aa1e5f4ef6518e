import { RANGES } from '../../ipam/records/keys.ts';
import { absent, newestRevision, put, type Guard, type Write } from '../../ipam/records/transaction.ts';
import { readAgain, scanAll, type Store } from '../../ipam/store/store.ts';
import type { Collision, Unit } from './collision.ts';
import type { BackupRecord } from './format.ts';
import { isOfLivingNodes } from './living.ts';

/**
 * etcd limits a transaction to 128 operations (`--max-txn-ops`) and a request to 1.5 MB
 * (`--max-request-bytes`).
 */
const MAX_GUARDS = 100;
const MAX_BYTES = 700_000;

/** Groups units into transactions. */
export function* batches(units: Iterable<Unit>): Iterable<readonly Unit[]> {
  let batch: Unit[] = [];
  let [guards, bytes] = [0, 0];
  for (const unit of units) {
    const [moreGuards, moreBytes] = [guardsOf([unit]).length, sizeOf(unit)];
    if (batch.length > 0 && (guards + moreGuards > MAX_GUARDS || bytes + moreBytes > MAX_BYTES)) {
      yield batch;
      batch = [];
      [guards, bytes] = [0, 0];
    }
    batch.push(unit);
    guards += moreGuards;
    bytes += moreBytes;
  }
  if (batch.length > 0) yield batch;
}

const sizeOf = ({ records }: Unit): number =>
  records.reduce((sum, { key, value }) => sum + 3 * Buffer.byteLength(key) + Buffer.byteLength(value), 0);

/** Guards that every key is absent, plus the units' own guards, without duplicates. */
function guardsOf(units: readonly Unit[]): Guard[] {
  const all = units.flatMap(({ records, guards }) => [...records.map(({ key }) => absent(key)), ...guards]);
  return [...new Map(all.map((guard) => [JSON.stringify(guard), guard])).values()];
}

const writesOf = (units: readonly Unit[]): Write[] =>
  units.flatMap(({ records }) => records.map(({ key, value }) => put(key, value)));

export interface Carried {
  readonly written: number;
  readonly collisions: readonly Collision[];
}

/**
 * Writes the units, many per transaction. When a transaction fails, this function writes its units
 * one by one.
 * @param onProgress receives the number of keys written
 * @throws IpamError `store-…`; written keys stay, and the same restore continues from there
 */
export async function carryUnits(
  store: Store,
  units: readonly Unit[],
  onProgress: (keys: number) => void,
): Promise<Carried> {
  let written = 0;
  const collisions: Collision[] = [];
  for (const batch of batches(units)) {
    const parts = (await commit(store, batch)) ? [batch] : [];
    const singly = parts.length > 0 ? [] : batch;
    for (const unit of singly) {
      if (await commit(store, [unit])) parts.push([unit]);
      else collisions.push(...(await lost(store, unit)));
    }
    written += parts.flat().reduce((sum, { records }) => sum + records.length, 0);
    onProgress(written);
  }
  return { written, collisions };
}

async function commit(store: Store, units: readonly Unit[]): Promise<boolean> {
  return (await store.commit(guardsOf(units), writesOf(units))) !== undefined;
}

/**
 * Explains why a unit was not written. Returns none when etcd has the unit's values, or a living
 * node has written them meanwhile.
 */
async function lost(store: Store, { records }: Unit): Promise<Collision[]> {
  const entries = await store.get(records.map(({ key }) => key));
  const isThere = ({ key, value }: BackupRecord, i: number): boolean =>
    entries[i]?.value === value || (entries[i] !== undefined && isOfLivingNodes(key));
  if (records.every(isThere)) return [];
  const detail = 'somebody wrote it, or changed its range, while this went on';
  return records.map(({ key }) => ({ key, reason: 'raced', detail }));
}

/**
 * Writes the ranges, the last step: from now on nodes allocate addresses from them. Guards that no
 * range was added or changed since `seen`, as `range add` does.
 */
export async function carryRanges(
  store: Store,
  ranges: readonly BackupRecord[],
  seen: string,
): Promise<Carried> {
  let written = 0;
  let revision = seen;
  for (const batch of batches(ranges.map((record) => ({ records: [record], guards: [] })))) {
    const unmoved: Guard = { kind: 'nothing-newer', prefix: RANGES, revision };
    const done = await store.commit([...guardsOf(batch), unmoved], writesOf(batch));
    if (done === undefined) {
      const left = ranges.slice(written);
      const detail = 'a range was added or changed while this went on';
      return { written, collisions: left.map(({ key }) => ({ key, reason: 'raced', detail })) };
    }
    revision = done;
    written += batch.length;
  }
  return { written, collisions: [] };
}

/** Returns the revision of the latest change of any range. */
export async function rangesRevision(store: Store): Promise<string> {
  return newestRevision(await scanAll(store, RANGES));
}

/**
 * Reads every key back.
 * @returns the keys that are missing or have another value
 */
export function verify(store: Store, records: readonly BackupRecord[]): Promise<string[]> {
  return readAgain(async () => {
    const expected = new Map(records.map(({ key, value }) => [key, value]));
    for await (const page of store.scan('')) {
      for (const { key, value } of page) if (expected.get(key) === value) expected.delete(key);
    }
    return [...expected.keys()];
  });
}
