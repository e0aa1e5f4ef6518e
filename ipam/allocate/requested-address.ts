import {
  cidrContains,
  formatAddress,
  formatCidr,
  sameAddress,
  spanContains,
  type Address,
  type Cidr,
} from '../model/address.ts';
import { isCooling, isKept, restMs, slotIndex, type Block } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import { holderText, ruleHolder } from '../model/holder.ts';
import { blockAt, isReserved, type Range } from '../model/range.ts';
import { blankBlock } from '../node/blank-block.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockKey } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import { notCounted, readRecord } from '../records/unreadable.ts';
import { readRanges, type RangeEntry, type RangeRecords } from '../store/ranges.ts';
import type { Allocation, AllocationRequest, RequestedAddress } from './allocation.ts';
import { readOccupied } from './claim.ts';
import { isEligible, vlanText } from './eligible.ts';
import { assign, type PickContext, type Assignment } from './pick-context.ts';

/**
 * Picks exactly this address, from a block that the node holds or from an unclaimed one.
 * @returns undefined if everything must be read again
 */
export async function pickRequested(
  context: PickContext,
  requested: RequestedAddress,
): Promise<Assignment | undefined> {
  const { ipam, request } = context;
  const known = await readRanges(ipam.store);
  const found = known.ranges.find(({ range }) => cidrContains(range.cidr, requested));
  const { range, entry } = checkRequested(context, requested, known, found);
  const held = context.blocks.find(({ block }) => cidrContains(block.cidr, requested));
  // The range was changed since the node's blocks were read: the address was reserved then.
  if (held?.block.slots[slotIndex(held.block, requested)]?.state === 'reserved') return undefined;
  if (held) checkFree(context, requested, held);
  if (await ipam.local.isUsedByOther(requested, request.owner)) {
    const ip = formatAddress(requested);
    throw new IpamError('taken', `the requested address ${ip} is in use by another pod of this node`);
  }
  if (held) return assign(context, held, slotIndex(held.block, requested));
  const cidr = blockAt(range, requested);
  const other = await readUnheld(ipam, range, cidr, requested);
  const holder = request.blocksOf === undefined ? request.node : ruleHolder(request.blocksOf);
  const from = { range, rangeEntry: entry, ...(other && { read: other }) };
  if (other && (request.blocksOf === undefined || other.block.node !== holder))
    throw taken(requested, `in block ${formatCidr(cidr)}, which ${holderText(other.block)} holds`);
  const block = other?.block ?? (await blankBlock(ipam, range, cidr, holder));
  checkFree(context, requested, { block, range });
  return assign(context, { range, block }, slotIndex(block, requested), from);
}

/** @throws IpamError `not-found`, `conflict` with the reason why the address cannot be assigned */
function checkRequested(
  context: PickContext,
  requested: RequestedAddress,
  { ranges, unreadable }: RangeRecords,
  found: RangeEntry | undefined,
): RangeEntry {
  const ip = formatAddress(requested);
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
      `the requested address ${ip}/${prefixLength} is of range '${range.name}': expected /${range.cidr.prefixLength}, or none`,
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

/** @throws IpamError `taken` */
function checkFree({ ipam }: PickContext, requested: Address, { block, range }: HeldBlock): void {
  const slot = block.slots[slotIndex(block, requested)];
  const ip = formatAddress(requested);
  if (slot?.state === 'used') {
    const { podNamespace, podName, containerId } = slot.owner;
    const who = podName === undefined ? `container ${containerId}` : `pod ${podNamespace ?? '?'}/${podName}`;
    throw new IpamError('taken', `the requested address ${ip} is given to ${who}`);
  }
  const now = ipam.effects.now();
  if (slot?.state === 'kept' && isKept(slot, now)) {
    const { namespace, name } = slot.pod;
    throw new IpamError('taken', `the requested address ${ip} is kept for pod ${namespace}/${name}`);
  }
  if (slot?.state === 'kept' && isCooling(slot, now, range.cooldownMs)) {
    const wait = Math.ceil((slot.keptAt + range.cooldownMs - now) / 1000);
    throw new IpamError('taken', `the requested address ${ip} is cooling, free in ${wait} s`);
  }
  if (slot?.state === 'released' && isCooling(slot, now, range.cooldownMs)) {
    const wait = Math.ceil((slot.releasedAt + restMs(slot, range.cooldownMs) - now) / 1000);
    const why = slot.conflictMac === undefined ? 'cooling' : `set aside, for ${slot.conflictMac} uses it`;
    throw new IpamError('taken', `the requested address ${ip} is ${why}, free in ${wait} s`);
  }
}

const taken = (requested: Address, why: string): IpamError =>
  new IpamError('taken', `the requested address ${formatAddress(requested)} is ${why}`);

/**
 * Reads the block of the address, of which the node has nothing; undefined if nobody holds it.
 * @throws IpamError `taken` if the key of another block covers the address, or it cannot be read
 */
async function readUnheld(
  { store }: Ipam,
  range: Range,
  cidr: Cidr,
  requested: Address,
): Promise<{ readonly block: Block; readonly entry: Entry } | undefined> {
  const { blocks, covered } = await readOccupied(store, range);
  const other = covered.find((span) => spanContains(span, requested));
  if (other) {
    const why = `in a block that etcd key '${other.key}' touches, which names no block of its range`;
    throw taken(requested, why);
  }
  if (!blocks.has(formatCidr(cidr))) return undefined;
  const [entry] = await store.get([blockKey(range.name, cidr)]);
  if (!entry) return undefined;
  const read = readRecord(entry, decodeBlockOf(range));
  if ('value' in read) return { block: read.value, entry };
  throw taken(requested, `in a block that cannot be read: ${read.unreadable.reason}`);
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
