import type { KubeApi } from '../../cni/kube/api.ts';
import {
  isSupersededBy,
  judge,
  ownerName,
  type AuditedAllocation,
  type LeakReason,
  type PodIndex,
} from '../../ipam/audit/judge.ts';
import type { Address } from '../../ipam/model/address.ts';
import { isExpected, nodeOf, slotIndex, type Block, type Expected } from '../../ipam/model/block.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { ReadBlock } from '../../ipam/node/node-blocks.ts';
import { decodeBlock, decodeBlockOf } from '../../ipam/records/block-record.ts';
import { blockKey, rangeKey } from '../../ipam/records/keys.ts';
import { decodeRange } from '../../ipam/records/range-record.ts';
import { readRecord, valuesOf, type UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { pardonInBlock } from '../../ipam/release/condemn.ts';
import { retryLostRaces } from '../../ipam/store/retry.ts';
import { endLeaks, type EndingMeans } from './end-leaks.ts';
import type { FreeOutcome } from './free.ts';
import { lookUpPods } from './pods.ts';
import type { Looking } from './progress.ts';
import { sideBySide } from './side-by-side.ts';

/** An allocation that two observations find leaked, or that a report names. */
export interface ProvenLeak {
  readonly address: Address;
  readonly range: string;
  readonly blockKey: string;
  readonly expected: Expected;
  /** The newer sandbox's allocation, when the reason is `superseded`. */
  readonly supersededBy?: {
    readonly address: Address;
    readonly blockKey: string;
    readonly expected: Expected;
  };
  /** The reason that was found. It is reported when the last look finds no better one. */
  readonly reason: LeakReason;
}

/**
 * Receives each outcome.
 * @param allocation as etcd had it at the last look; undefined when it no longer existed
 */
export type OnOutcome = (
  leak: ProvenLeak,
  outcome: FreeOutcome,
  allocation: AuditedAllocation | undefined,
) => void;

export interface ReleaseLeaksOptions extends Omit<EndingMeans, 'ipam'> {
  readonly looking: Looking;
  readonly onOutcome: OnOutcome;
}

/** Number of blocks read and written concurrently. */
const BLOCKS_AT_ONCE = 4;

/**
 * Releases leaks block by block. For each block, this function reads it, asks for the pods of its
 * leaks only (rule 6: the last look), and ends those that are still leaked in one transaction
 * guarded by the block as read (rule 5). A sentence on an allocation whose pod lives is taken off.
 * When the block changes in between, the function looks again at the block and its pods.
 * @throws IpamError, KubeError; exactly the outcomes reported by then are done
 */
export async function releaseLeaks(
  ipam: Ipam,
  kube: KubeApi,
  leaks: readonly ProvenLeak[],
  how: ReleaseLeaksOptions,
): Promise<void> {
  const { looking, onOutcome } = how;
  const byBlock = new Map<string, ProvenLeak[]>();
  for (const each of leaks) byBlock.set(each.blockKey, [...(byBlock.get(each.blockKey) ?? []), each]);
  let done = 0;
  await sideBySide([...byBlock.values()], BLOCKS_AT_ONCE, async (ofBlock) => {
    if (looking.signal?.aborted) return;
    const judged = await releaseOfBlock(ipam, kube, ofBlock, how);
    for (const { each, outcome, allocation } of judged) onOutcome(each, outcome, allocation);
    done += ofBlock.length;
    looking.progress('released', done, leaks.length);
  });
}

interface Judged {
  readonly each: ProvenLeak;
  readonly outcome: FreeOutcome;
  readonly allocation?: AuditedAllocation;
}

async function releaseOfBlock(
  ipam: Ipam,
  kube: KubeApi,
  leaks: readonly ProvenLeak[],
  { looking, ...means }: ReleaseLeaksOptions,
): Promise<Judged[]> {
  const [first] = leaks;
  if (!first) return [];
  return await retryLostRaces(`releasing addresses of '${first.blockKey}'`, ipam.effects, async () => {
    const seen = await readForRelease(ipam, leaks);
    const { unreadable } = seen;
    if (unreadable) return leaks.map((each) => keptUnread(each, unreadable));
    const pods = await lookUpPods(kube, podsOf(seen.found), { ...looking, progress: () => undefined });
    const judged = leaks.map((each): Judged => judgeLast(each, seen, pods));
    const living = judged.filter(
      ({ outcome, allocation }) => outcome.kind === 'in-use' && allocation?.slot.condemned !== undefined,
    );
    if (living.length > 0 && seen.read && !means.dryRun) {
      await pardonInBlock(
        ipam,
        seen.read,
        living.map(({ each }) => each.address),
      );
      return undefined;
    }
    const leaked = judged.flatMap(({ each, outcome }) =>
      outcome.kind === 'would-release' && outcome.reason !== undefined
        ? [{ each, address: each.address, expected: each.expected, reason: outcome.reason }]
        : [],
    );
    if (leaked.length === 0 || !seen.read) return judged;
    const endings = await endLeaks(seen.read, leaked, { ipam, ...means });
    if (!endings) return undefined;
    const endingOf = new Map(leaked.map(({ each }, i) => [each, endings[i]]));
    return judged.map((one) => ({ ...one, outcome: endingOf.get(one.each) ?? one.outcome }));
  });
}

const keptUnread = (each: ProvenLeak, { reason }: UnreadableRecord): Judged => ({
  each,
  outcome: { kind: 'unreadable', reason },
});

/** A block with the allocations believed leaked, and the allocations that superseded them. */
interface Seen {
  readonly read?: ReadBlock;
  /** The block or its range, if it cannot be read. */
  readonly unreadable?: UnreadableRecord;
  readonly found: ReadonlyMap<ProvenLeak, AuditedAllocation>;
  readonly newer: ReadonlyMap<ProvenLeak, AuditedAllocation>;
}

async function readForRelease(ipam: Ipam, leaks: readonly ProvenLeak[]): Promise<Seen> {
  const [first] = leaks;
  const nothing: Seen = { found: new Map(), newer: new Map() };
  if (!first) return nothing;
  const others = [...new Set(leaks.flatMap(({ supersededBy }) => supersededBy?.blockKey ?? []))];
  const [entry, rangeEntry, ...rest] = await ipam.store.get([
    first.blockKey,
    rangeKey(first.range),
    ...others,
  ]);
  if (!entry || !rangeEntry) return nothing;
  const ofRange = readRecord(rangeEntry, decodeRange);
  if ('unreadable' in ofRange) return { ...nothing, unreadable: ofRange.unreadable };
  const range = ofRange.value;
  const ofBlock = readRecord(entry, decodeBlockOf(range));
  if ('unreadable' in ofBlock) return { ...nothing, unreadable: ofBlock.unreadable };
  const block = ofBlock.value;
  const newer = valuesOf(rest.flatMap((each) => (each ? readRecord(each, decodeBlock) : [])));
  const blocks = new Map(newer.map((each) => [blockKey(each.range, each.cidr), each]));
  blocks.set(entry.key, block);
  const found = new Map<ProvenLeak, AuditedAllocation>();
  const superseding = new Map<ProvenLeak, AuditedAllocation>();
  for (const each of leaks) {
    const allocation = findExpected(block, each);
    const by = each.supersededBy;
    const other = by && findExpected(blocks.get(by.blockKey), by);
    if (allocation) found.set(each, allocation);
    if (other) superseding.set(each, other);
  }
  return { read: { block, range, entry }, found, newer: superseding };
}

function findExpected(
  block: Block | undefined,
  { address, blockKey, expected }: Pick<ProvenLeak, 'address' | 'blockKey' | 'expected'>,
): AuditedAllocation | undefined {
  const slot = block?.slots[slotIndex(block, address)];
  if (!block || !slot || !isExpected(slot, expected)) return undefined;
  return { address, node: nodeOf(block, slot), range: block.range, blockKey, slot };
}

function podsOf(found: Seen['found']): { names: Set<string>; uids: Set<string> } {
  const names = new Set<string>();
  const uids = new Set<string>();
  for (const allocation of found.values()) {
    const name = ownerName(allocation);
    const { podUid } = allocation.slot.owner;
    if (name !== undefined) names.add(name);
    else if (podUid !== undefined) uids.add(podUid);
  }
  return { names, uids };
}

function judgeLast(each: ProvenLeak, { read, found, newer }: Seen, pods: PodIndex): Judged {
  const allocation = found.get(each);
  if (!allocation) return { each, outcome: goneOutcome(read?.block, each.address) };
  const verdict = judge(allocation, pods);
  if (verdict.kind === 'unknown') return { each, outcome: verdict, allocation };
  if (verdict.kind === 'leaked') {
    const reason =
      verdict.reason === 'pod-gone' && each.reason === 'node-gone' ? each.reason : verdict.reason;
    return { each, outcome: { kind: 'would-release', reason }, allocation };
  }
  const by = newer.get(each);
  if (by && isSupersededBy(allocation, by, verdict.pod))
    return { each, outcome: { kind: 'would-release', reason: 'superseded' }, allocation };
  const pod = ownerName(allocation) ?? `${verdict.pod.namespace}/${verdict.pod.name}`;
  return { each, outcome: { kind: 'in-use', pod }, allocation };
}

function goneOutcome(block: Block | undefined, address: Address): FreeOutcome {
  const slot = block?.slots[slotIndex(block, address)];
  if (slot?.state === 'used') return { kind: 'changed' };
  if (slot?.state === 'kept') return { kind: 'free', state: 'kept' };
  return { kind: 'free', state: slot?.state === 'released' ? 'cooling' : 'free' };
}
