import {
  cidrContains,
  formatAddress,
  formatCidr,
  offsetAddress,
  type Address,
  type Cidr,
} from './address.ts';
import type { Attachment, Owner } from './attachment.ts';
import type { Lifetime, ReleaseCause } from './lifetime.ts';
import { blockAt, blockPrefixLength, reservation, type Range } from './range.ts';
import type { UnknownFields } from './unknown-fields.ts';

export type Slot =
  | { readonly state: 'free' }
  /** Network, broadcast, gateway or excluded: never given out. */
  | { readonly state: 'reserved' }
  | {
      readonly state: 'used';
      readonly owner: Owner;
      /** Milliseconds since 1970. */
      readonly allocatedAt: number;
      /** The block's sequence when it was given: with the owner it names this allocation and no other. */
      readonly sequence: number;
      readonly unknownFields?: UnknownFields;
    }
  | {
      readonly state: 'released';
      readonly releasedAt: number;
      readonly sequence: number;
      /** MAC of the stranger that uses the address all the same: it is set aside for {@link SET_ASIDE_MS}. */
      readonly conflictMac?: string;
      readonly unknownFields?: UnknownFields;
    };

/** How long an address rests that somebody else was found to use, in milliseconds; then it is tried again. */
export const SET_ASIDE_MS = 3_600_000;

export type UsedSlot = Extract<Slot, { state: 'used' }>;

/** Consecutive addresses of a range that one node gives out. A value: every operation returns a new one. */
export interface Block {
  readonly range: string;
  readonly cidr: Cidr;
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly claimedAt: number;
  /** Counts every change, so that no two allocations of the block share one. */
  readonly sequence: number;
  /** One for each address, in their order. */
  readonly slots: readonly Slot[];
  readonly unknownFields?: UnknownFields;
}

/** @param sequence at which its count begins: not 0 where it was claimed before ({@link releaseCount}) */
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

/** Index of the address in the block, or -1. */
export function slotIndex(block: Block, address: Address): number {
  return cidrContains(block.cidr, address) ? Number(address.value - block.cidr.base.value) : -1;
}

/** Every slot that is given out, or those of them that are looked for, with its address. */
export function usedSlots(
  block: Block,
  isWanted: (slot: UsedSlot) => boolean = () => true,
): { address: Address; slot: UsedSlot }[] {
  return block.slots.flatMap((slot, i) =>
    slot.state === 'used' && isWanted(slot) ? [{ address: slotAddress(block, i), slot }] : [],
  );
}

export function isOwnedBy(slot: Slot, attachment: Attachment): slot is UsedSlot {
  return (
    slot.state === 'used' &&
    slot.owner.containerId === attachment.containerId &&
    slot.owner.ifname === attachment.ifname
  );
}

/**
 * Whether a released slot still rests. A release stamped in the future by more than the cooldown comes from
 * a clock that jumped: it must not keep the address back for ever.
 */
export function isCooling(slot: Slot, now: number, cooldownMs: number): boolean {
  return slot.state === 'released' && Math.abs(now - slot.releasedAt) < restMs(slot, cooldownMs);
}

/** How long a released slot rests, in milliseconds. */
export function restMs(slot: Extract<Slot, { state: 'released' }>, cooldownMs: number): number {
  return slot.conflictMac === undefined ? cooldownMs : Math.max(cooldownMs, SET_ASIDE_MS);
}

/** A slot that can be given out now, and how long it has waited: lower `turn` goes first. */
export interface Candidate {
  readonly index: number;
  /** Never used: 0. Else the time of its release, so that the oldest goes first (FIFO). */
  readonly turn: number;
}

/** The slot whose turn it is, or undefined when all are given out, reserved or cooling. */
export function nextCandidate(block: Block, now: number, cooldownMs: number): Candidate | undefined {
  let best: Candidate | undefined;
  block.slots.forEach((slot, index) => {
    if (slot.state === 'used' || slot.state === 'reserved' || isCooling(slot, now, cooldownMs)) return;
    const turn = slot.state === 'free' ? 0 : slot.releasedAt;
    if (!best || turn < best.turn) best = { index, turn };
  });
  return best;
}

/**
 * Gives the slot to the owner.
 * @throws Error where the slot is not to be given: the caller chose it by {@link nextCandidate} from the same value
 */
export function takeSlot(
  block: Block,
  index: number,
  owner: Owner,
  now: number,
): { block: Block; slot: UsedSlot } {
  const before = block.slots[index];
  if (!before || before.state === 'used' || before.state === 'reserved') {
    throw new Error(
      `slot ${index} of ${formatCidr(block.cidr)} cannot be given out: it is ${before?.state ?? 'outside'}`,
    );
  }
  const sequence = block.sequence + 1;
  const slot: UsedSlot = { state: 'used', owner, allocatedAt: now, sequence };
  return { block: { ...block, sequence, slots: block.slots.with(index, slot) }, slot };
}

/** What a release believes (rule 5): who has the address, and by which allocation. */
export interface Expected extends Attachment {
  readonly sequence: number;
  /** Milliseconds since 1970; absent: whenever. A block that was given back and claimed again may count as before. */
  readonly allocatedAt?: number;
}

