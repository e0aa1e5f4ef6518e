import type { KubeApi } from '../../cni/kube/api.ts';
import { canonicalPod, indexPods, judge, type LeakReason } from '../../ipam/audit/judge.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import {
  expectedOf,
  isExpected,
  type Expected,
  type KeptSlot,
  type UsedSlot,
} from '../../ipam/model/block.ts';
import type { ReleaseCause } from '../../ipam/model/lifetime.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { readAddress, type AddressView } from '../../ipam/query/views.ts';
import { pardonInBlock } from '../../ipam/release/condemn.ts';
import { endKeptAddress, readBlockOf, releaseAddress } from '../../ipam/release/release-in-block.ts';
import { retryLostRaces } from '../../ipam/store/retry.ts';
import { endLeaks, type CondemnedLeak, type EndedLeak, type Ending, type EndingMeans } from './end-leaks.ts';

/** The outcome for one address to free. */
export type FreeOutcome =
  | Ending
  /** Its node has cleared it away and released it. */
  | { readonly kind: 'cleared'; readonly node: string }
  /** The address has no allocation. */
  | { readonly kind: 'free'; readonly state: AddressView['state'] }
  /** It is kept for a pod that may come again after all. */
  | { readonly kind: 'needed'; readonly pod: string }
  /** Its pod lives. */
  | { readonly kind: 'in-use'; readonly pod: string }
  /** Its node has another name in the cluster, so `check` withheld it. */
  | { readonly kind: 'withheld'; readonly node: string }
  /** The record names no pod, or no API server can be asked. The address counts as in use. */
  | { readonly kind: 'unknown' }
  /** The record of its block or range cannot be read. The address counts as in use. */
  | { readonly kind: 'unreadable'; readonly reason: string };

export interface FreeOptions extends Omit<EndingMeans, 'ipam'> {
  /** Releases also an address whose pod lives or is unknown. */
  readonly force: boolean;
  /** Releases only this allocation. Absent: the current one. */
  readonly expected?: Expected;
}

/**
 * Frees one address: looks once more at its slot and its pod (rule 6), then compares container ID,
 * interface, sequence and time of the allocation (rule 5).
 * @param kube undefined when no API server is configured; every pod may then live
 */
export async function freeAddress(
  ipam: Ipam,
  kube: KubeApi | undefined,
  address: Address,
  options: FreeOptions,
): Promise<FreeOutcome> {
  const read = await readAddress(ipam, address);
  if ('unreadable' in read) return { kind: 'unreadable', reason: read.unreadable.reason };
  const { slot, state } = read.value;
  if (slot?.state === 'kept') return await endKeptNow(ipam, address, slot, options);
  if (slot?.state !== 'used') return { kind: 'free', state };
  const { expected = expectedOf(slot) } = options;
  if (!isExpected(slot, expected)) return { kind: 'changed' };
  const verdict = options.force ? undefined : await judgeNow(kube, slot);
  if (verdict?.kind === 'in-use' && slot.condemned && !options.dryRun) await pardon(ipam, address);
  if (verdict?.kind === 'in-use' || verdict?.kind === 'unknown') return verdict;
  if (verdict) return await endLeakForGood(ipam, { address, expected, reason: verdict.reason }, options);
  if (options.dryRun) return { kind: 'would-release', reason: undefined };
  const cause: ReleaseCause = { why: 'operator', by: options.by };
  const outcome = await releaseAddress(ipam, address, expected, cause);
  if (outcome === 'released') return { kind: 'released', reason: undefined };
  return outcome === 'changed' ? { kind: 'changed' } : { kind: 'free', state: 'free' };
}

/** Ends the keeping of an address that no pod has, unless a report meant an allocation of it. */
async function endKeptNow(
  ipam: Ipam,
  address: Address,
  { sequence }: KeptSlot,
  { dryRun, expected }: FreeOptions,
): Promise<FreeOutcome> {
  if (expected) return { kind: 'free', state: 'kept' };
  if (dryRun) return { kind: 'would-release', reason: undefined };
  return (await endKeptAddress(ipam, address, sequence))
    ? { kind: 'released', reason: undefined }
    : { kind: 'changed' };
}

