import { cidrContains, formatAddress, sameAddress, type Family } from '../model/address.ts';
import { nodeOf, slotIndex, type Block, type KeptSlot, type Slot, type UsedSlot } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import { ruleOf } from '../model/holder.ts';
import { isSamePod, podInterfaceOf, type PodInterface } from '../model/keep.ts';
import { endKept } from '../model/kept-slot.ts';
import type { Source } from '../model/demand.ts';
import { isReserved } from '../model/range.ts';
import { checkReadable } from '../node/hidden.ts';
import type { Ipam } from '../node/ipam.ts';
import type { ReadBlock } from '../node/node-blocks.ts';
import type { Foreign, NodeTransaction } from '../node/transaction.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { decodeKept, keptIn, keptKey, spareOf, type KeptPlace } from '../records/kept-record.ts';
import { blockKey, rangeKey } from '../records/keys.ts';
import { decodeRange } from '../records/range-record.ts';
import { asRead, type Entry, type Guard } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import type { AllocationRequest } from './allocation.ts';
import { isEligible } from './eligible.ts';
import { assign, type Assignment, type FixedVlan } from './pick-context.ts';

/** What a pod whose addresses are kept gets of them, and what to write about it. */
export interface KeptPick {
  readonly steps: readonly Assignment[];
  /** Changes the transaction, after the steps have: only then is anything changed. */
  readonly apply: (transaction: NodeTransaction) => void;
}

/** A kept address that ends, because its pod may not have it any more. */
interface Ending {
  readonly found: Found;
  readonly slot: KeptSlot;
}

interface KeptContext {
  readonly ipam: Ipam;
  readonly request: AllocationRequest;
  readonly sources: readonly Source[];
  /** Absent: the pod gets what was kept for it a last time. */
  readonly keep: Source['keep'];
  readonly transaction: NodeTransaction;
  /** VLAN of what the attachment has already. */
  readonly fixed: FixedVlan;
  readonly unproven: boolean;
  readonly attempt: number;
}

/** Where a kept address is now: in one of the node's blocks, or in one of another node. */
interface Found {
  readonly place: KeptPlace;
  readonly held: Pick<ReadBlock, 'block' | 'range'>;
  readonly slot: Slot | undefined;
  /** Present for a block of which the node has nothing so far. */
  readonly from?: Foreign;
}

/**
 * Picks those addresses that are kept for the attachment's pod. It reads at most one
 * key and one block for each family, however many addresses are kept.
 * @throws IpamError `still-used` while an earlier attachment has the address; `corrupt-record` for
 *   the record that tells where it is, or the block; `store-…`
 */
export async function pickKept(context: KeptContext, families: readonly Family[]): Promise<KeptPick> {
  const pod = podInterfaceOf(context.request.owner);
  if (!pod) return { steps: [], apply: () => undefined };
  return context.keep?.anyPod ? await pickSpare(context, families) : await pickOwn(context, pod, families);
}

/** Picks what is kept for the pod's name. */
async function pickOwn(
  context: KeptContext,
  pod: PodInterface,
  families: readonly Family[],
): Promise<KeptPick> {
  const { ipam, request, keep } = context;
  const steps: Assignment[] = [];
  const guards: Guard[] = [];
  const ended: Ending[] = [];
  let { fixed } = context;
  for (const family of families) {
    const found = await findOwn(context, keptKey(pod, family), guards);
    if (!found) continue;
    const { slot, held } = found;
    if (keep && slot?.state === 'used' && isOfPod(slot, pod)) throw stillUsed(found, slot, pod);
    if (slot?.state !== 'kept' || slot.keep.anyPod || !isSamePod(slot.pod, pod)) continue;
    if (!mayHave(context, found, family, fixed)) {
      ended.push({ found, slot });
      continue;
    }
    if (await ipam.local.isUsedByOther(found.place.address, request.owner)) {
      if (!keep) continue;
      throw carried(found, pod);
    }
    fixed = { vlan: held.range.vlan };
    steps.push(take(context, found, slot, family));
  }
  return {
    steps,
    apply: (changed) => {
      for (const guard of guards) changed.require(guard);
      endAll(changed, ended, ipam.effects.now());
    },
  };
}