/** What identifies the allocation that the slot holds. */
export function expectedOf({ owner, sequence, allocatedAt }: UsedSlot): Expected {
  return { containerId: owner.containerId, ifname: owner.ifname, sequence, allocatedAt };
}

/** Whether the slot is given out by the very allocation that is believed. */
export function isExpected(slot: Slot, expected: Expected): slot is UsedSlot {
  return (
    isOwnedBy(slot, expected) &&
    slot.sequence === expected.sequence &&
    slot.allocatedAt === (expected.allocatedAt ?? slot.allocatedAt)
  );
}

/**
 * Takes the address back, if it is still the expected allocation.
 * `changed`: somebody else has it now; `free`: nobody has it. The block is then as it was.
 * @returns beside the block, what is over by it: for the history, in the transaction that writes the block
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
  const released: Slot = { state: 'released', releasedAt: now, sequence, ...conflict };
  return {
    outcome: 'released',
    block: { ...block, sequence, slots: block.slots.with(index, released) },
    lifetime: {
      address,
      node: block.node,
      owner: slot.owner,
      allocatedAt: slot.allocatedAt,
      releasedAt: now,
      cause,
    },
  };
}

const usedCount = (block: Block): number => block.slots.filter((slot) => slot.state === 'used').length;

/**
 * How many releases the block has seen since it was claimed, or since the count at which it then began. Each change is a take or a release,
 * and counts one in the sequence; takes without a release are the slots that are used.
 */
export function releaseCount(block: Block): number {
  return Math.max(0, Math.floor((block.sequence - usedCount(block)) / 2));
}

/** How many addresses a change gave out and took back. */
export interface Tally {
  readonly given: number;
  readonly released: number;
}

/** What lies between two states of a block. @param before undefined where it was claimed in between */
export function tallyOf(before: Block | undefined, after: Block): Tally {
  const sequencesOf = (block: Block | undefined): Set<number> =>
    new Set(block?.slots.flatMap((slot) => (slot.state === 'used' ? [slot.sequence] : [])));
  const [earlier, later] = [sequencesOf(before), sequencesOf(after)];
  return {
    given: [...later].filter((sequence) => !earlier.has(sequence)).length,
    released: [...earlier].filter((sequence) => !later.has(sequence)).length,
  };
}

export interface SlotCounts {
  /** Slots that pods can have: all but the reserved. */
  readonly capacity: number;
  readonly used: number;
  readonly cooling: number;
  readonly free: number;
  readonly reserved: number;
}

export function countSlots(block: Block, now: number, cooldownMs: number): SlotCounts {
  const reserved = block.slots.filter((slot) => slot.state === 'reserved').length;
  const used = usedCount(block);
  const cooling = block.slots.filter((slot) => isCooling(slot, now, cooldownMs)).length;
  const capacity = block.slots.length - reserved;
  return { capacity, used, cooling, free: capacity - used - cooling, reserved };
}

/** Milliseconds until the first cooling slot has rested; undefined when none cools. */
export function nextRestedMs(block: Block, now: number, cooldownMs: number): number | undefined {
  const waits = block.slots.flatMap((slot) =>
    slot.state === 'released' && isCooling(slot, now, cooldownMs)
      ? [slot.releasedAt + restMs(slot, cooldownMs) - now]
      : [],
  );
  return waits.length === 0 ? undefined : Math.min(...waits);
}

/** Everything that is wrong with a block; empty when it is sound. Tests call it after every operation. */
export function validateBlock(block: Block, range: Range): string[] {
  const name = formatCidr(block.cidr);
  const problems: string[] = [];
  const check = (holds: boolean, problem: string): void => {
    if (!holds) problems.push(`block ${name}: ${problem}`);
  };
  check(block.range === range.name, `names range '${block.range}', found under '${range.name}'`);
  check(cidrContains(range.cidr, block.cidr.base), `lies outside range ${formatCidr(range.cidr)}`);
  check(block.cidr.prefixLength === blockPrefixLength(range), `is not a /${blockPrefixLength(range)}`);
  check(formatCidr(blockAt(range, block.cidr.base)) === name, 'is not on its boundary');
  check(block.slots.length === range.blockSize, `has ${block.slots.length} slots, not ${range.blockSize}`);
  check(block.node !== '', 'has no node');
  const isReserved = reservation(range);
  const sequences = new Set<number>();
  block.slots.forEach((slot, i) => {
    const address = slotAddress(block, i);
    check((slot.state === 'reserved') === isReserved(address), `${formatAddress(address)} is ${slot.state}`);
    if (slot.state !== 'used' && slot.state !== 'released') return;
    check(
      slot.sequence > 0 && slot.sequence <= block.sequence,
      `${formatAddress(address)} has sequence ${slot.sequence}`,
    );
    check(!sequences.has(slot.sequence), `sequence ${slot.sequence} stands twice`);
    sequences.add(slot.sequence);
  });
  const owners = usedSlots(block).map(({ slot }) => `${slot.owner.containerId} ${slot.owner.ifname}`);
  check(new Set(owners).size === owners.length, 'one attachment has two of its addresses');
  return problems;
}
