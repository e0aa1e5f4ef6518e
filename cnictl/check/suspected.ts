import { parsePodIp, RangeFinder } from '../../ipam/audit/address-key.ts';
import { isMarked, type Mark } from '../../ipam/audit/allocation-table.ts';
import { ownerName, podNameOf, type AuditedAllocation } from '../../ipam/audit/judge.ts';
import type { Claim, Dispute, Stray, Suspicion } from '../../ipam/audit/pod-audit.ts';
import { auditRanges } from '../../ipam/audit/record-audit.ts';
import { parseAddress, type Address } from '../../ipam/model/address.ts';
import { nodeOf, slotAddress, slotIndex, type Block } from '../../ipam/model/block.ts';
import type { Range } from '../../ipam/model/range.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { WantedPods } from './pods.ts';
import type { Looking } from './progress.ts';

/** The first look's suspicions, as lists. */
export interface Suspected {
  readonly suspicions: readonly Suspicion[];
  readonly claims: readonly Claim[];
  readonly strays: readonly Stray[];
  readonly disputes: readonly Dispute[];
}

/** What etcd now holds of the suspected allocations. */
export class Held {
  readonly #byMark = new Map<string, AuditedAllocation>();
  readonly #byIp = new Map<string, AuditedAllocation>();
  /** Unreliable blocks. Every address in them counts as in use. */
  readonly opaque = new Set<string>();
  readonly #ranges: RangeFinder;

  constructor(ranges: readonly Range[]) {
    this.#ranges = new RangeFinder(ranges);
  }

  isInRange(ip: string): boolean {
    return this.#ranges.find(parsePodIp(ip)) !== undefined;
  }

  keep(mark: Mark, allocation: AuditedAllocation): void {
    this.#byMark.set(textOf(mark), allocation);
  }

  keepAt(ip: string, allocation: AuditedAllocation): void {
    this.#byIp.set(ip, allocation);
  }

  get(mark: Mark): AuditedAllocation | undefined {
    return this.#byMark.get(textOf(mark));
  }

  at(ip: string): AuditedAllocation | undefined {
    return this.#byIp.get(ip);
  }
}

const textOf = ({ blockKey, index }: Mark): string => `${blockKey}#${index}`;

/** Number of blocks read in one request. */
const KEYS_AT_ONCE = 50;

/**
 * Reads the blocks of the suspicions again, a few at a time.
 * @throws IpamError `store-…`, the signal's reason
 */
export async function readSuspected(ipam: Ipam, suspected: Suspected, looking: Looking): Promise<Held> {
  const survey = await auditRanges(ipam.store);
  const marks = new Map<string, Mark[]>();
  const ips = new Map<string, string[]>();
  const mark = (each: Mark): void => append(marks, each.blockKey, each);
  for (const suspicion of suspected.suspicions) {
    mark(suspicion.mark);
    if (suspicion.supersededBy) mark(suspicion.supersededBy);
  }
  for (const { holder } of suspected.disputes) if (holder) mark(holder);
  for (const { blockKey, ip } of suspected.claims) append(ips, blockKey, ip);
  const keys = [...new Set([...marks.keys(), ...ips.keys()])];
  const held = new Held(survey.ranges);
  for (let i = 0; i < keys.length; i += KEYS_AT_ONCE) {
    looking.signal?.throwIfAborted();
    const some = keys.slice(i, i + KEYS_AT_ONCE);
    const entries = await ipam.store.get(some);
    for (const [n, key] of some.entries()) {
      const entry = entries[n];
      if (!entry) continue;
      const { block, finding } = survey.inspect(entry);
      if (!block || finding) held.opaque.add(key);
      else keepFrom(key, block, marks.get(key) ?? [], ips.get(key) ?? [], held);
    }
    looking.progress('suspected blocks again', Math.min(i + KEYS_AT_ONCE, keys.length), keys.length);
  }
  return held;
}

function append<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

function keepFrom(
  key: string,
  block: Block,
  marks: readonly Mark[],
  ips: readonly string[],
  held: Held,
): void {
  const allocationAt = (address: Address, index: number): AuditedAllocation | undefined => {
    const slot = block.slots[index];
    if (slot?.state !== 'used') return undefined;
    return { address, node: nodeOf(block, slot), range: block.range, blockKey: key, slot };
  };
  for (const mark of marks) {
    const allocation = isMarked(mark, block) && allocationAt(slotAddress(block, mark.index), mark.index);
    if (allocation) held.keep(mark, allocation);
  }
  for (const ip of ips) {
    const address = parseAddress(ip);
    const allocation = allocationAt(address, slotIndex(block, address));
    if (allocation) held.keepAt(ip, allocation);
  }
}

/** Returns the pods that decide the suspicions. */
export function wantedPods(suspected: Suspected, held: Held): WantedPods {
  const names = new Set<string>();
  const uids = new Set<string>();
  const want = (allocation: AuditedAllocation | undefined): void => {
    if (!allocation) return;
    const name = ownerName(allocation);
    const { podUid } = allocation.slot.owner;
    if (name !== undefined) names.add(name);
    else if (podUid !== undefined) uids.add(podUid);
  };
  for (const { mark } of suspected.suspicions) want(held.get(mark));
  for (const { pod } of [...suspected.claims, ...suspected.strays]) names.add(podNameOf(pod));
  for (const { holder, pods } of suspected.disputes) {
    if (holder) want(held.get(holder));
    for (const pod of pods) names.add(podNameOf(pod));
  }
  return { names, uids };
}
