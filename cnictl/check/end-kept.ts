import type { KubeApi } from '../../cni/kube/api.ts';
import { nameOf, type KeptAddress, type KeptTerms, type Unneeded } from '../../ipam/audit/kept-pods.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { markKept, type KeptMark } from '../../ipam/release/mark-kept.ts';
import { endKeptAddress } from '../../ipam/release/release-in-block.ts';
import type { FreeOutcome } from './free.ts';
import { keptId, stillDue, type KeptFinding, type KeptLook } from './kept.ts';
import type { Looking } from './progress.ts';

/**
 * Counts from now on for those that are beyond their StatefulSet's replicas, and no more for those
 * whose pods may come again.
 * @throws IpamError `store-…`
 */
export async function markLook(
  ipam: Ipam,
  { unneeded, pardoned }: KeptLook,
  terms: KeptTerms,
): Promise<void> {
  const now = ipam.effects.now();
  const isUncounted = ({ reason, kept: { slot } }: Unneeded): boolean =>
    reason === 'scaled-down' && (slot.scaledDownAt === undefined || slot.scaledDownAt > now);
  const byBlock = new Map<string, KeptMark[]>();
  const mark = ({ address, blockKey, slot }: KeptAddress, at: number | undefined): void => {
    const marks = byBlock.get(blockKey) ?? [];
    byBlock.set(blockKey, [...marks, { address, sequence: slot.sequence, at }]);
  };
  if (terms.afterMs > 0) for (const each of unneeded.filter(isUncounted)) mark(each.kept, now);
  for (const kept of pardoned) mark(kept, undefined);
  for (const [blockKey, marks] of byBlock) await markKept(ipam, blockKey, marks);
}

/**
 * Ends what is kept, after one more look at all of it. Each transaction compares the slot's
 * sequence.
 * @throws IpamError `store-…`, KubeError; exactly the outcomes told by then are done
 */
export async function endKept(
  ipam: Ipam,
  kube: KubeApi,
  due: readonly KeptFinding[],
  terms: KeptTerms,
  looking: Looking,
  onOutcome: (each: KeptFinding, outcome: FreeOutcome) => void,
): Promise<void> {
  const still = new Set((await stillDue(ipam, kube, due, terms, looking)).map(({ kept }) => keptId(kept)));
  for (const each of due) {
    if (looking.signal?.aborted) return;
    const { kept, reason } = each;
    if (!still.has(keptId(kept))) onOutcome(each, { kind: 'needed', pod: nameOf(kept) });
    else if (await endKeptAddress(ipam, kept.address, kept.slot.sequence))
      onOutcome(each, { kind: 'released', reason });
    else onOutcome(each, { kind: 'changed' });
  }
}
