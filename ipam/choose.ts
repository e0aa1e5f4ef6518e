import {
  cidrContains,
  familyName,
  formatAddress,
  formatCidr,
  sameAddress,
  type Address,
  type Cidr,
  type Family,
} from './address.ts';
import type { Allocation, AllocationRequest, Ipam, WishedAddress } from './allocator.ts';
import {
  isCooling,
  newBlock,
  nextCandidate,
  nextRestedMs,
  restMs,
  slotIndex,
  takeSlot,
  type Block,
} from './block.ts';
import { IpamError } from './errors.ts';
import type { Claim, HeldBlock } from './holdings.ts';
import { firstSequence, historyOfBlock } from './lifetime-record.ts';
import { blockAt, isReserved, pickBlock, rangesOfFamily, usableBlockTotal, type Range } from './range.ts';
import {
  blockKey,
  blocksOfRange,
  cidrTextOfBlockKey,
  decodeBlock,
  readRanges,
  type RangeEntry,
} from './records.ts';
import { scanAll, type Entry } from './store.ts';

/** The VLAN that the attachment's port is to be on, wrapped: an untagged one is `{ vlan: undefined }`. */
export type FixedVlan = { readonly vlan: number | undefined } | undefined;

/** What is looked for: an address of one family, as part of an allocation. */
export interface Quest {
  readonly ipam: Ipam;
  readonly request: AllocationRequest;
  readonly family: Family;
  readonly blocks: readonly HeldBlock[];
  /** Those of them that the same transaction claims: the store has none of them yet. */
  readonly claims: readonly HeldBlock[];
  readonly fixed: FixedVlan;
  /** How many attempts were lost to other writers. */
  readonly attempt: number;
}

/** What a request draws from. */
export type Demand = Pick<AllocationRequest, 'node' | 'ranges'>;

/** One family's part of the transaction. */
export interface Step {
  readonly allocation: Allocation;
  /** The block as it is then. */
  readonly block: Block;
  /** Where the block is a new one. */
  readonly claim?: Claim;
}

/**
 * Chooses an address: the wished one, else one of the blocks that the node holds, else the first of a new block.
 * @returns undefined where others were faster: everything is to be read anew
 * @throws IpamError `exhausted`, `not-found`, `conflict`, `taken`
 */
export async function choose(quest: Quest): Promise<Step | undefined> {
  const wished = quest.request.wished?.find((address) => address.family === quest.family);
  if (wished) return await takeWished(quest, wished);
  return takeFromHoldings(quest) ?? (await takeFromNewBlock(quest));
}

/** Whether new addresses of the family may come from the range. */
export function isEligible(
  range: Range,
  {
    request,
    family,
    fixed,
  }: Pick<Quest, 'family' | 'fixed'> & { readonly request: Pick<AllocationRequest, 'ranges'> },
): boolean {
  return (
    range.cidr.base.family === family &&
    range.state === 'active' &&
    (request.ranges === undefined || request.ranges.includes(range.name)) &&
    (fixed === undefined || fixed.vlan === range.vlan)
  );
}

/**
 * The VLANs on which every one of the families has a range to choose from, in the order in which ranges are used up.
 * @throws IpamError `exhausted` where there is none
 */
export function commonVlans(
  request: Pick<AllocationRequest, 'ranges' | 'wished'>,
  families: readonly Family[],
  ranges: readonly Range[],
): NonNullable<FixedVlan>[] {
  const vlans = [...new Set(ranges.map((range) => range.vlan))].map((vlan) => ({ vlan }));
  const common = vlans.filter((fixed) =>
    families.every((family) => ranges.some((range) => isEligible(range, { request, family, fixed }))),
  );
  // A wished address decides the VLAN; one in no range is refused, with its reason, when it is to be taken.
  const decided = common.filter(({ vlan }) =>
    (request.wished ?? []).every((wished) =>
      ranges.some((range) => range.vlan === vlan && cidrContains(range.cidr, wished)),
    ),
  );
  if (decided.length > 0) return decided;
  if (common.length > 0) return common;
  const known = ranges.map((range) => {
    const listed = request.ranges?.includes(range.name) ?? true;
    const about = [familyName(range.cidr.base.family), vlanText(range), range.state];
    return `${range.name} (${[...about, ...(listed ? [] : ['not in ipam.ranges'])].join(', ')})`;
  });
  throw new IpamError(
    'exhausted',
    `no VLAN has an active range of ${families.map(familyName).join(' and of ')} for this network: ${known.join(', ') || 'etcd holds no range'}`,
  );
}

const vlanText = (range: Range): string => (range.vlan === undefined ? 'untagged' : `VLAN ${range.vlan}`);

