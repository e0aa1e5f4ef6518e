import {
  cidrContains,
  formatAddress,
  formatCidr,
  sameAddress,
  spanContains,
  type Address,
  type Cidr,
} from '../model/address.ts';
import { annotationKey } from '../model/annotations.ts';
import { isCooling, isKept, nodeOf, restMs, slotIndex, type Block } from '../model/block.ts';
import type { RequestedAddress } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import { holderText, ruleHolder, ruleOf } from '../model/holder.ts';
import { blockAt, isReserved, type Range } from '../model/range.ts';
import { blankBlock } from '../node/blank-block.ts';
import { checkReadable } from '../node/hidden.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockKey } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import { notCounted, readRecord } from '../records/unreadable.ts';
import { readRanges, type RangeEntry, type RangeRecords } from '../store/ranges.ts';
import type { Allocation, AllocationRequest } from './allocation.ts';
import { readOccupied } from './claim.ts';
import { isEligible, vlanText } from './eligible.ts';
import { assign, type PickContext, type Assignment } from './pick-context.ts';

/**
 * Picks exactly this address: from a block of which the node has addresses, from one of another
 * node, or from an unclaimed one. Of a rule's own block only its pods get one, and of no other.
 * @returns undefined if everything must be read again
 */
export async function pickRequested(
  context: PickContext,
  requested: RequestedAddress,
): Promise<Assignment | undefined> {
  const { ipam, request } = context;
  const ranges = await readRanges(ipam.store);
  const found = ranges.ranges.find(({ range }) => cidrContains(range.cidr, requested));
  const { range, entry } = checkRequested(context, requested, ranges, found);
  const known = [...context.blocks, ...context.others.guests, ...context.claims];
  const held = known.find(({ block }) => cidrContains(block.cidr, requested));
  // The range was changed since the node's blocks were read: the address was reserved then.
  if (held?.block.slots[slotIndex(held.block, requested)]?.state === 'reserved') return undefined;
  if (held) checkFree(context, requested, held);
  if (await ipam.local.isUsedByOther(requested, request.owner))
    throw taken(context, requested, 'in use by another pod of this node');
  if (held) return assign(context, held, slotIndex(held.block, requested));
  const cidr = blockAt(range, requested);
  const other = await findOther(context, range, cidr, requested);
  if (other) checkFree(context, requested, { block: other.block, range });
  const { node, blocksOf } = request;
  const holder = blocksOf === undefined ? node : ruleHolder(blocksOf);
  const block = other?.block ?? (await blankBlock(ipam, range, cidr, holder));
  // One claimed by this node since its blocks were read: the index fails the comparison.
  const from = { range, rangeEntry: entry, ...(other && { read: other }) };
  return assign(context, { range, block }, slotIndex(block, requested), from);
}

/** @throws IpamError `not-found`, `conflict` with the reason why the address cannot be assigned */
function checkRequested(
  context: PickContext,
  requested: RequestedAddress,
  { ranges, unreadable }: RangeRecords,
  found: RangeEntry | undefined,
): RangeEntry {
  const ip = nameOf(context, requested);
  const { request } = context;
  if (!found) {
    const known = ranges.map(({ range }) => formatCidr(range.cidr)).join(', ') || 'none yet';
    throw new IpamError(
      'not-found',
      `the requested address ${ip} is in no range: the ranges are ${known}${notCounted(unreadable)}`,
    );
  }
  const { range } = found;
  const { prefixLength = range.cidr.prefixLength } = requested;
  if (prefixLength !== range.cidr.prefixLength) {
    throw new IpamError(
      'conflict',
      `the requested address ${formatAddress(requested)}/${prefixLength} is of range '${range.name}': expected /${range.cidr.prefixLength}, or none`,
    );
  }
  if (isReserved(range, requested)) {
    throw new IpamError(
      'conflict',
      `the requested address ${ip} is reserved in range '${range.name}' (network, broadcast, gateway or excluded)`,
    );
  }
  if (!isEligible(range, context)) {
    throw new IpamError(
      'conflict',
      `the requested address ${ip} is of range '${range.name}' (${vlanText(range)}, ${range.state}), ${request.rule === undefined ? 'which this attachment cannot use' : `which rule '${request.rule}' does not give to the pod`}`,
    );
  }
  return found;
}

