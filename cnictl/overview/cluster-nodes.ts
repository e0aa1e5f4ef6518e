import type { Node } from '../../cni/kube/api.ts';
import { identifyOwn, toldUid } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { describeError } from '../context/errors.ts';

/** What the API server says of the cluster's nodes. All null where none is configured. */
export interface ClusterNodes {
  readonly server: string | null;
  /** Undefined where they are not known. */
  readonly nodes: readonly Node[] | undefined;
  /** UID of the namespace kube-system; null where it may not be read. */
  readonly cluster: string | null;
  /** Why they are not known. */
  readonly problem: string | null;
}

const NOTHING_KNOWN = { server: null, nodes: undefined, cluster: null } as const;

/** Never throws: an API server that refuses, or is away, leaves the rest of a command as it is. */
export async function askClusterNodes(context: Context): Promise<ClusterNodes> {
  if (!context.knowsKube) return { ...NOTHING_KNOWN, problem: null };
  try {
    return await context.withKube(async (kube) => {
      const identity = await context.withIpam(({ store }) => identifyOwn(store, kube));
      const nodes = await kube.listNodes();
      return { server: kube.server, nodes, cluster: toldUid(identity), problem: null };
    });
  } catch (error) {
    const [problem = ''] = describeError(error)
      .replace(/^cnictl: /, '')
      .split('\n');
    return { ...NOTHING_KNOWN, problem };
  }
}
