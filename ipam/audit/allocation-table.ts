import { nodeOf, slotAddress, type Block } from '../model/block.ts';
import { addressKeyOf, type AddressKey } from './address-key.ts';
import { fingerprint } from './fingerprint.ts';

/** An allocation as it was when it was read: just enough to recognise it later. */
export interface Mark {
  readonly blockKey: string;
  /** Index of the slot in its block. */
  readonly index: number;
  readonly sequence: number;
  readonly allocatedAt: number;
  /** Fingerprint of the container ID. */
  readonly container: number;
}

/** A block without its slots. */
export interface TableBlock {
  readonly key: string;
  readonly base: AddressKey;
  readonly family: 4 | 6;
  readonly node: string;
  /** Other nodes whose attachments have addresses of it. */
  readonly guests: readonly string[];
  readonly range: string;
  /** Milliseconds since 1970. */
  readonly claimedAt: number;
  /** Row of its first allocation. The rows of a block are consecutive. */
  readonly firstRow: number;
  readonly rows: number;
}

const NONE = -1;

/** How an allocation names its pod. */
const BY_UID = 0;
const BY_NAME = 1;
const ANONYMOUS = 2;

/**
 * Allocations in columns of numbers. As objects, half a million of them would take several hundred
 * megabytes. A row is the number of an allocation.
 */
export class AllocationTable {
  readonly blocks: TableBlock[] = [];
  readonly #byBase = new Map<AddressKey, number>();
  /** The newest row of each pod. The column `next` links to the earlier ones. */
  readonly #byUid = new Map<string, number>();
  /** Only allocations without a UID. */
  readonly #byName = new Map<string, number>();
  /** The nodes of the rows that are not of their block's node: few. */
  readonly #guests = new Map<number, string>();
  #capacity = 1024;
  #size = 0;
  #block = new Uint32Array(this.#capacity);
  #index = new Uint16Array(this.#capacity);
  #sequence = new Float64Array(this.#capacity);
  #allocatedAt = new Float64Array(this.#capacity);
  #container = new Float64Array(this.#capacity);
  #attachment = new Float64Array(this.#capacity);
  #next = new Int32Array(this.#capacity);
  #naming = new Uint8Array(this.#capacity);

  get size(): number {
    return this.#size;
  }

  add(key: string, block: Block): void {
    const number = this.blocks.length;
    const firstRow = this.#size;
    const guests = new Set<string>();
    block.slots.forEach((slot, index) => {
      if (slot.state !== 'used') return;
      const row = this.#grow();
      const { containerId, network, ifname } = slot.owner;
      const node = nodeOf(block, slot);
      if (node !== block.node) {
        this.#guests.set(row, node);
        guests.add(node);
      }
      this.#block[row] = number;
      this.#index[row] = index;
      this.#sequence[row] = slot.sequence;
      this.#allocatedAt[row] = slot.allocatedAt;
      this.#container[row] = fingerprint(containerId, 0);
      this.#attachment[row] = fingerprint(`${network} ${ifname}`, 0);
      this.#link(row, slot.owner);
    });
    const { base } = block.cidr;
    this.#byBase.set(addressKeyOf(base), number);
    this.blocks.push({
      key,
      base: addressKeyOf(base),
      family: slotAddress(block, 0).family,
      node: block.node,
      guests: [...guests],
      range: block.range,
      claimedAt: block.claimedAt,
      firstRow,
      rows: this.#size - firstRow,
    });
  }

  /** Yields the rows that name the pod: by one of its UIDs, or by its name if they have no UID. */
  *rowsOf(uids: readonly string[], name: string): Iterable<number> {
    for (const uid of uids) yield* this.#chain(this.#byUid.get(uid));
    if (this.#byName.size > 0) yield* this.#chain(this.#byName.get(name));
  }

  /** Returns the row of an address, given the base of the block that would contain it. */
  rowAt(base: AddressKey, place: AddressKey): number | undefined {
    const block = this.blocks[this.#byBase.get(base) ?? NONE];
    if (!block) return undefined;
    const index = Number(BigInt(place) - BigInt(base));
    for (let row = block.firstRow; row < block.firstRow + block.rows; row++)
      if (this.#index[row] === index) return row;
    return undefined;
  }

  /** Returns whether the allocation names no pod at all. */
  isAnonymous(row: number): boolean {
    return this.#naming[row] === ANONYMOUS;
  }

  /** Returns whether the allocation names its pod by UID, which no other pod ever has. */
  namesUid(row: number): boolean {
    return this.#naming[row] === BY_UID;
  }

  blockOf(row: number): TableBlock {
    const block = this.blocks[this.#block[row] ?? NONE];
    if (!block) throw new RangeError(`row ${row}: expected one below ${this.#size}`);
    return block;
  }

  /** Returns the node of the allocation. */
  nodeOf(row: number): string {
    return this.#guests.get(row) ?? this.blockOf(row).node;
  }

  markOf(row: number): Mark {
    return {
      blockKey: this.blockOf(row).key,
      index: this.#index[row] ?? NONE,
      sequence: this.#sequence[row] ?? NONE,
      allocatedAt: this.#allocatedAt[row] ?? NONE,
      container: this.#container[row] ?? NONE,
    };
  }

  /** Returns the fingerprint of network and interface. */
  interfaceOf(row: number): number {
    return this.#attachment[row] ?? NONE;
  }

  #link(row: number, { podUid, podNamespace, podName }: OwnerNames): void {
    const name =
      podNamespace === undefined || podName === undefined ? undefined : `${podNamespace}/${podName}`;
    const [map, key] = podUid === undefined ? [this.#byName, name] : [this.#byUid, podUid];
    this.#next[row] = NONE;
    this.#naming[row] = key === undefined ? ANONYMOUS : podUid === undefined ? BY_NAME : BY_UID;
    if (key === undefined) return;
    this.#next[row] = map.get(key) ?? NONE;
    map.set(key, row);
  }

  *#chain(first: number | undefined): Iterable<number> {
    for (let row = first ?? NONE; row !== NONE; row = this.#next[row] ?? NONE) yield row;
  }

  #grow(): number {
    if (this.#size === this.#capacity) {
      this.#capacity *= 2;
      this.#block = enlarged(this.#block, new Uint32Array(this.#capacity));
      this.#index = enlarged(this.#index, new Uint16Array(this.#capacity));
      this.#sequence = enlarged(this.#sequence, new Float64Array(this.#capacity));
      this.#allocatedAt = enlarged(this.#allocatedAt, new Float64Array(this.#capacity));
      this.#container = enlarged(this.#container, new Float64Array(this.#capacity));
      this.#attachment = enlarged(this.#attachment, new Float64Array(this.#capacity));
      this.#next = enlarged(this.#next, new Int32Array(this.#capacity));
      this.#naming = enlarged(this.#naming, new Uint8Array(this.#capacity));
    }
    return this.#size++;
  }
}

interface OwnerNames {
  readonly podUid?: string;
  readonly podNamespace?: string;
  readonly podName?: string;
}

function enlarged<T extends Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array>(
  old: T,
  larger: T,
): T {
  larger.set(old);
  return larger;
}

/** Returns whether the block, read later, still holds the marked allocation. */
export function isMarked(mark: Mark, block: Block): boolean {
  const slot = block.slots[mark.index];
  return (
    slot?.state === 'used' &&
    slot.sequence === mark.sequence &&
    slot.allocatedAt === mark.allocatedAt &&
    fingerprint(slot.owner.containerId, 0) === mark.container
  );
}
