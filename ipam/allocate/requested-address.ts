import { cidrContains, formatAddress, formatCidr, sameAddress, type Address } from '../model/address.ts';
import { isCooling, restMs, slotIndex, type Block } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import { blockAt, isReserved } from '../model/range.ts';
import { blankBlock } from '../node/blank-block.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockKey } from '../records/keys.ts';
import { readRanges, type RangeEntry } from '../store/ranges.ts';
import type { Allocation, AllocationRequest, RequestedAddress } from './allocation.ts';
import { isEligible, vlanText } from './eligible.ts';
import { assign, type PickContext, type Assignment } from './pick-context.ts';

/** Picks exactly this address, from a block that the node holds or from an unclaimed one. */
export async function pickRequested(context: PickContext, requested: RequestedAddress): Promise<Assignment> {
  const { ipam, request } = context;
  const known = await readRanges(ipam.store);
  const found = known.find(({ range }) => cidrContains(range.cidr, requested));
  const { range, entry } = checkRequested(context, requested, known, found);
  if (await ipam.local.isUsedByOther(requested, request.owner)) {
    const ip = formatAddress(requested);
    throw new IpamError('taken', `the requested address ${ip} is in use by another pod of this node`);
  }
  const held = context.blocks.find(({ block }) => cidrContains(block.cidr, requested));
  if (held) {
    checkFree(context, requested, held);
    return assign(context, held, slotIndex(held.block, requested));
  }
  const cidr = blockAt(range, requested);
  const [other] = await ipam.store.get([blockKey(range.name, cidr)]);
  if (other) throw heldElsewhere(requested, decodeBlock(other.key, other.value));
  const empty = await blankBlock(ipam, range, cidr, request.node);
  return assign(context, { range, block: empty }, slotIndex(empty, requested), entry);
}

/** @throws IpamError `not-found`, `conflict` with the reason why the address cannot be assigned */
function checkRequested(
  context: PickContext,
  requested: RequestedAddress,
  known: readonly RangeEntry[],
  found: RangeEntry | undefined,
): RangeEntry {
  const ip = formatAddress(requested);
  if (!found) {
    const ranges = known.map(({ range }) => formatCidr(range.cidr)).join(', ') || 'none yet';
    throw new IpamError('not-found', `the requested address ${ip} is in no range: the ranges are ${ranges}`);
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
      `the requested address ${ip} is of range '${range.name}' (${vlanText(range)}, ${range.state}), which this attachment cannot use`,
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
  if (slot?.state === 'released' && isCooling(slot, now, range.cooldownMs)) {
    const wait = Math.ceil((slot.releasedAt + restMs(slot, range.cooldownMs) - now) / 1000);
    const why = slot.conflictMac === undefined ? 'cooling' : `set aside, for ${slot.conflictMac} uses it`;
    throw new IpamError('taken', `the requested address ${ip} is ${why}, free in ${wait} s`);
  }
}

function heldElsewhere(requested: Address, block: Block): IpamError {
  return new IpamError(
    'taken',
    `the requested address ${formatAddress(requested)} is in block ${formatCidr(block.cidr)}, which node '${block.node}' holds`,
  );
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
