import { familyName, formatAddress, formatCidr, type Address, type Family } from './address.ts';
import {
  isOwnedBy,
  newBlock,
  nextCandidate,
  nextRestedMs,
  releaseSlot,
  takeSlot,
  usedSlots,
  type Attachment,
  type Block,
  type Owner,
  type UsedSlot,
} from './block.ts';
import { IpamError } from './errors.ts';
import { changeBlock, claimBlock, commitAll, readHoldings, type Change, type Holding } from './holdings.ts';
import { pickBlock, rangesOfFamily, usableBlockTotal, type Range } from './range.ts';
import { blocksOfRange, cidrTextOfBlockKey, decodeRange, RANGES } from './records.ts';
import { retryLostRaces, type Surroundings } from './retry.ts';
import { scanAll, type Entry, type Store } from './store.ts';

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
}

export interface Ipam {
  readonly store: Store;
  readonly around: Surroundings;
}

/**
 * Gives the attachment an address of each family. Asked again, it returns the same ones (rule 3).
 * Round trips: two to read the node's blocks, one to write; three more where a block is claimed.
 * @throws IpamError `exhausted` naming the ranges that are full, `not-found` for an unknown range name,
 *   `contention`, `store-…`; where `uncertain` is set, the addresses may have been given all the same
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
  const missing = request.families.filter((family) => !kept.some((each) => each.address.family === family));
  if (missing.length === 0) return kept;

  const steps: Step[] = [];
  for (const family of missing) {
    const vlan = vlanOf([...kept, ...steps.map((step) => step.allocation)]);
    const step =
      takeFromHoldings(ipam, request, family, holdings, vlan) ??
      (await takeFromNewBlock(ipam, request, family, holdings, vlan, attempt));
    if (!step) return undefined;
    steps.push(step);
  }
  const done = await commitAll(ipam.store, [{ guards, writes: [] }, ...steps.map((step) => step.change)]);
  return done ? [...kept, ...steps.map((step) => step.allocation)] : undefined;
}

/** One family's part of the transaction. */
interface Step {
  readonly allocation: Allocation;
  readonly change: Change;
}

/** The VLAN that the attachment's port is on already, wrapped: an untagged one is `{ vlan: undefined }`. */
type FixedVlan = { readonly vlan: number | undefined } | undefined;

function vlanOf(allocations: readonly Allocation[]): FixedVlan {
  const [first] = allocations;
  return first && { vlan: first.range.vlan };
}

function isEligible(range: Range, request: AllocationRequest, family: Family, fixed: FixedVlan): boolean {
  return (
    range.cidr.base.family === family &&
    range.state === 'active' &&
    (request.ranges === undefined || request.ranges.includes(range.name)) &&
    (fixed === undefined || fixed.vlan === range.vlan)
  );
}

/** The address whose turn it is among all blocks that the node holds. */
function takeFromHoldings(
  ipam: Ipam,
  request: AllocationRequest,
  family: Family,
  holdings: readonly Holding[],
  fixed: FixedVlan,
): Step | undefined {
  const now = ipam.around.now();
  let best: { holding: Holding; index: number; turn: number } | undefined;
  for (const holding of holdings) {
    if (!isEligible(holding.range, request, family, fixed)) continue;
    const candidate = nextCandidate(holding.block, now, holding.range.cooldownMs);
    if (candidate && (!best || candidate.turn < best.turn)) best = { holding, ...candidate };
  }
  if (!best) return undefined;
  const { holding } = best;
  const { block, slot } = takeSlot(holding.block, best.index, request.owner, now);
  return {
    allocation: allocationOf(holding.range, block, best.index, slot),
    change: changeBlock(holding, block),
  };
}

