import type { KubeApi } from '../../cni/kube/api.ts';
import { canonicalPod, indexPods, judge, type LeakReason } from '../../ipam/audit/judge.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import { expectedOf, isExpected, type Expected, type UsedSlot } from '../../ipam/model/block.ts';
import type { ReleaseCause } from '../../ipam/model/lifetime.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { showAddress, type AddressView } from '../../ipam/query/views.ts';
import { releaseAddress } from '../../ipam/release/release-in-block.ts';

/** What became of one address that was to be freed. */
export type FreeOutcome =
  | { readonly kind: 'released' | 'would-release'; readonly reason: LeakReason | undefined }
  /** Nobody has it. */
  | { readonly kind: 'free'; readonly state: AddressView['state'] }
  /** It has another owner than was believed, and keeps it. */
  | { readonly kind: 'changed' }
  /** Its pod lives. */
  | { readonly kind: 'in-use'; readonly pod: string }
  /** Nothing tells whose it is, so it counts as in use. */
  | { readonly kind: 'unknown' };

export interface FreeOptions {
  readonly dryRun: boolean;
  /** Releases also what lives, or what nothing is known of. */
  readonly force: boolean;
  /** Only this allocation; absent: whichever there is now. */
  readonly expected?: Expected;
  /** Who asks for it, for the history. */
  readonly by: string;
}

/**
 * Frees one address: looks once more at its slot and at its pod (rule 6), then compares container ID, interface,
 * sequence and time of the allocation (rule 5).
 * @param kube undefined where no API server is known: then every pod may live
 */
export async function freeAddress(
  ipam: Ipam,
  kube: KubeApi | undefined,
  address: Address,
  options: FreeOptions,
): Promise<FreeOutcome> {
  const view = await showAddress(ipam, address);
  const { slot } = view;
  if (slot?.state !== 'used') return { kind: 'free', state: view.state };
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

/** Asks for just this pod. An allocation that names none, or that nobody can be asked about, counts as unknown. */
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

/** One line for a person. */
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
    case 'unknown':
      return `${ip} kept: its record names no pod, so nothing proves it leaked (--force releases it)`;
  }
}
