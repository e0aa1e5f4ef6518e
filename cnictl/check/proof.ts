import type { KubeApi } from '../../cni/kube/api.ts';
import type { Identity } from '../../ipam/audit/cluster.ts';
import { ClusterError, refuseCluster } from '../context/cluster.ts';
import { plural } from '../render/plural.ts';
import { noneKnownText, type Standing } from './nodes.ts';

/** What ties an API server to the allocations in etcd, or does not. */
export interface Evidence {
  readonly identity: Identity;
  readonly standing: Standing;
  /** Those that name a pod. */
  readonly named: number;
  /** Number of pods that the API server has. */
  readonly pods: number;
  /** Whether one of these pods is one that an allocation names. */
  readonly knowsPods: boolean;
}

export interface Proof {
  /** Why nothing may be released. */
  readonly doubt?: ClusterError;
  /** True when the findings mean nothing, because they compare two clusters. */
  readonly isMeaningless: boolean;
  /** UID to write down, so that the next check recognises another cluster. */
  readonly remember?: string;
}

/**
 * Judges whether pods that the API server lacks prove anything about etcd (rule 6). Another
 * cluster's API server has pods and nodes too, and perhaps nodes of the same names, but not the
 * UIDs.
 */
export function prove(evidence: Evidence, kube: Pick<KubeApi, 'server'>): Proof {
  const { identity, standing, named, knowsPods } = evidence;
  const other = refuseCluster(identity, kube);
  if (other) return { doubt: other, isMeaningless: true };
  if (standing === 'none-known') {
    const isMeaningless = identity.kind !== 'ours' && named > 0 && !knowsPods;
    return { doubt: noneKnown(kube), isMeaningless };
  }
  if (identity.kind !== 'ours' && named > 0 && evidence.pods > 0 && !knowsPods)
    return { doubt: noPodKnown(evidence, kube), isMeaningless: false };
  const remember = identity.kind === 'unrecorded' && isFirst(evidence) ? identity.uid : undefined;
  return { isMeaningless: false, ...(remember !== undefined && { remember }) };
}

/**
 * Returns whether a first record may be written: when an allocation names a pod of this cluster.
 * Less proves nothing: every cluster's API server looks like ours to an etcd that has no allocation
 * yet, and its record would then refuse ours.
 */
const isFirst = ({ standing, knowsPods }: Evidence): boolean => standing === 'known' && knowsPods;

export const noneKnown = (kube: Pick<KubeApi, 'server'>): ClusterError =>
  new ClusterError(
    `${noneKnownText(kube)} Nothing was released`,
    'Check --kubeconfig and --etcd-prefix; `cnictl doctor` on a node compares its two names. Of nodes that are all gone: cnictl node remove NODE --force.',
  );

function noPodKnown({ identity, named }: Evidence, { server }: Pick<KubeApi, 'server'>): ClusterError {
  const trust =
    identity.kind === 'unrecorded'
      ? `where all these pods are really gone: cnictl check --trust-cluster ${identity.uid}`
      : 'or let this user get the namespace kube-system, which tells clusters apart.';
  return new ClusterError(
    `${server} has pods, but none of those that ${plural(named, 'allocation names', 'allocations name')}: is it the right cluster? Nothing was released`,
    `Check --kubeconfig and --etcd-prefix; ${trust}`,
  );
}