/** Claims a block and gives out its first address in the same transaction; undefined: others filled the range meanwhile. */
async function takeFromNewBlock(
  ipam: Ipam,
  request: AllocationRequest,
  family: Family,
  holdings: readonly Holding[],
  fixed: FixedVlan,
  attempt: number,
): Promise<Step | undefined> {
  const { store, around } = ipam;
  const known = await readRanges(store);
  checkRangeNames(
    request,
    known.map((each) => each.range),
  );
  const eligible = known.filter((each) => isEligible(each.range, request, family, fixed));
  const claimed = await store.count(eligible.map((each) => blocksOfRange(each.range.name)));
  const roomy = eligible.filter((each, i) => (claimed[i] ?? 0) < usableBlockTotal(each.range));
  // The first range with room; after lost races among ever more of them, so that a crowd spreads out.
  const spread = roomy.slice(0, 2 ** Math.min(attempt, 10));
  const chosen = spread[Math.floor(around.random() * spread.length)];
  if (!chosen)
    throw exhausted(
      ipam,
      request,
      family,
      known.map((each) => each.range),
      holdings,
      fixed,
    );
  const { range, entry } = chosen;
  const taken = new Set(
    (await scanAll(store, blocksOfRange(range.name), { keysOnly: true })).map((each) =>
      cidrTextOfBlockKey(each.key),
    ),
  );
  const cidr = pickBlock(range, taken, around.random());
  if (!cidr) return undefined;
  const now = around.now();
  const empty = newBlock(range, cidr, request.node, now);
  const candidate = nextCandidate(empty, now, range.cooldownMs);
  if (!candidate) throw new Error(`block ${formatCidr(cidr)} was chosen, but has no address`);
  const { block, slot } = takeSlot(empty, candidate.index, request.owner, now);
  return { allocation: allocationOf(range, block, candidate.index, slot), change: claimBlock(block, entry) };
}

function allocationOf(range: Range, block: Block, index: number, slot: UsedSlot): Allocation {
  return {
    address: { family: block.cidr.base.family, value: block.cidr.base.value + BigInt(index) },
    range,
    block: block.cidr,
    slot,
    fresh: true,
  };
}

/** Every range with what a guard compares, in the order in which they are used up: by name. */
export async function readRanges(store: Store): Promise<{ range: Range; entry: Entry }[]> {
  const entries = await scanAll(store, RANGES);
  return entries.map((entry) => ({ range: decodeRange(entry.key, entry.value), entry }));
}

function checkRangeNames(request: AllocationRequest, known: readonly Range[]): void {
  const unknown = (request.ranges ?? []).filter((name) => !known.some((range) => range.name === name));
  if (unknown.length > 0) {
    throw new IpamError(
      'not-found',
      `ipam.ranges names ${unknown.map((name) => `'${name}'`).join(', ')}, which etcd does not hold: it has ${known.map((range) => range.name).join(', ') || 'no range'}`,
    );
  }
}

function exhausted(
  ipam: Ipam,
  request: AllocationRequest,
  family: Family,
  known: readonly Range[],
  holdings: readonly Holding[],
  fixed: FixedVlan,
): IpamError {
  const name = familyName(family);
  if (known.length === 0) {
    return new IpamError('exhausted', `no ${name} address for the pod: etcd holds no range`, {
      remedy: 'Add a range: cnictl range add 10.20.0.0/22 --gateway 10.20.0.1',
    });
  }
  const reasons = rangesOfFamily(known, family).map((range) => {
    if (request.ranges !== undefined && !request.ranges.includes(range.name))
      return `${range.name} (not in ipam.ranges)`;
    if (range.state === 'draining') return `${range.name} (draining)`;
    if (!isEligible(range, request, family, fixed))
      return `${range.name} (VLAN ${range.vlan ?? 'untagged'} is not the attachment's)`;
    return `${range.name} ${formatCidr(range.cidr)} (full: every block is claimed)`;
  });
  const now = ipam.around.now();
  const waits = holdings.flatMap(({ block, range }) => {
    const wait = isEligible(range, request, family, fixed)
      ? nextRestedMs(block, now, range.cooldownMs)
      : undefined;
    return wait === undefined ? [] : [wait];
  });
  const rest =
    waits.length > 0
      ? `; node '${request.node}' has one cooling, free in ${Math.ceil(Math.min(...waits) / 1000)} s`
      : '';
  const which = reasons.length > 0 ? reasons.join(', ') : `there is no ${name} range`;
  return new IpamError('exhausted', `no ${name} address left for node '${request.node}': ${which}${rest}`);
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