/** The address whose turn it is among all blocks that the node holds. */
function takeFromHoldings(quest: Quest): Step | undefined {
  const now = quest.ipam.around.now();
  let best: { held: HeldBlock; index: number; turn: number } | undefined;
  for (const held of quest.blocks) {
    if (!isEligible(held.range, quest)) continue;
    const candidate = nextCandidate(held.block, now, held.range.cooldownMs);
    if (candidate && (!best || candidate.turn < best.turn)) best = { held, ...candidate };
  }
  return best && take(quest, best.held, best.index);
}

/** Claims a block and gives out its first address in the same transaction; undefined: others filled the range meanwhile. */
async function takeFromNewBlock(quest: Quest): Promise<Step | undefined> {
  const claim = await claimBlock(quest);
  if (!claim) return undefined;
  const candidate = nextCandidate(claim.block, quest.ipam.around.now(), claim.range.cooldownMs);
  if (!candidate) throw new Error(`block ${formatCidr(claim.block.cidr)} was chosen, but has no address`);
  return take(quest, claim, candidate.index, claim.rangeEntry);
}

/**
 * A block that nobody has claimed, of the first range with room.
 * @returns undefined where others filled the range meanwhile
 * @throws IpamError `exhausted`, `not-found` for an unknown range name
 */
export async function claimBlock(
  quest: Omit<Quest, 'request'> & { readonly request: Demand },
): Promise<Claim | undefined> {
  const { store, around } = quest.ipam;
  const known = await readRanges(store);
  checkRangeNames(quest.request, known);
  const eligible = known.filter((each) => isEligible(each.range, quest));
  const claimed = await store.count(eligible.map((each) => blocksOfRange(each.range.name)));
  const claimsOf = (name: string): HeldBlock[] => quest.claims.filter(({ range }) => range.name === name);
  const roomy = eligible.filter(
    ({ range }, i) => (claimed[i] ?? 0) + claimsOf(range.name).length < usableBlockTotal(range),
  );
  // The first range with room; after lost races among ever more of them, so that a crowd spreads out.
  const spread = roomy.slice(0, 2 ** Math.min(quest.attempt, 10));
  const chosen = spread[Math.floor(around.random() * spread.length)];
  if (!chosen) throw exhausted(quest, known);
  const { range } = chosen;
  const keys = await scanAll(store, blocksOfRange(range.name), { keysOnly: true });
  const taken = new Set([
    ...keys.map((entry) => cidrTextOfBlockKey(entry.key)),
    ...claimsOf(range.name).map(({ block }) => formatCidr(block.cidr)),
  ]);
  const cidr = pickBlock(range, taken, around.random());
  if (!cidr) return undefined;
  const block = await blankBlock(quest.ipam, range, cidr, quest.request.node);
  return { range, block, rangeEntry: chosen.entry };
}

/** A block without an owner until now; its history goes on where that of its former holders ended. */
async function blankBlock(ipam: Ipam, range: Range, cidr: Cidr, node: string): Promise<Block> {
  const history = await scanAll(ipam.store, historyOfBlock(range, cidr), { keysOnly: true });
  return newBlock(range, cidr, node, ipam.around.now(), firstSequence(range, history));
}

/** Just this address: from a block that the node holds, or from one that nobody has claimed. */
async function takeWished(quest: Quest, wished: WishedAddress): Promise<Step> {
  const { ipam, request } = quest;
  const known = await readRanges(ipam.store);
  const found = known.find(({ range }) => cidrContains(range.cidr, wished));
  const { range, entry } = checkWished(quest, wished, known, found);
  const held = quest.blocks.find(({ block }) => cidrContains(block.cidr, wished));
  if (held) {
    checkFree(quest, wished, held);
    return take(quest, held, slotIndex(held.block, wished));
  }
  const cidr = blockAt(range, wished);
  const [other] = await ipam.store.get([blockKey(range.name, cidr)]);
  if (other) throw heldElsewhere(wished, decodeBlock(other.key, other.value));
  const empty = await blankBlock(ipam, range, cidr, request.node);
  return take(quest, { range, block: empty }, slotIndex(empty, wished), entry);
}

/** @throws IpamError `not-found`, `conflict` saying why the address cannot be given */
function checkWished(
  quest: Quest,
  wished: WishedAddress,
  known: readonly RangeEntry[],
  found: RangeEntry | undefined,
): RangeEntry {
  const ip = formatAddress(wished);
  if (!found) {
    const ranges = known.map(({ range }) => formatCidr(range.cidr)).join(', ') || 'none yet';
    throw new IpamError('not-found', `the wished address ${ip} is in no range: the ranges are ${ranges}`);
  }
  const { range } = found;
  const { prefixLength = range.cidr.prefixLength } = wished;
  if (prefixLength !== range.cidr.prefixLength) {
    throw new IpamError(
      'conflict',
      `the wished address ${ip}/${prefixLength} is of range '${range.name}': expected /${range.cidr.prefixLength}, or none`,
    );
  }
  if (isReserved(range, wished)) {
    throw new IpamError(
      'conflict',
      `the wished address ${ip} is reserved in range '${range.name}' (network, broadcast, gateway or excluded)`,
    );
  }
  if (!isEligible(range, quest)) {
    throw new IpamError(
      'conflict',
      `the wished address ${ip} is of range '${range.name}' (${vlanText(range)}, ${range.state}), which this attachment cannot use`,
    );
  }
  return found;
}

