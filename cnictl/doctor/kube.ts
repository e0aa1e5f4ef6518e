import type { KubeApi, Probe } from '../../cni/kube/api.ts';
import type { Identity } from '../../ipam/audit/cluster.ts';
import { findClusterNode, type ClusterNode } from '../context/cluster-node.ts';
import { identify, refuseCluster } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { judgeClock } from './clock.ts';
import { fail, ok, warn, type Check, type Finding } from './finding.ts';

/**
 * Returns checks of the API server: answer, permissions, clock, whether it is the one of etcd's
 * cluster, and whether it knows this node.
 */
export function kubeChecks(context: Context, node: string | undefined): Check[] {
  if (!context.knowsKube) {
    const line = warn(
      'API server',
      'none is configured',
      'check, node remove and restore need one: --kubeconfig, or "kubeconfig" in the configuration.',
    );
    return [{ name: 'API server', look: () => Promise.resolve([line]) }];
  }
  const check = (name: string, look: (kube: KubeApi) => Promise<Finding>): Check => ({
    name,
    look: async () => [await context.withKube(look)],
  });
  const may = (resource: 'pods' | 'nodes'): Check =>
    check(`API server: list ${resource}`, async (kube) => {
      const probe = await kube.probe(resource);
      return ok(`API server: list ${resource}`, `${kube.server} allows it, in ${tookMs(probe)} ms`);
    });
  return [
    may('pods'),
    may('nodes'),
    check('cluster', async (kube) =>
      judgeCluster(await context.withIpam(({ store }) => identify(store, kube)), kube),
    ),
    check('API server clock', async (kube) => judgeClock('API server clock', await kube.probe('nodes'))),
    ...(node === undefined
      ? []
      : [check('node name', async (kube) => judgeNode(node, await findClusterNode(kube, node)))]),
  ];
}

const tookMs = ({ asked, answered }: Probe): number => answered - asked;

/** Pods keep the addresses that they have by the old name, so they end first. */
const renameText = (old: string): string =>
  `kubectl drain it, cnictl node drain ${old}, then set "node" in the configuration to that name.`;

export function judgeNode(name: string, found: ClusterNode | undefined): Finding {
  const check = 'node name';
  if (!found) {
    return warn(
      check,
      `the cluster has no node '${name}'`,
      `kubectl get nodes tells its name there. ${renameText(name)}`,
    );
  }
  const { node, certain } = found;
  if (!certain) {
    return warn(
      check,
      `the cluster has no node '${name}'; '${node.name}' may be this machine`,
      `If it is: ${renameText(name)}`,
    );
  }
  if (node.ready) return ok(check, `${node.name} is Ready in the cluster`);
  return warn(check, `${node.name} is not Ready`, `kubectl describe node ${node.name}`);
}

export function judgeCluster(identity: Identity, kube: Pick<KubeApi, 'server'>): Finding {
  const check = 'cluster';
  const other = refuseCluster(identity, kube);
  if (other) return fail(check, other.message, other.remedy);
  if (identity.kind === 'untold') {
    return warn(
      check,
      `${kube.server} does not let this user get the namespace kube-system, which tells clusters apart`,
      'Grant it: docs/operations/check-watch.md, "An account for it".',
    );
  }
  if (identity.kind === 'unrecorded')
    return ok(check, `UID ${identity.uid}; the first cnictl check writes it into etcd`);
  return ok(check, 'it is the one whose pods have the addresses in etcd');
}