/**
 * Finds the kept address of a key: in the blocks of which the node has read what they hold, else
 * where the key in etcd says. What etcd says of the key is added to what must still hold.
 */
async function findOwn(context: KeptContext, key: string, guards: Guard[]): Promise<Found | undefined> {
  for (const held of context.transaction.held) {
    const place = placesIn(held.block).get(key);
    if (place) return { place, held, slot: held.block.slots[slotIndex(held.block, place.address)] };
  }
  const [entry] = await context.ipam.store.get([key]);
  guards.push(asRead(key, entry));
  return entry && (await findPlace(context, decodeKept(key, entry.value)));
}

/** The kept addresses of blocks by key. A node with many asks for each pod. */
const places = new WeakMap<Block, ReadonlyMap<string, KeptPlace>>();

function placesIn(block: Block): ReadonlyMap<string, KeptPlace> {
  const known = places.get(block) ?? new Map(keptIn(block));
  places.set(block, known);
  return known;
}

const isOfPod = ({ keep, owner }: UsedSlot, pod: PodInterface): boolean => {
  const own = podInterfaceOf(owner);
  return keep !== undefined && own !== undefined && isSamePod(own, pod);
};

/** Most spare addresses that one request ends: each is a block with all that follows from it. */
const MOST_ENDED = 4;

/** Most spare addresses that are looked at in blocks which the node has not read. */
const MOST_LOOKS = 16;

/** Picks what is kept for any pod of the rule. */
async function pickSpare(context: KeptContext, families: readonly Family[]): Promise<KeptPick> {
  const { ipam } = context;
  const steps: Assignment[] = [];
  const ended: Ending[] = [];
  let { fixed } = context;
  for (const family of families) {
    const found = await findSpare(context, family, fixed, ended);
    if (!found) continue;
    fixed = { vlan: found.held.range.vlan };
    steps.push(take(context, found, found.slot, family));
  }
  return { steps, apply: (changed) => endAll(changed, ended, ipam.effects.now()) };
}

/** @param ended receives some of those that nobody gets any more: of ranges that drain */
async function findSpare(
  context: KeptContext,
  family: Family,
  fixed: FixedVlan,
  ended: Ending[],
): Promise<(Found & { readonly slot: KeptSlot }) | undefined> {
  const { ipam, keep, request } = context;
  const useless = new Set<string>();
  let looks = 0;
  for await (const { key, value } of sparesInTurn(context, family)) {
    const read = readRecord({ key, value }, decodeKept);
    if ('unreadable' in read || useless.has(read.value.range)) continue;
    const isHere = context.transaction.held.some(({ block }) => isPlaceIn(block, read.value));
    if (!isHere && ++looks > MOST_LOOKS) return undefined;
    const found = await findPlace(context, read.value).catch(unlessUnreadable);
    const slot = found?.slot;
    // Another pod was faster, also one whose request is part of the same transaction.
    if (!found || slot?.state !== 'kept' || !slot.keep.anyPod || slot.keep.rule !== keep?.rule) continue;
    if (found.held.range.state === 'draining' || !isOfOwner(context, found.held.block)) {
      // The next pods end the rest.
      if (ended.length < MOST_ENDED) ended.push({ found, slot });
    } else if (!mayHave(context, found, family, fixed)) useless.add(read.value.range);
    else if (!(await ipam.local.isUsedByOther(found.place.address, request.owner))) return { ...found, slot };
  }
  return undefined;
}