/** @throws IpamError `taken` */
function checkFree({ ipam }: Quest, wished: Address, { block, range }: HeldBlock): void {
  const slot = block.slots[slotIndex(block, wished)];
  const ip = formatAddress(wished);
  if (slot?.state === 'used') {
    const { podNamespace, podName, containerId } = slot.owner;
    const who = podName === undefined ? `container ${containerId}` : `pod ${podNamespace ?? '?'}/${podName}`;
    throw new IpamError('taken', `the wished address ${ip} is given to ${who}`);
  }
  const now = ipam.around.now();
  if (slot?.state === 'released' && isCooling(slot, now, range.cooldownMs)) {
    const wait = Math.ceil((slot.releasedAt + restMs(slot, range.cooldownMs) - now) / 1000);
    const why = slot.conflictMac === undefined ? 'cooling' : `set aside, for ${slot.conflictMac} uses it`;
    throw new IpamError('taken', `the wished address ${ip} is ${why}, free in ${wait} s`);
  }
}

function heldElsewhere(wished: Address, block: Block): IpamError {
  return new IpamError(
    'taken',
    `the wished address ${formatAddress(wished)} is in block ${formatCidr(block.cidr)}, which node '${block.node}' holds`,
  );
}

/** @param rangeEntry where the block is a new one */
function take(quest: Quest, held: HeldBlock, index: number, rangeEntry?: Entry): Step {
  const { range } = held;
  const { block, slot } = takeSlot(held.block, index, quest.request.owner, quest.ipam.around.now());
  const address = { family: quest.family, value: block.cidr.base.value + BigInt(index) };
  const allocation = { address, range, block: block.cidr, slot, fresh: true };
  return { allocation, block, ...(rangeEntry && { claim: { block, range, rangeEntry } }) };
}

function checkRangeNames(request: Demand, known: readonly RangeEntry[]): void {
  const names = known.map(({ range }) => range.name);
  const unknown = (request.ranges ?? []).filter((name) => !names.includes(name));
  if (unknown.length === 0) return;
  const which = unknown.map((name) => `'${name}'`).join(', ');
  throw new IpamError(
    'not-found',
    `ipam.ranges names ${which}, which etcd does not hold: it has ${names.join(', ') || 'no range'}`,
  );
}

function exhausted(
  quest: Omit<Quest, 'request'> & { readonly request: Demand },
  known: readonly RangeEntry[],
): IpamError {
  const { ipam, request, family, blocks } = quest;
  const name = familyName(family);
  if (known.length === 0) {
    return new IpamError('exhausted', `no ${name} address for the pod: etcd holds no range`, {
      remedy: 'Add a range: cnictl range add 10.20.0.0/22 --gateway 10.20.0.1',
    });
  }
  const ranges = rangesOfFamily(
    known.map(({ range }) => range),
    family,
  );
  const reasons = ranges.map((range) => whyNot(range, quest));
  const now = ipam.around.now();
  const waits = blocks.flatMap(({ block, range }) => {
    const wait = isEligible(range, quest) ? nextRestedMs(block, now, range.cooldownMs) : undefined;
    return wait === undefined ? [] : [wait];
  });
  const seconds = Math.ceil(Math.min(...waits) / 1000);
  const rest = waits.length > 0 ? `; node '${request.node}' has one cooling, free in ${seconds} s` : '';
  const which = reasons.length > 0 ? reasons.join(', ') : `there is no ${name} range`;
  return new IpamError('exhausted', `no ${name} address left for node '${request.node}': ${which}${rest}`);
}

function whyNot(range: Range, quest: Pick<Quest, 'family' | 'fixed'> & { readonly request: Demand }): string {
  const { request } = quest;
  if (request.ranges !== undefined && !request.ranges.includes(range.name))
    return `${range.name} (not in ipam.ranges)`;
  if (range.state === 'draining') return `${range.name} (draining)`;
  if (!isEligible(range, quest))
    return `${range.name} (VLAN ${range.vlan ?? 'untagged'} is not the attachment's)`;
  return `${range.name} ${formatCidr(range.cidr)} (full: every block is claimed)`;
}

/** What the attachment has beside its wish: an address that it keeps, but did not wish for. @throws IpamError `conflict` */
export function checkKept(request: AllocationRequest, kept: readonly Allocation[]): void {
  for (const wished of request.wished ?? []) {
    const has = kept.find((each) => each.address.family === wished.family);
    if (has && !sameAddress(has.address, wished)) {
      throw new IpamError(
        'conflict',
        `the attachment has ${formatAddress(has.address)} already: it cannot get the wished address ${formatAddress(wished)} too`,
      );
    }
  }
}
