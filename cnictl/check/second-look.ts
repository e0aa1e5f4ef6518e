import type { KubeApi } from '../../cni/kube/api.ts';
import {
  claimsAddresses,
  isHolder,
  isSupersededBy,
  judge,
  type AuditedPod,
  type Conflict,
  type Leak,
  type Missing,
  type PodIndex,
} from '../../ipam/audit/judge.ts';
import type { Claim, Dispute, Stray, Suspicion } from '../../ipam/audit/pod-audit.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { plural } from '../render/plural.ts';
import type { Observed } from './findings.ts';
import { compareNodes, type FirstLook } from './first-look.ts';
import { listNodes, type ClusterNodes } from './nodes.ts';
import { lookUpPods } from './pods.ts';
import type { Looking } from './progress.ts';
import { blocksAgain, lostAgain, pairsAgain, recordsAgain } from './records-again.ts';
import { readSuspected, wantedPods, type Held, type Suspected } from './suspected.ts';

/** Counts what the first look suspects. */
export function countSuspected(first: FirstLook): { readonly leaks: number; readonly others: number } {
  const { podAudit, pairs, records, stranded } = first;
  let leaks = 0;
  const suspicions = podAudit.suspicions()[Symbol.iterator]();
  while (suspicions.next().done !== true) leaks += 1;
  const others =
    podAudit.claims.length +
    podAudit.strays.length +
    podAudit.disputes().length +
    pairs.length +
    records.length +
    stranded.length +
    first.lost.nodes.length;
  return { leaks, others };
}

/** @param kept number of addresses whose keeping may end */
export function suspectsText(
  { podAudit, pairs, records, stranded }: FirstLook,
  leaks: number,
  kept: number,
): string {
  const conflicts = podAudit.disputes().length;
  const amiss = pairs.length + records.length + stranded.length;
  return [
    plural(leaks, 'suspected leak'),
    `${podAudit.claims.length + podAudit.strays.length} missing`,
    ...(conflicts > 0 ? [plural(conflicts, 'conflict')] : []),
    ...(kept > 0 ? [`${kept} kept for pods that nobody makes`] : []),
    ...(amiss > 0 ? [`${plural(amiss, 'record')} amiss`] : []),
  ].join(', ');
}

/** Returns the findings of a look that suspects nothing. */
export const nothingFound = ({ podAudit, lost }: FirstLook): Observed => ({
  allocated: podAudit.allocated,
  pods: podAudit.pods,
  hostPods: podAudit.hostPods,
  leaked: [],
  unknown: podAudit.unknown,
  missing: [],
  conflicts: [],
  index: [],
  records: [],
  stranded: [],
  aliases: podAudit.aliases,
  lost,
});

/**
 * Looks again only at what the first look suspects: at the records first, then at the pods (rule
 * 6). A finding counts when both observations make it. An allocation that changed hands in between
 * is a different one.
 * @throws IpamError, KubeError, the signal's reason
 */
export async function secondLook(
  ipam: Ipam,
  kube: KubeApi,
  first: FirstLook,
  looking: Looking,
): Promise<Observed> {
  const { podAudit } = first;
  const suspected: Suspected = {
    suspicions: [...podAudit.suspicions()],
    claims: podAudit.claims,
    strays: podAudit.strays,
    disputes: podAudit.disputes(),
  };
  const held = await readSuspected(ipam, suspected, looking);
  const index = await pairsAgain(ipam.store, first.pairs);
  const records = await recordsAgain(ipam.store, first.records);
  const stranded = await blocksAgain(ipam.store, first.stranded);
  const nodes = compareNodes(await listNodes(kube, { ...looking, warn: () => undefined }), podAudit);
  const pods = await lookUpPods(kube, wantedPods(suspected, held), looking);
  return {
    allocated: podAudit.allocated,
    pods: podAudit.pods,
    hostPods: podAudit.hostPods,
    leaked: suspected.suspicions.flatMap((each) => leakOf(each, held, pods, nodes)),
    unknown: podAudit.unknown,
    missing: [
      ...suspected.claims.flatMap((claim) => missingOf(claim, held, pods)),
      ...suspected.strays.flatMap((stray) => strayOf(stray, held, pods)),
    ],
    conflicts: suspected.disputes.flatMap((dispute) => conflictOf(dispute, held, pods)),
    index,
    records,
    stranded: stranded.filter(({ node }) => nodes.isGone(node)),
    aliases: podAudit.aliases,
    lost: await lostAgain(ipam.store, first.lost),
  };
}

function leakOf(suspicion: Suspicion, held: Held, pods: PodIndex, nodes: ClusterNodes): Leak[] {
  const allocation = held.get(suspicion.mark);
  if (!allocation) return [];
  const verdict = judge(allocation, pods);
  if (verdict.kind === 'leaked') {
    const isNodeGone = verdict.reason === 'pod-gone' && nodes.isGone(allocation.node);
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
  if (!heldBy) return [{ ip, pod: now, reason: 'not-held' }];
  return isHolder(heldBy, now) ? [] : [{ ip, pod: now, reason: 'held-by-another', heldBy }];
}

/** An address of which a range was added meanwhile is left to the next check. */
function strayOf({ ip, pod }: Stray, held: Held, pods: PodIndex): Missing[] {
  const now = claimant(pod, ip, pods);
  return now && !held.isInRange(ip) ? [{ ip, pod: now, reason: 'no-range' }] : [];
}

/** Returns the current pod if it still has the address. */
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
