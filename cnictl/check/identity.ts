import type { KubeApi } from '../../cni/kube/api.ts';
import { identityOf, readCluster, writeCluster, type Identity } from '../../ipam/audit/cluster.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { ClusterError, clusterOf } from '../context/cluster.ts';

/**
 * Compares the API server's cluster with the one that etcd belongs to.
 * @param trusted UID of `--trust-cluster`: this cluster replaces the one in etcd
 * @throws ClusterError when the API server is not that of the trusted cluster; IpamError, KubeError
 */
export async function identifyTrusting(
  ipam: Ipam,
  kube: KubeApi,
  { trusted, warn }: { readonly trusted: string | undefined; readonly warn: (text: string) => void },
): Promise<Identity> {
  const known = await readCluster(ipam.store);
  const uid = await clusterOf(kube);
  const identity = identityOf(known, uid);
  if (identity.kind === 'untold') {
    warn(
      `${kube.server} does not let this user get the namespace kube-system, which tells clusters apart: only its nodes and pods tell whether it is the right one`,
    );
  }
  if (trusted === undefined) return identity;
  if (trusted !== uid) {
    throw new ClusterError(
      `--trust-cluster '${trusted}': expected ${uid === null ? 'an API server that tells its UID' : `'${uid}'`}, as ${kube.server} says of the namespace kube-system`,
      'Compare: kubectl get namespace kube-system -o jsonpath={.metadata.uid}',
    );
  }
  if (identity.kind === 'ours') return identity;
  await replace(ipam, known.entry, uid);
  const before = known.record ? ` and no longer to ${known.record.uid}` : '';
  warn(`etcd belongs to the cluster with UID ${uid} from now on${before}`);
  return { kind: 'ours', uid };
}

async function replace(ipam: Ipam, seen: Parameters<typeof writeCluster>[1], uid: string): Promise<void> {
  if (await writeCluster(ipam, seen, uid)) return;
  throw new ClusterError(
    'another client wrote meanwhile to which cluster etcd belongs: nothing was changed',
    'Do the same again.',
  );
}

/**
 * Writes down the cluster of the first check that is proven to be ours. A user that may only read
 * etcd still gets a report.
 * @returns the identity afterwards: another check may have been first
 * @throws IpamError `store-…`
 */
export async function remember(ipam: Ipam, uid: string): Promise<Identity> {
  try {
    if (await writeCluster(ipam, undefined, uid)) return { kind: 'ours', uid };
  } catch (error) {
    if (error instanceof IpamError && error.code === 'store-denied') return { kind: 'unrecorded', uid };
    throw error;
  }
  return identityOf(await readCluster(ipam.store), uid);
}
