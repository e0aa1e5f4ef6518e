import { formatAddress, type Address, type Family } from './address.ts';
import {
  isOwnedBy,
  releaseSlot,
  usedSlots,
  type Attachment,
  type Block,
  type Owner,
  type UsedSlot,
} from './block.ts';
import { checkKept, choose, commonVlans, type FixedVlan, type Step } from './choose.ts';
import { IpamError } from './errors.ts';
import { changeBlock, commitAll, readHoldings, type Change, type Holding } from './holdings.ts';
import type { Range } from './range.ts';
import { readRanges } from './records.ts';
import { retryLostRaces, type Surroundings } from './retry.ts';
import type { Store } from './store.ts';

/** An address that an attachment has. */
export interface Allocation {
  readonly address: Address;
  readonly range: Range;
  readonly block: Block['cidr'];
  readonly slot: UsedSlot;
  /** Given by this very call, not kept from an earlier one: what an undo may take back. */
  readonly fresh: boolean;
}

export interface AllocationRequest {
  readonly node: string;
  readonly owner: Owner;
  /** One address of each: all or none (rule 2), all from ranges of one VLAN. */
  readonly families: readonly Family[];
  /** Names of the ranges to choose from; absent: all. */
  readonly ranges?: readonly string[];
  /** Addresses that it must be, at most one of each family. */
  readonly wished?: readonly WishedAddress[];
}

export interface WishedAddress extends Address {
  /** Where it is given, it must be the range's. */
  readonly prefixLength?: number;
}

export interface Ipam {
  readonly store: Store;
  readonly around: Surroundings;
}

/**
 * Gives the attachment an address of each family. Asked again, it returns the same ones (rule 3).
 * Round trips: two to read the node's blocks, one to write; three more where a block is claimed.
 * @throws IpamError `exhausted` naming the ranges that are full, `not-found` for an unknown range name,
 *   `conflict`, `not-found` or `taken` for a wished address, `contention`, `store-…`; where `uncertain` is set, the addresses may have been given all the same
 */
export function allocate(ipam: Ipam, request: AllocationRequest): Promise<Allocation[]> {
  const what = `allocating for ${request.owner.containerId}/${request.owner.ifname} on node '${request.node}'`;
  return retryLostRaces(what, ipam.around, (attempt) => attemptAllocation(ipam, request, attempt));
}

async function attemptAllocation(
  ipam: Ipam,
  request: AllocationRequest,
  attempt: number,
): Promise<Allocation[] | undefined> {
  const { holdings, guards } = await readHoldings(ipam.store, request.node);
  const kept = findAllocations(holdings, request.owner);
  checkKept(request, kept);
  const missing = request.families.filter((family) => !kept.some((each) => each.address.family === family));
  if (missing.length === 0) return kept;

  const chooseOn = async (fixed: FixedVlan): Promise<Step[] | undefined> => {
    const steps: Step[] = [];
    for (const family of missing) {
      const step = await choose({ ipam, request, family, holdings, fixed, attempt });
      if (!step) return undefined;
      steps.push(step);
    }
    return steps;
  };
  const steps = await firstWithRoom(await vlansFor(ipam, request, missing, kept), chooseOn);
  if (!steps) return undefined;
  const changes = steps.map((step) => step.change);
  const done = await commitAll(ipam.store, [{ guards, writes: [] }, ...changes]);
  return done ? [...kept, ...steps.map((step) => step.allocation)] : undefined;
}

/** The VLANs to try, in order: that of the addresses it has; else any, but for several families one that has all of them. */
async function vlansFor(
  ipam: Ipam,
  request: AllocationRequest,
  missing: readonly Family[],
  kept: readonly Allocation[],
): Promise<FixedVlan[]> {
  const [first] = kept;
  if (first) return [{ vlan: first.range.vlan }];
  if (missing.length === 1) return [undefined];
  const ranges = (await readRanges(ipam.store)).map(({ range }) => range);
  return commonVlans(request, missing, ranges);
}

/** @throws IpamError `exhausted` of the last VLAN when none has room */
async function firstWithRoom<T>(
  vlans: readonly FixedVlan[],
  attempt: (fixed: FixedVlan) => Promise<T>,
): Promise<T> {
  let last: unknown;
  for (const fixed of vlans) {
    try {
      return await attempt(fixed);
    } catch (error) {
      if (!(error instanceof IpamError) || error.code !== 'exhausted') throw error;
      last = error;
    }
  }
  throw last;
}

/** What the attachment has among the node's blocks. */
export function findAllocations(holdings: readonly Holding[], attachment: Attachment): Allocation[] {
  return holdings.flatMap(({ block, range }) =>
    usedSlots(block)
      .filter(({ slot }) => isOwnedBy(slot, attachment))
      .map(({ address, slot }) => ({ address, range, block: block.cidr, slot, fresh: false })),
  );
}

/** What the attachment has on the node; empty when nothing. */
export async function lookup(ipam: Ipam, node: string, attachment: Attachment): Promise<Allocation[]> {
  return findAllocations((await readHoldings(ipam.store, node)).holdings, attachment);
}

export interface ReleaseRequest {
  readonly node: string;
  readonly attachment: Attachment;
  /**
   * Only what was given at or before this time, in milliseconds since 1970: a release that was put off must not
   * take what the same attachment was given later. Absent: whatever it has.
   */
  readonly allocatedUntil?: number;
}

/**
 * Takes back what the attachment has on the node, all families in one transaction. Releasing what is gone succeeds.
 * @returns the addresses that were released, as text
 * @throws IpamError `contention`, `store-…`
 */
export function release(ipam: Ipam, request: ReleaseRequest): Promise<string[]> {
  const { attachment, allocatedUntil = Infinity } = request;
  const what = `releasing ${attachment.containerId}/${attachment.ifname} on node '${request.node}'`;
  return retryLostRaces(what, ipam.around, async () => {
    const { holdings } = await readHoldings(ipam.store, request.node);
    const now = ipam.around.now();
    const released: string[] = [];
    const changes: Change[] = [];
    for (const holding of holdings) {
      let { block } = holding;
      for (const { address, slot } of usedSlots(block)) {
        if (!isOwnedBy(slot, attachment) || slot.allocatedAt > allocatedUntil) continue;
        const result = releaseSlot(block, address, { ...attachment, sequence: slot.sequence }, now);
        if (result.outcome !== 'released') continue;
        block = result.block;
        released.push(formatAddress(address));
      }
      if (block !== holding.block) changes.push(changeBlock(holding, block));
    }
    if (changes.length === 0) return [];
    return (await commitAll(ipam.store, changes)) ? released : undefined;
  });
}
