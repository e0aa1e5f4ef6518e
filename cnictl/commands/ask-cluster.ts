import { findClusterNode } from '../context/cluster-node.ts';
import { identifyOwn } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { describeError } from '../context/errors.ts';

/**
 * What the API server reports of a node. `known` is null when no server is configured or answers.
 */
export interface NodeInCluster {
  readonly server: string | null;
  readonly known: boolean | null;
  /** The node's name in the cluster. */
  readonly name: string | null;
  /** False when only the domain tells the two names apart: it may be another machine. */
  readonly certain: boolean | null;
  readonly ready: boolean | null;
  readonly problem: string | null;
}

const NOTHING_KNOWN = { server: null, known: null, name: null, certain: null, ready: null } as const;

/** Never throws. Returns an error in `problem`. */
export async function askCluster(context: Context, name: string): Promise<NodeInCluster> {
  if (!context.knowsKube) return { ...NOTHING_KNOWN, problem: null };
  try {
    return await context.withKube(async (kube) => {
      const { server } = kube;
      await context.withIpam(({ store }) => identifyOwn(store, kube));
      const found = await findClusterNode(kube, name);
      if (!found) return { ...NOTHING_KNOWN, server, known: false, problem: null };
      const { node, certain } = found;
      return { server, known: true, name: node.name, certain, ready: node.ready, problem: null };
    });
  } catch (error) {
    const [first = ''] = describeError(error)
      .replace(/^cnictl: /, '')
      .split('\n');
    return { ...NOTHING_KNOWN, problem: first };
  }
}

/** Returns the names of the cluster's nodes, as far as it tells them: for a hint. Never throws. */
export async function clusterNodes(context: Context): Promise<string[]> {
  if (!context.knowsKube) return [];
  try {
    return await context.withKube(async (kube) => (await kube.listNodes()).map(({ name }) => name));
  } catch {
    return [];
  }
}