/** Yields spare addresses; once others were faster, from a random place on. */
async function* sparesInTurn({ ipam, keep, attempt }: KeptContext, family: Family): AsyncIterable<Entry> {
  if (!keep) return;
  let isFirst = attempt > 0;
  for await (const page of ipam.store.scan(spareOf(keep.rule, family))) {
    const start = isFirst ? Math.floor(ipam.effects.random() * page.length) : 0;
    isFirst = false;
    yield* page.slice(start);
    yield* page.slice(0, start);
  }
}

/** A spare address in a block that cannot be read is none: others are as good. */
function unlessUnreadable(error: unknown): undefined {
  if (!(error instanceof IpamError) || error.code !== 'corrupt-record') throw error;
}

const isPlaceIn = (block: Block, { range, address }: KeptPlace): boolean =>
  block.range === range && cidrContains(block.cidr, address);

/**
 * Returns undefined where etcd has no such block any more.
 * @throws IpamError `corrupt-record`, `store-…`
 */
async function findPlace({ ipam, transaction }: KeptContext, place: KeptPlace): Promise<Found | undefined> {
  const { address } = place;
  const key = blockKey(place.range, place.block);
  const known = transaction.held.find(({ block }) => blockKey(block.range, block.cidr) === key);
  if (known) return { place, held: known, slot: known.block.slots[slotIndex(known.block, address)] };
  // An index entry that cannot be read is not written over.
  checkReadable(transaction, [address]);
  const [entry, rangeEntry] = await ipam.store.get([key, rangeKey(place.range)]);
  if (!entry || !rangeEntry) return undefined;
  const range = decodeRange(rangeEntry.key, rangeEntry.value);
  const block = decodeBlockOf(range)(entry.key, entry.value);
  const slot = block.slots[slotIndex(block, address)];
  const from = { range, rangeEntry, read: { block, entry } };
  return { place, held: { block, range }, slot, from };
}

/** Whether it is a block whose addresses pods of the rule get: a node's, or one of its own. */
const isOfOwner = ({ sources }: KeptContext, block: Block): boolean =>
  sources.some(({ blocksOf }) => ruleOf(block) === blocksOf);

/** Whether the pod may have the address by the rules and the network of now. */
function mayHave(
  context: KeptContext,
  { place, held: { block, range } }: Found,
  family: Family,
  fixed: FixedVlan,
): boolean {
  const { sources } = context;
  const requested = sources[0]?.requested?.find((each) => each.family === family);
  if (requested && !sameAddress(requested, place.address)) return false;
  return (
    !isReserved(range, place.address) &&
    isOfOwner(context, block) &&
    sources.some((source) => isEligible(range, { request: source, family, fixed }))
  );
}

function take(
  { ipam, request, sources, keep, unproven }: KeptContext,
  { held, place, from }: Found,
  { keep: before }: KeptSlot,
  family: Family,
): Assignment {
  const index = slotIndex(held.block, place.address);
  const context = { ipam, request: { ...request, ...sources[0] }, family, unproven };
  const kept = keep && { keep: { ...keep, since: before.since } };
  return assign({ ...context, ...kept }, held, index, from);
}

/** Ends what is kept, in the blocks as the steps have left them. */
function endAll(transaction: NodeTransaction, endings: readonly Ending[], now: number): void {
  for (const { found, slot } of endings) {
    const { place, held, from } = found;
    const known = transaction.held.find(({ block }) => isPlaceIn(block, place));
    const block = endKept((known ?? held).block, place.address, slot.sequence, now);
    transaction.put(block, from);
  }
}

function stillUsed({ held, place }: Found, slot: UsedSlot, pod: PodInterface): IpamError {
  const node = nodeOf(held.block, slot);
  return new IpamError(
    'still-used',
    `${formatAddress(place.address)} is kept for pod ${pod.namespace}/${pod.name}, and its earlier container ${slot.owner.containerId} on node '${node}' still has it`,
  );
}

const carried = ({ place }: Found, pod: PodInterface): IpamError =>
  new IpamError(
    'still-used',
    `${formatAddress(place.address)} is kept for pod ${pod.namespace}/${pod.name}, and another container of this node still has it`,
  );
