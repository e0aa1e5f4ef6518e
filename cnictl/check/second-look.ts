import { parseAddress, type Address } from '../../ipam/address.ts';
import { type Ipam } from '../../ipam/allocator.ts';
import {
  claimsAddresses,
  isHolder,
  isSupersededBy,
  judge,
  ownerName,
  podNameOf,
  type AuditedAllocation,
  type AuditedPod,
  type Conflict,
  type Leak,
  type Missing,
  type PodIndex,
} from '../../ipam/audit.ts';
import { slotAddress, slotIndex, type Block } from '../../ipam/block.ts';
import type { Claim, Dispute, Suspicion } from '../../ipam/census.ts';
import { isMarked, type Mark } from '../../ipam/ledger.ts';
import { surveyRanges } from '../../ipam/survey.ts';
import type { KubeApi } from '../kube/api.ts';
import { nodeNames, type FirstLook, type NodeNames } from './first-look.ts';
import type { Findings } from './findings.ts';
import { lookUpPods } from './pods.ts';
import type { Looking } from './progress.ts';
import { pairsAgain, recordsAgain } from './records-again.ts';

/** What the first look suspects, as lists. */
interface Suspected {
  readonly suspicions: readonly Suspicion[];
  readonly claims: readonly Claim[];
  readonly disputes: readonly Dispute[];
}

/** How many things the first look suspects. */
export function countSuspected(first: FirstLook): { readonly leaks: number; readonly others: number } {
  const { census, index, records, stranded } = first;
  let leaks = 0;
  const suspicions = census.suspicions()[Symbol.iterator]();
  while (suspicions.next().done !== true) leaks += 1;
  const others =
    census.claims.length +
    census.disputes().length +
    index.suspected.length +
    records.length +
    stranded.length;
  return { leaks, others };
}

/** The findings of a look that suspects nothing. */
export const nothingFound = ({ census }: FirstLook): Findings => ({
  allocated: census.allocated,
  pods: census.pods,
  leaked: [],
  unknown: census.unknown,
  missing: [],
  conflicts: [],
  index: [],
  records: [],
  stranded: [],
});

/**
 * Looks again at what the first look suspects, and at nothing else: at the records first, and then at the pods (rule 6). What
 * is still as suspected was found by both observations; an allocation that changed hands between is not the same.
 * @throws IpamError, KubeError, the signal's reason
 */
export async function secondLook(
  ipam: Ipam,
  kube: KubeApi,
  first: FirstLook,
  looking: Looking,
): Promise<Findings> {
  const { census } = first;
  const suspected: Suspected = {
    suspicions: [...census.suspicions()],
    claims: census.claims,
    disputes: census.disputes(),
  };
  const held = await readSuspected(ipam, suspected, looking);
  const index = await pairsAgain(ipam.store, first.index.suspected);
  const records = await recordsAgain(ipam.store, first.records);
  const nodes = first.nodes && (await nodeNames(kube, census, { ...looking, warn: () => undefined }));
  const pods = await lookUpPods(kube, wantedPods(suspected, held), looking);
  return {
    allocated: census.allocated,
    pods: census.pods,
    leaked: suspected.suspicions.flatMap((each) => leakOf(each, held, pods, nodes)),
    unknown: census.unknown,
    missing: suspected.claims.flatMap((claim) => missingOf(claim, held, pods)),
    conflicts: suspected.disputes.flatMap((dispute) => conflictOf(dispute, held, pods)),
    index,
    records,
    stranded: nodes ? first.stranded.filter(({ node }) => !nodes.has(node)) : [],
  };
}

/** What etcd holds now of what is suspected. */
class Held {
  readonly #byMark = new Map<string, AuditedAllocation>();
  readonly #byIp = new Map<string, AuditedAllocation>();
  /** Blocks that could not be relied on: whatever is in them is in use. */
  readonly opaque = new Set<string>();

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

/** Of the blocks that are read again at once. */
const KEYS_AT_ONCE = 50;

async function readSuspected(ipam: Ipam, suspected: Suspected, looking: Looking): Promise<Held> {
  const survey = await surveyRanges(ipam.store);
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
  const held = new Held();
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
    return { address, node: block.node, range: block.range, blockKey: key, slot };
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

function wantedPods(suspected: Suspected, held: Held): { names: Set<string>; uids: Set<string> } {
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
  for (const { pod } of suspected.claims) names.add(podNameOf(pod));
  for (const { holder, pods } of suspected.disputes) {
    if (holder) want(held.get(holder));
    for (const pod of pods) names.add(podNameOf(pod));
  }
  return { names, uids };
}

function leakOf(suspicion: Suspicion, held: Held, pods: PodIndex, nodes: NodeNames): Leak[] {
  const allocation = held.get(suspicion.mark);
  if (!allocation) return [];
  const verdict = judge(allocation, pods);
  if (verdict.kind === 'leaked') {
    const isNodeGone = verdict.reason === 'pod-gone' && nodes?.has(allocation.node) === false;
    return [{ allocation, reason: isNodeGone ? 'node-gone' : verdict.reason }];
  }
  const supersededBy = suspicion.supersededBy && held.get(suspicion.supersededBy);
  if (verdict.kind !== 'in-use' || !supersededBy) return [];
  return isSupersededBy(allocation, supersededBy, verdict.pod)
    ? [{ allocation, reason: 'superseded', supersededBy }]
    : [];
}

function missingOf({ ip, pod, blockKey }: Claim, held: Held, pods: PodIndex): Missing[] {
  const now = claimant(pod, ip, pods);
  if (!now || held.opaque.has(blockKey)) return [];
  const heldBy = held.at(ip);
  if (!heldBy) return [{ ip, pod: now }];
  return isHolder(heldBy, now) ? [] : [{ ip, pod: now, heldBy }];
}

/** The pod as it is now, if it still says that it has the address. */
function claimant(pod: AuditedPod, ip: string, pods: PodIndex): AuditedPod | undefined {
  const now = pods.byUid.get(pod.uid);
  return now && claimsAddresses(now) && now.podIPs.includes(ip) ? now : undefined;
}

function conflictOf({ ip, pods: disputing, holder }: Dispute, held: Held, pods: PodIndex): Conflict[] {
  const allocation = holder && held.get(holder);
  const verdict = allocation && judge(allocation, pods);
  const owner = verdict?.kind === 'in-use' ? verdict.pod : undefined;
  const all = [...(owner ? [owner] : []), ...disputing].flatMap((pod) => claimant(pod, ip, pods) ?? []);
  return all.length > 1 ? [{ ip, pods: all }] : [];
}
