import { cidrContains, formatCidr, offsetAddress, type Address, type Cidr } from './address.ts';
import type { Attachment, Owner } from './attachment.ts';
import type { Condemnation } from './condemnation.ts';
import { podInterfaceOf, type Keep, type PodInterface } from './keep.ts';
import type { Lifetime, ReleaseCause } from './lifetime.ts';
import { reservation, type Range } from './range.ts';
import type { UnknownFields } from './unknown-fields.ts';

export type Slot =
  | { readonly state: 'free' }
  /** Network, broadcast, gateway, next hop or excluded: IPAM never assigns it. */
  | { readonly state: 'reserved' }
  | {
      readonly state: 'used';
      readonly owner: Owner;
      /** Milliseconds since 1970. */
      readonly allocatedAt: number;
      /**
       * Sequence of the block when the address was assigned. With the owner it identifies this
       * allocation and no other.
       */
      readonly sequence: number;
      /**
       * Node of the attachment, where it is not the block's: its pod took a kept address along, or
       * requested this very address.
       */
      readonly node?: string;
      /** Present if the address stays the pod's when the attachment ends. */
      readonly keep?: Keep;
      /** Annotations of the pod that chose the address, such as `ip`. For display only. */
      readonly chosenBy?: readonly string[];
      /** Present if the pod is gone and the node is to clear the attachment away. */
      readonly condemned?: Condemnation;
      readonly unknownFields?: UnknownFields;
    }
  /** Nobody uses it, and only the pod for which it is kept gets it. */
  | {
      readonly state: 'kept';
      readonly pod: PodInterface;
      readonly keep: Keep;
      /** Since when no attachment has it, in milliseconds since 1970. */
      readonly keptAt: number;
      readonly sequence: number;
      /**
       * When a check first saw that the pod's StatefulSet does not make it any more, in
       * milliseconds since 1970. Absent: it may make it, or nobody looked.
       */
      readonly scaledDownAt?: number;
      readonly unknownFields?: UnknownFields;
    }
  | {
      readonly state: 'released';
      readonly releasedAt: number;
      readonly sequence: number;
      /**
       * MAC of another host that was seen to use the address. The address then rests for at least
       * {@link SET_ASIDE_MS}.
       */
      readonly conflictMac?: string;
      readonly unknownFields?: UnknownFields;
    };

/**
 * How long an address rests after another host was seen to use it, in milliseconds. After that,
 * IPAM assigns it again.
 */
export const SET_ASIDE_MS = 3_600_000;

export type UsedSlot = Extract<Slot, { state: 'used' }>;
export type KeptSlot = Extract<Slot, { state: 'kept' }>;

/**
 * Whether the address is kept for a pod now: its time has not ended. As for {@link isCooling}, one
 * that lies far in the future comes from a clock that jumped.
 */
export const isKept = (slot: Slot, now: number): boolean =>
  slot.state === 'kept' && (slot.keep.forMs === undefined || Math.abs(now - slot.keptAt) < slot.keep.forMs);

/** Returns the node of the attachment that has the slot. */
export const nodeOf = (block: Pick<Block, 'node'>, slot: Pick<UsedSlot, 'node'>): string =>
  slot.node ?? block.node;

/**
 * Consecutive addresses of a range from which one node allocates. An immutable value: every
 * operation returns a new one.
 */
export interface Block {
  readonly range: string;
  readonly cidr: Cidr;
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly claimedAt: number;
  /** Increases with every change, so that no two allocations of the block share a value. */
  readonly sequence: number;
  /** One slot for each address, in address order. */
  readonly slots: readonly Slot[];
  readonly unknownFields?: UnknownFields;
}

/**
 * @param sequence start of the block's count. It is not 0 if the block was claimed before
 *   ({@link releaseCount}).
 */
