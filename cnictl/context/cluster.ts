import type { KubeApi } from '../../cni/kube/api.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import { identityOf, readCluster, type Identity } from '../../ipam/audit/cluster.ts';
import { KUBERNETES_KEY } from '../../ipam/records/cluster-record.ts';
import type { Store } from '../../ipam/store/store.ts';
import { CommandError } from './errors.ts';

/** The API server is not proven to be that of the cluster whose pods have the addresses. */
export class ClusterError extends CommandError {}

/**
 * Returns the UID of the namespace kube-system. Null where it may not be read: an operator without
 * that permission still gets a report, a backup.
 * @throws KubeError
 */
export async function clusterOf(kube: KubeApi): Promise<string | null> {
  try {
    return await kube.clusterUid();
  } catch (error) {
    if (error instanceof KubeError && (error.code === 'forbidden' || error.code === 'refused')) return null;
    throw error;
  }
}

/** @throws IpamError `store-…`, KubeError */
export async function identify(store: Store, kube: KubeApi): Promise<Identity> {
  return identityOf(await readCluster(store), await clusterOf(kube));
}

/**
 * Returns why nothing may be concluded from the API server's pods and nodes; undefined unless etcd
 * has a record that says so.
 */
export function refuseCluster(
  identity: Identity,
  { server }: Pick<KubeApi, 'server'>,
): ClusterError | undefined {
  switch (identity.kind) {
    case 'other': {
      const { uid, record } = identity;
      return new ClusterError(
        `${server} is the cluster whose kube-system has UID ${uid}: expected ${record.uid}, whose pods have had the addresses in etcd since ${new Date(record.since).toISOString()}`,
        `Name the kubeconfig of that cluster. Where its control plane was built again with the same nodes and pods: cnictl check --trust-cluster ${uid}`,
      );
    }
    case 'unreadable':
      return new ClusterError(
        `the cluster that etcd belongs to is unknown: ${identity.problem}`,
        `docs/etcd-records.md says what ${KUBERNETES_KEY} holds; cnictl check --trust-cluster UID writes it again.`,
      );
    case 'ours':
    case 'unrecorded':
    case 'untold':
      return undefined;
  }
}

/**
 * Identifies the API server's cluster, and refuses one that etcd does not belong to.
 * @throws ClusterError; IpamError `store-…`, KubeError
 */
export async function identifyOwn(store: Store, kube: KubeApi): Promise<Identity> {
  const identity = await identify(store, kube);
  const other = refuseCluster(identity, kube);
  if (other) throw other;
  return identity;
}

/** Returns the UID that the API server told. */
export const toldUid = (identity: Identity): string | null =>
  identity.kind === 'untold' ? null : identity.uid;
