import { sameAddress } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import { decodeKept, KEPT, keptWrites } from '../records/kept-record.ts';
import { blockKey } from '../records/keys.ts';
import { decodeRoom, roomWrites } from '../records/own-record.ts';
import type { Entry, Put } from '../records/transaction.ts';
import type { IndexPair } from './key-pair.ts';

type Record = Pick<Entry, 'key' | 'value'>;

/** Returns the keys by which pods find what the block keeps for them, and its room. */
export function lookupsOf(block: Block): Put[] {
  const change = [{ before: undefined, after: block }];
  return [...keptWrites(change), ...roomWrites(change)].filter((write) => write.kind === 'put');
}

/**
 * Returns the key of the block that a key below `kept/` or `own/` leads to.
 * @throws IpamError `corrupt-record`
 */
export function placeOfLookup({ key, value }: Record): string {
  if (!key.startsWith(KEPT)) {
    const { range, cidr } = decodeRoom(key, value);
    return blockKey(range, cidr);
  }
  const { range, block } = decodeKept(key, value);
  return blockKey(range, block);
}

/**
 * Whether the record leads to the same as the one that is wanted under its key.
 * @throws IpamError `corrupt-record`
 */
export function isLookup(record: Record, wanted: Record): boolean {
  if (placeOfLookup(record) !== placeOfLookup(wanted)) return false;
  if (!record.key.startsWith(KEPT)) return true;
  const [a, b] = [record, wanted].map(({ key, value }) => decodeKept(key, value).address);
  return a !== undefined && b !== undefined && sameAddress(a, b);
}

/**
 * Compares the keys below `kept/` and `own/` with the blocks that they follow from, in one pass.
 * They were not read at the same moment, so a pair is only suspected.
 */
export class LookupComparison {
  readonly #wanted = new Map<string, { readonly block: string; readonly put: Put }>();
  /** Two blocks keep something under the same key: nobody can tell which of them it leads to. */
  readonly #disputed = new Set<string>();
  readonly suspected: IndexPair[] = [];

  addBlock(key: string, block: Block): void {
    for (const put of lookupsOf(block)) {
      if (this.#wanted.has(put.key)) this.#disputed.add(put.key);
      this.#wanted.set(put.key, { block: key, put });
    }
  }

  /**
   * The caller has added all blocks before.
   * @param opaque keys of blocks that exist but are unreadable or not sound
   * @throws IpamError `corrupt-record`
   */
  add(record: Record, opaque: ReadonlySet<string>): void {
    const { key } = record;
    const wanted = this.#wanted.get(key);
    if (wanted && isLookup(record, wanted.put)) this.#wanted.delete(key);
    if (wanted || this.#disputed.has(key)) return;
    const place = placeOfLookup(record);
    if (!opaque.has(place)) this.suspected.push({ indexKey: key, blockKey: place, reason: 'stale-key' });
  }

  /** The caller calls this after all keys were added. */
  finish(): void {
    for (const [indexKey, { block }] of this.#wanted)
      if (!this.#disputed.has(indexKey)) this.suspected.push({ indexKey, blockKey: block, reason: 'no-key' });
  }
}