export function newBlock(range: Range, cidr: Cidr, node: string, now: number, sequence = 0): Block {
  const isReserved = reservation(range);
  const slots = Array.from({ length: range.blockSize }, (_, i): Slot => {
    return { state: isReserved(offsetAddress(cidr.base, BigInt(i))) ? 'reserved' : 'free' };
  });
  return { range: range.name, cidr, node, claimedAt: now, sequence, slots };
}

export function slotAddress(block: Block, index: number): Address {
  return offsetAddress(block.cidr.base, BigInt(index));
}

/** Returns the index of the address in the block, or -1. */
export function slotIndex(block: Block, address: Address): number {
  return cidrContains(block.cidr, address) ? Number(address.value - block.cidr.base.value) : -1;
}

/** Returns every used slot that satisfies `isWanted`, with its address. */
export function usedSlots(
  block: Block,
  isWanted: (slot: UsedSlot) => boolean = () => true,
): { address: Address; slot: UsedSlot }[] {
  const found: { address: Address; slot: UsedSlot }[] = [];
  block.slots.forEach((slot, i) => {
    if (slot.state === 'used' && isWanted(slot)) found.push({ address: slotAddress(block, i), slot });
  });
  return found;
}

/** Whether an attachment of the node has an address of the block. */
export const hasSlotsOf = (block: Block, node: string): boolean =>
  block.slots.some((slot) => slot.state === 'used' && nodeOf(block, slot) === node);

/** Whether the node holds the block, or has an address of it. */
export const isOfNode = (block: Block, node: string): boolean =>
  block.node === node || hasSlotsOf(block, node);

export function isOwnedBy(slot: Slot, attachment: Attachment): slot is UsedSlot {
  return (
    slot.state === 'used' &&
    slot.owner.containerId === attachment.containerId &&
    slot.owner.ifname === attachment.ifname
  );
}

/**
 * Returns whether a released slot, or one that is kept no more, still rests. A release that lies
 * further in the future than the rest time comes from a clock that jumped: it must not block the
 * address for ever.
 */
export function isCooling(slot: Slot, now: number, cooldownMs: number): boolean {
  // One whose keeping has ended rests since its pod went.
  if (slot.state === 'kept') return !isKept(slot, now) && Math.abs(now - slot.keptAt) < cooldownMs;
  return slot.state === 'released' && Math.abs(now - slot.releasedAt) < restMs(slot, cooldownMs);
}

/** Returns how long a released slot rests, in milliseconds. */
export function restMs(slot: Extract<Slot, { state: 'released' }>, cooldownMs: number): number {
  return slot.conflictMac === undefined ? cooldownMs : Math.max(cooldownMs, SET_ASIDE_MS);
}

/** Whether the slot can be assigned to anybody now. */
export const isFree = (
  slot: Slot,
  now: number,
  cooldownMs: number,
): slot is Extract<Slot, { state: 'free' | 'released' | 'kept' }> =>
  slot.state !== 'used' &&
  slot.state !== 'reserved' &&
  !isCooling(slot, now, cooldownMs) &&
  !isKept(slot, now);

/** A slot that can be assigned now. The one with the lowest `turn` goes first. */
export interface Candidate {
  readonly index: number;
  /** 0 for a slot never used, else the time of its release: the oldest goes first (FIFO). */
  readonly turn: number;
}

/**
 * Returns the next slot to assign, or undefined if all are used, reserved or cooling. Of equal
 * turns the lowest index goes first.
 * @param except slots to pass over, by index
 */
export function nextCandidate(
  block: Block,
  now: number,
  cooldownMs: number,
  except?: ReadonlySet<number>,
): Candidate | undefined {
  let next: Candidate | undefined;
  for (const [index, slot] of block.slots.entries()) {
    if (!isFree(slot, now, cooldownMs)) continue;
    const turn = turnOf(slot);
    if ((!next || turn < next.turn) && !except?.has(index)) next = { index, turn };
  }
  return next;
}

function turnOf(slot: Exclude<Slot, { state: 'used' | 'reserved' }>): number {
  switch (slot.state) {
    case 'free':
      return 0;
    case 'released':
      return slot.releasedAt;
    case 'kept':
      return slot.keptAt;
  }
}

