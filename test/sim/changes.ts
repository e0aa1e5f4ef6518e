import { formatAddress } from '../../ipam/model/address.ts';
import { usedSlots, type Block, type Slot, type UsedSlot } from '../../ipam/model/block.ts';
import { BLOCKS, HISTORY } from '../../ipam/records/keys.ts';
import { decodeBlockQuickly } from '../../ipam/records/quick-block.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import type { Keys } from './etcd-keys.ts';
import type { Commit } from './etcd.ts';

/** An allocation that a transaction began or ended. */
export interface ChangedAllocation {
  readonly address: string;
  readonly slot: UsedSlot;
  readonly block: Block;
}

/** What a transaction changed, in cellnet's terms. */
export interface Changes {
  readonly given: readonly ChangedAllocation[];
  readonly freed: readonly ChangedAllocation[];
  readonly claimed: readonly Block[];
  readonly returned: readonly Block[];
  /** Keys that are neither blocks nor history. */
  readonly otherKeys: readonly string[];
}

/** Decoded blocks by value: most stay the same from one transaction to the next. */
export class BlockReader {
  readonly #known = new Map<string, Block>();

  /** Returns undefined for a block that cannot be read. */
  read(keys: Keys, key: string): Block | undefined {
    const value = keys.get(key)?.value;
    if (value === undefined) return undefined;
    const known = this.#known.get(value);
    if (known) return known;
    const read = readRecord({ key, value }, decodeBlockQuickly);
    if ('unreadable' in read) return undefined;
    const block = read.value;
    this.#known.set(value, block);
    return block;
  }

  all(keys: Keys): Block[] {
    return keys.below(BLOCKS).flatMap(({ key }) => this.read(keys, key) ?? []);
  }
}

export function changesOf({ before, after, writes }: Commit, reader: BlockReader): Changes {
  const keys = [...new Set(writes.map(({ key }) => key))];
  const pairs = keys
    .filter((key) => key.startsWith(BLOCKS))
    .map((key) => ({ was: reader.read(before, key), is: reader.read(after, key) }));
  return {
    given: pairs.flatMap(({ was, is }) => endedIn(is, was)),
    freed: pairs.flatMap(({ was, is }) => endedIn(was, is)),
    claimed: pairs.flatMap(({ was, is }) => (is && is.node !== was?.node ? [is] : [])),
    returned: pairs.flatMap(({ was, is }) => (was && was.node !== is?.node ? [was] : [])),
    otherKeys: keys.filter((key) => !key.startsWith(BLOCKS) && !key.startsWith(HISTORY)),
  };
}

/**
 * Returns the allocations of one state of a block that the other state does not have. It compares
 * by itself: what the programs compare is what is judged.
 */
function endedIn(block: Block | undefined, other: Block | undefined): ChangedAllocation[] {
  if (!block) return [];
  return usedSlots(block, (slot) => !other?.slots.some((each) => isSameAllocation(each, slot))).map(
    ({ address, slot }) => ({ address: formatAddress(address), slot, block }),
  );
}

const isSameAllocation = (a: Slot, b: UsedSlot): boolean =>
  a.state === 'used' &&
  a.owner.containerId === b.owner.containerId &&
  a.owner.ifname === b.owner.ifname &&
  a.sequence === b.sequence &&
  a.allocatedAt === b.allocatedAt;
