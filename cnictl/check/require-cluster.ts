import type { KubeApi } from '../../cni/kube/api.ts';
import { readCluster } from '../../ipam/audit/cluster.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { indexedNodes } from '../../ipam/query/node-view.ts';
import { ClusterError, clusterOf, identifyOwn } from '../context/cluster.ts';
import { ClusterNodes, listNodes } from './nodes.ts';
import { noneKnown } from './proof.ts';
import type { SavedReport } from './report.ts';

/**
 * Refuses an API server that is not proven to be that of our cluster, before a release that rests
 * on the pods that it lacks: by the UID in etcd, else by its nodes.
 * @throws ClusterError; IpamError `store-…`, KubeError
 */
export async function requireCluster(ipam: Ipam, kube: KubeApi): Promise<void> {
  const identity = await identifyOwn(ipam.store, kube);
  const listed = await listNodes(kube, { warn: () => undefined });
  const { standing } = new ClusterNodes(listed, await indexedNodes(ipam), []);
  if (standing === 'none-known') throw noneKnown(kube);
  if (standing === 'unlisted' && identity.kind !== 'ours') {
    throw new ClusterError(
      `nothing tells whether ${kube.server} is the right cluster: it forbids to list nodes, and etcd has no UID to compare. Nothing was released`,
      'Grant this user to list nodes, or run cnictl check once as a user that may.',
    );
  }
}

/**
 * Refuses a report of another cluster.
 * @param kube undefined when no API server is configured
 * @throws ClusterError; IpamError `store-…`, KubeError
 */
export async function requireOwnReport(
  report: SavedReport,
  ipam: Ipam,
  kube: KubeApi | undefined,
): Promise<void> {
  const { cluster: reported, clusterProblem = null } = report;
  const again = 'Name the kubeconfig of this cluster, and make a new report: cnictl check --save FILE';
  if (clusterProblem !== null)
    throw new ClusterError(`the report may be of another cluster: ${clusterProblem}`, again);
  const { record } = await readCluster(ipam.store);
  if (reported !== null && record && reported !== record.uid) {
    throw new ClusterError(
      `the report is of the cluster at ${nameOf(report.server, reported)}: expected that with UID ${record.uid}, whose pods have the addresses in etcd`,
      again,
    );
  }
  if (!kube) return;
  const uid = await clusterOf(kube);
  const differs = reported !== null && uid !== null ? reported !== uid : report.server !== kube.server;
  if (!differs) return;
  throw new ClusterError(
    `the report is of the cluster at ${nameOf(report.server, reported)}: expected that at ${nameOf(kube.server, uid)}`,
    'Name the kubeconfig of the cluster that the report is of, or make a new report: cnictl check --save FILE',
  );
}

const nameOf = (server: string, uid: string | null): string =>
  uid === null ? server : `${server} (kube-system has UID ${uid})`;