/** Says where the request comes from, if not from the runtime. */
function nameOf({ request }: PickContext, { family, value }: Address): string {
  const isAnnotated = request.annotated?.by[family]?.includes('ip');
  return `${formatAddress({ family, value })}${isAnnotated ? ` (annotation ${annotationKey('ip')})` : ''}`;
}

const taken = (context: PickContext, requested: Address, why: string): IpamError =>
  new IpamError('taken', `the requested address ${nameOf(context, requested)} is ${why}`);

/** @throws IpamError `taken` */
function checkFree(context: PickContext, requested: Address, { block, range }: HeldBlock): void {
  if (ruleOf(block) !== context.request.blocksOf)
    throw taken(context, requested, `in block ${formatCidr(block.cidr)}, which ${holderText(block)} holds`);
  const slot = block.slots[slotIndex(block, requested)];
  if (slot?.state === 'used') {
    const { podNamespace, podName, containerId } = slot.owner;
    const who = podName === undefined ? `container ${containerId}` : `pod ${podNamespace ?? '?'}/${podName}`;
    throw taken(context, requested, `given to ${who} on node '${nodeOf(block, slot)}'`);
  }
  const now = context.ipam.effects.now();
  if (slot?.state === 'kept' && isKept(slot, now)) {
    const { namespace, name } = slot.pod;
    throw taken(context, requested, `kept for pod ${namespace}/${name}`);
  }
  if (slot?.state === 'kept' && isCooling(slot, now, range.cooldownMs)) {
    const wait = Math.ceil((slot.keptAt + range.cooldownMs - now) / 1000);
    throw taken(context, requested, `cooling, free in ${wait} s`);
  }
  if (slot?.state === 'released' && isCooling(slot, now, range.cooldownMs)) {
    const wait = Math.ceil((slot.releasedAt + restMs(slot, range.cooldownMs) - now) / 1000);
    const why = slot.conflictMac === undefined ? 'cooling' : `set aside, for ${slot.conflictMac} uses it`;
    throw taken(context, requested, `${why}, free in ${wait} s`);
  }
}

/**
 * Returns the block that has the address, as another node or a rule holds it; undefined if none
 * does.
 * @throws IpamError `taken` if the key of a block covers the address that is none of its range, or
 *   cannot be read; `corrupt-record` where the node's index hides whether it has an address of it
 */
async function findOther(
  context: PickContext,
  range: Range,
  cidr: Cidr,
  requested: Address,
): Promise<{ readonly block: Block; readonly entry: Entry } | undefined> {
  const { store } = context.ipam;
  const [entry] = await store.get([blockKey(range.name, cidr)]);
  if (!entry) {
    const { covered } = await readOccupied(store, range);
    const other = covered.find((span) => spanContains(span, requested));
    if (!other) return undefined;
    const why = `in a block that etcd key '${other.key}' touches, which names no block of its range`;
    throw taken(context, requested, why);
  }
  const read = readRecord(entry, decodeBlockOf(range));
  if ('unreadable' in read)
    throw taken(context, requested, `in a block that cannot be read: ${read.unreadable.reason}`);
  // An index entry that cannot be read is not written over.
  checkReadable(context.others, [requested]);
  return { block: read.value, entry };
}

/**
 * Checks the addresses that the attachment keeps against the requested ones.
 * @throws IpamError `conflict` if it keeps another address of the same family
 */
export function checkKept(request: AllocationRequest, kept: readonly Allocation[]): void {
  for (const requested of request.requested ?? []) {
    const has = kept.find((each) => each.address.family === requested.family);
    if (has && !sameAddress(has.address, requested)) {
      throw new IpamError(
        'conflict',
        `the attachment has ${formatAddress(has.address)} already: it cannot get the requested address ${formatAddress(requested)} too`,
      );
    }
  }
}
