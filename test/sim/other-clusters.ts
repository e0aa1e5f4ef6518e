import type { Pod } from '../../cni/kube/api.ts';
import { SimKube } from './kube.ts';

/** API servers of other clusters, whose kubeconfig an operator takes by mistake. */
export const OTHER_CLUSTERS = [
  /** Its nodes have the same names as ours, and it tells another UID. */
  'uid',
  /** The operator may not read its UID. It has none of our nodes. */
  'nodes',
  /** The operator may not read its UID, and its nodes have the same names as ours. */
  'pods',
] as const;
export type OtherCluster = (typeof OTHER_CLUSTERS)[number];

export function otherClusters(time: () => number): Readonly<Record<OtherCluster, SimKube>> {
  const cluster = (uid: string | null, nodes: readonly string[]): SimKube => {
    const kube = new SimKube(time, uid);
    for (const name of nodes) kube.setNode({ name, uid: `other ${name}`, ready: true });
    kube.setPod(pod(nodes[0] ?? ''));
    return kube;
  };
  const same = ['n1', 'n2', 'n3'];
  return {
    uid: cluster('cluster-2', same),
    nodes: cluster(null, ['x1']),
    pods: cluster(null, same),
  };
}

const pod = (nodeName: string): Pod => ({
  namespace: 'other',
  name: 'pod',
  uid: 'uid-of-another-cluster',
  nodeName,
  phase: 'Running',
  hasRunningContainer: true,
  hostNetwork: false,
  podIPs: ['10.99.0.1'],
  createdAt: '2026-01-01T00:00:00Z',
});
