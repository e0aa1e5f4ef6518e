import type { KubeApi } from '../../cni/kube/api.ts';
import { canonicalPod, indexPods, judge, type LeakReason } from '../../ipam/audit/judge.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import { expectedOf, isExpected, type Expected, type UsedSlot } from '../../ipam/model/block.ts';
import type { ReleaseCause } from '../../ipam/model/lifetime.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { readAddress, type AddressView } from '../../ipam/query/views.ts';
import { releaseAddress } from '../../ipam/release/release-in-block.ts';

/** The outcome for one address to free. */
export type FreeOutcome =
  | { readonly kind: 'released' | 'would-release'; readonly reason: LeakReason | undefined }
  /** The address has no allocation. */
  | { readonly kind: 'free'; readonly state: AddressView['state'] }
  /** The address has another owner than the caller expects, and keeps it. */
  | { readonly kind: 'changed' }
  /** Its pod lives. */
  | { readonly kind: 'in-use'; readonly pod: string }
  /** Its node has another name in the cluster, so `check` withheld it. */
  | { readonly kind: 'withheld'; readonly node: string }
  /** The record names no pod, or no API server can be asked. The address counts as in use. */
  | { readonly kind: 'unknown' }
  /** The record of its block or range cannot be read. The address counts as in use. */
  | { readonly kind: 'unreadable'; readonly reason: string };

export interface FreeOptions {
  readonly dryRun: boolean;
  /** Releases also an address whose pod lives or is unknown. */
  readonly force: boolean;
  /** Releases only this allocation. Absent: the current one. */
  readonly expected?: Expected;
  /** Actor for the history. */
  readonly by: string;
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
  if (slot?.state !== 'used') return { kind: 'free', state };
  const { expected = expectedOf(slot) } = options;
  if (!isExpected(slot, expected)) return { kind: 'changed' };
  const verdict = options.force ? undefined : await judgeNow(kube, slot);
  if (verdict?.kind === 'in-use' || verdict?.kind === 'unknown') return verdict;
  const reason = verdict?.reason;
  if (options.dryRun) return { kind: 'would-release', reason };
  const { by } = options;
  const cause: ReleaseCause =
    reason === undefined ? { why: 'operator', by } : { why: 'leaked', detail: reason, by };
  const outcome = await releaseAddress(ipam, address, expected, cause);
  if (outcome === 'released') return { kind: 'released', reason };
  return outcome === 'changed' ? { kind: 'changed' } : { kind: 'free', state: 'free' };
}

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

/** Returns one line for the operator. */
export function outcomeText(address: Address, outcome: FreeOutcome): string {
  const ip = formatAddress(address);
  switch (outcome.kind) {
    case 'released':
      return `${ip} released${outcome.reason === undefined ? '' : ` (${outcome.reason})`}`;
    case 'would-release':
      return `${ip} would be released${outcome.reason === undefined ? '' : ` (${outcome.reason})`}`;
    case 'free':
      return `${ip} is not given out: it is ${outcome.state}`;
    case 'changed':
      return `${ip} kept: it has another owner now`;
    case 'in-use':
      return `${ip} kept: pod ${outcome.pod} lives`;
    case 'withheld':
      return `${ip} kept: node ${outcome.node} has another name in the cluster (--force releases it)`;
    case 'unknown':
      return `${ip} kept: its record names no pod, so nothing proves it leaked (--force releases it)`;
    case 'unreadable':
      return `${ip} kept: ${outcome.reason}`;
  }
}