/** What an assignment says beside its owner. */
export type Terms = Pick<UsedSlot, 'node' | 'keep' | 'chosenBy'>;

/**
 * Assigns the slot to the owner. The caller chose the slot with {@link nextCandidate} of the same
 * block value.
 * @throws Error if the slot is used, reserved or outside the block
 */
export function takeSlot(
  block: Block,
  index: number,
  owner: Owner,
  now: number,
  terms: Terms = {},
): { block: Block; slot: UsedSlot } {
  const before = block.slots[index];
  if (!before || before.state === 'used' || before.state === 'reserved') {
    throw new Error(
      `slot ${index} of ${formatCidr(block.cidr)} cannot be given out: it is ${before?.state ?? 'outside'}`,
    );
  }
  const sequence = block.sequence + 1;
  const slot: UsedSlot = { state: 'used', owner, allocatedAt: now, sequence, ...terms };
  return { block: { ...block, sequence, slots: block.slots.with(index, slot) }, slot };
}

/** The allocation that a release expects to find (rule 5). */
export interface Expected extends Attachment {
  readonly sequence: number;
  /**
   * Milliseconds since 1970; absent: any time. The sequence alone is not unique: a block that was
   * returned and claimed again may count as before.
   */
  readonly allocatedAt?: number;
}

/** Returns what identifies the allocation in the slot. */
export function expectedOf({ owner, sequence, allocatedAt }: UsedSlot): Expected {
  return { containerId: owner.containerId, ifname: owner.ifname, sequence, allocatedAt };
}

/** Returns whether the slot holds exactly the expected allocation. */
export function isExpected(slot: Slot, expected: Expected): slot is UsedSlot {
  return (
    isOwnedBy(slot, expected) &&
    slot.sequence === expected.sequence &&
    slot.allocatedAt === (expected.allocatedAt ?? slot.allocatedAt)
  );
}

/**
 * Releases the address if its slot still holds the expected allocation. Otherwise the block stays
 * as it is: `changed` means that another allocation holds the address, `free` that none does. An
 * address that is kept stays its pod's, but for causes that end this.
 * @returns with the new block, the ended lifetime. The caller adds it to the history in the
 *   transaction that writes the block
 */
export function releaseSlot(
  block: Block,
  address: Address,
  expected: Expected,
  now: number,
  cause: ReleaseCause,
): { outcome: 'released'; block: Block; lifetime: Lifetime } | { outcome: 'changed' | 'free' } {
  const index = slotIndex(block, address);
  const slot = block.slots[index];
  if (slot?.state !== 'used') return { outcome: 'free' };
  if (!isExpected(slot, expected)) return { outcome: 'changed' };
  const sequence = block.sequence + 1;
  const conflict = cause.why === 'conflict' && { conflictMac: cause.conflictMac };
  const kept = keptAfter(slot, cause);
  const after: Slot = kept
    ? { state: 'kept', ...kept, keptAt: now, sequence }
    : { state: 'released', releasedAt: now, sequence, ...conflict };
  return {
    outcome: 'released',
    block: { ...block, sequence, slots: block.slots.with(index, after) },
    lifetime: {
      address,
      node: nodeOf(block, slot),
      owner: slot.owner,
      allocatedAt: slot.allocatedAt,
      releasedAt: now,
      cause,
    },
  };
}

/**
 * Returns for whom the address is kept after its release; undefined if it is free then. What an
 * operator releases is kept for nobody, nor is an address that another host uses, nor one that an
 * ADD got first and gave back when it failed.
 */
function keptAfter(
  { keep, owner, allocatedAt }: UsedSlot,
  { why }: ReleaseCause,
): { readonly keep: Keep; readonly pod: PodInterface } | undefined {
  const pod = podInterfaceOf(owner);
  const neverRan = why === 'undo' && keep?.since === allocatedAt;
  return keep && pod && why !== 'operator' && why !== 'conflict' && !neverRan ? { keep, pod } : undefined;
}