const pardon = (ipam: Ipam, address: Address): Promise<true> =>
  retryLostRaces(`taking the sentence off ${formatAddress(address)}`, ipam.effects, async () => {
    const read = await readBlockOf(ipam, address);
    return !read || (await pardonInBlock(ipam, read, [address])) || undefined;
  });

/** What the operator releases is kept for nobody. */
async function endLeakForGood(ipam: Ipam, leak: EndedLeak, options: FreeOptions): Promise<FreeOutcome> {
  const outcome = await endLeak(ipam, leak, options);
  if (outcome.kind !== 'released') return outcome;
  const read = await readAddress(ipam, leak.address);
  if ('value' in read && read.value.slot?.state === 'kept')
    await endKeptAddress(ipam, leak.address, read.value.slot.sequence);
  return outcome;
}

const endLeak = (ipam: Ipam, leak: EndedLeak, options: FreeOptions): Promise<FreeOutcome> =>
  retryLostRaces(`releasing ${formatAddress(leak.address)}`, ipam.effects, async () => {
    const read = await readBlockOf(ipam, leak.address);
    if (!read) return { kind: 'free', state: 'free' } as const;
    return (await endLeaks(read, [leak], { ipam, ...options }))?.[0];
  });

/**
 * Asks the API server for this one pod. Returns `unknown` for an allocation that names no pod, or
 * without an API server.
 */
async function judgeNow(
  kube: KubeApi | undefined,
  slot: UsedSlot,
): Promise<{ kind: 'in-use'; pod: string } | { kind: 'unknown' } | { kind: 'leaked'; reason: LeakReason }> {
  const { podNamespace, podName } = slot.owner;
  if (!kube || podNamespace === undefined || podName === undefined) return { kind: 'unknown' };
  const pod = await kube.getPod(podNamespace, podName);
  const verdict = judge({ slot }, indexPods(pod ? [canonicalPod(pod)] : []));
  if (verdict.kind === 'in-use') return { kind: 'in-use', pod: `${podNamespace}/${podName}` };
  return verdict;
}

/** Says who clears condemned addresses away. */
export function clearingText({ node, life }: Pick<CondemnedLeak, 'node' | 'life'>): string {
  switch (life) {
    case 'agent':
      return `the agent of ${node} ends the interface, then releases the address`;
    case 'idle':
      return `the agent of ${node} does not reconcile (reconcile.intervalMs is 0): cnictl node reconcile there`;
    case 'ready':
      return `${node} is Ready, but has no living agent: start it, or run cnictl node reconcile there`;
    case 'unlisted':
      return `nothing proves ${node} gone, for nodes may not be listed; there: cnictl node reconcile`;
  }
}

/** Returns one line for the operator. */
export function outcomeText(address: Address, outcome: FreeOutcome): string {
  const ip = formatAddress(address);
  switch (outcome.kind) {
    case 'released':
      return `${ip} released${outcome.reason === undefined ? '' : ` (${outcome.reason})`}`;
    case 'would-release':
      return `${ip} would be released${outcome.reason === undefined ? '' : ` (${outcome.reason})`}`;
    case 'condemned':
      return `${ip} condemned: ${clearingText(outcome)}`;
    case 'would-condemn':
      return `${ip} would be condemned: ${clearingText(outcome)}`;
    case 'cleared':
      return `${ip} released on ${outcome.node}`;
    case 'answers':
      return `${ip} kept: host ${outcome.mac} still answers for it on the wire`;
    case 'unasked':
      return `${ip} kept: node ${outcome.node} is silent, and nobody here can ask the wire: check on a node with the bridge, or cnictl node remove ${outcome.node}`;
    case 'free':
      return `${ip} is not given out: it is ${outcome.state}`;
    case 'changed':
      return `${ip} kept: it has another owner now`;
    case 'in-use':
      return `${ip} kept: pod ${outcome.pod} lives`;
    case 'needed':
      return `${ip} stays kept: pod ${outcome.pod} may come again`;
    case 'withheld':
      return `${ip} kept: node ${outcome.node} has another name in the cluster (--force releases it)`;
    case 'unknown':
      return `${ip} kept: its record names no pod, so nothing proves it leaked (--force releases it)`;
    case 'unreadable':
      return `${ip} kept: ${outcome.reason}`;
  }
}
