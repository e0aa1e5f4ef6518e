import type { KubeApi, Node } from '../../cni/kube/api.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import { NodeDirectory } from '../../ipam/model/node-name.ts';

/** A node as the cluster knows it. */
export interface ClusterNode {
  readonly node: Node;
  /** False when the cluster's name has a domain that ours lacks, or lacks ours. */
  readonly certain: boolean;
}

/**
 * Finds a node of etcd in the cluster: by its name, else by the same name with or without a domain.
 * @returns undefined when the cluster has neither, or forbids to list its nodes
 * @throws KubeError
 */
export async function findClusterNode(kube: KubeApi, name: string): Promise<ClusterNode | undefined> {
  const node = await kube.getNode(name);
  if (node) return { node, certain: true };
  const listed = await listAllowed(kube);
  const found = new NodeDirectory(listed.map((each) => each.name)).find(name);
  const similar = listed.find((each) => each.name === found);
  return similar && { node: similar, certain: false };
}

async function listAllowed(kube: KubeApi): Promise<readonly Node[]> {
  try {
    return await kube.listNodes();
  } catch (error) {
    if (error instanceof KubeError && error.code === 'forbidden') return [];
    throw error;
  }
}
