import { formatAddress, type Address, type Cidr, type Family } from './address.ts';
import { isOwnedBy, releaseSlot, usedSlots, type Attachment, type Owner, type UsedSlot } from './block.ts';
import { checkKept, choose, commonVlans, type FixedVlan, type Step } from './choose.ts';
import { IpamError } from './errors.ts';
import { readHoldings, type Draft, type HeldBlock } from './holdings.ts';
import { drainingError } from './node-drain.ts';
import { submit, type HoldingsCache, type Order, type OrderQueue } from './orders.ts';
import type { ReleaseCause } from './lifetime.ts';
import { recordLifetime } from './lifetime-record.ts';
import type { Range } from './range.ts';
import { readRanges } from './records.ts';
import type { Surroundings } from './retry.ts';
import type { Store } from './store.ts';
import type { Witness } from './witness.ts';

/** An address that an attachment has. */
export interface Allocation {
  readonly address: Address;
  readonly range: Range;
  readonly block: Cidr;
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
  /** In a process that lives on: what it knows already. */
  readonly cache?: HoldingsCache;
  /** In a process that serves several callers at once. */
  readonly queue?: OrderQueue;
  /** In a process that keeps a stock: told after each allocation. */
  readonly allocated?: (request: AllocationRequest) => void;
  /** In a process that keeps metrics. */
  readonly witness?: Witness;
}

/**
 * Gives the attachment an address of each family. Asked again, it returns the same ones (rule 3).
 * Round trips: two to read the node's blocks, one to write; three more where a block is claimed. With a cache: one.
 * @param chosen told what is about to be written, so that a caller can prepare for it: it may come otherwise, or not at all
 * @param held told at each attempt which blocks the node holds, as they are known: perhaps of a cache
 * @throws IpamError `exhausted` naming the ranges that are full, `not-found` for an unknown range name,
 *   `conflict`, `not-found` or `taken` for a wished address, `contention`, `store-…`; where `uncertain` is set, the addresses may have been given all the same
 */
export function allocate(
  ipam: Ipam,
  request: AllocationRequest,
  chosen?: (allocations: Allocation[]) => void,
  held?: (blocks: readonly HeldBlock[]) => void,
): Promise<Allocation[]> {
  const change: Order<Allocation[]>['change'] = async (draft, lost) => {
    held?.(draft.blocks);
    const kept = findAllocations(draft.blocks, request.owner);
    // What a cache says of the attachment may be long gone.
    if (draft.cached && kept.length > 0) return undefined;
    checkKept(request, kept);
    const missing = request.families.filter((family) => !kept.some((each) => each.address.family === family));
    if (missing.length === 0) return kept;
    if (draft.draining) {
      // As far as a cache knows.
      if (draft.cached) return undefined;
      throw drainingError(request.node);
    }
    try {
      const steps = await chooseAll(ipam, request, missing, kept, draft, lost);
      if (!steps) return undefined;
      for (const { block, claim } of steps) draft.put(block, claim);
      return [...kept, ...steps.map((step) => step.allocation)];
    } catch (error) {
      // Full, or taken: as far as a cache knows.
      if (draft.cached && error instanceof IpamError && ['exhausted', 'taken'].includes(error.code))
        return undefined;
      throw error;
    }
  };
  const allocating = submit(ipam, request.node, { change, ...(chosen && { chosen }) });
  if (ipam.allocated)
    void allocating.then(
      () => ipam.allocated?.(request),
      () => undefined,
    );
  return allocating;
}

/** One step for each of the families, all on one VLAN; undefined: others were faster. */
async function chooseAll(
  ipam: Ipam,
  request: AllocationRequest,
  families: readonly Family[],
  kept: readonly Allocation[],
  { blocks, claims }: Pick<Draft, 'blocks' | 'claims'>,
  attempt: number,
): Promise<Step[] | undefined> {
  return await firstWithRoom(await vlansFor(ipam, request, families, kept), async (fixed) => {
    const steps: Step[] = [];
    for (const family of families) {
      const step = await choose({ ipam, request, family, blocks, claims, fixed, attempt });
      if (!step) return undefined;
      steps.push(step);
    }
    return steps;
  });
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
export function findAllocations(blocks: readonly HeldBlock[], attachment: Attachment): Allocation[] {
  return blocks.flatMap(({ block, range }) =>
    usedSlots(block, (slot) => isOwnedBy(slot, attachment)).map(({ address, slot }) => ({
      address,
      range,
      block: block.cidr,
      slot,
      fresh: false,
    })),
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
  /** For the history. */
  readonly cause: ReleaseCause;
}

/**
 * Takes back what the attachment has on the node, all families in one transaction. Releasing what is gone succeeds.
 * @returns the addresses that were released, as text
 * @throws IpamError `contention`, `store-…`
 */
export function release(ipam: Ipam, request: ReleaseRequest): Promise<string[]> {
  const { attachment, allocatedUntil = Infinity, cause } = request;
  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is the order's failure
  const change: Order<string[]>['change'] = async (draft) => {
    const now = ipam.around.now();
    const released: string[] = [];
    for (const { block, range } of draft.blocks) {
      let left = block;
      const isMeant = (slot: UsedSlot): boolean =>
        isOwnedBy(slot, attachment) && slot.allocatedAt <= allocatedUntil;
      for (const { address, slot } of usedSlots(block, isMeant)) {
        const result = releaseSlot(left, address, { ...attachment, sequence: slot.sequence }, now, cause);
        if (result.outcome !== 'released') continue;
        left = result.block;
        draft.tell(recordLifetime(range, left, result.lifetime));
        released.push(formatAddress(address));
      }
      if (left !== block) draft.put(left);
    }
    if (released.length > 0) return released;
    // Of nothing only what is read anew, and whole, is proof.
    if (draft.cached) return undefined;
    draft.checkWhole();
    return released;
  };
  return submit(ipam, request.node, { change });
}
