import { mayBeSameNode } from '../model/node-name.ts';
import { podNameOf, type AuditedPod } from './judge.ts';

/** One machine with two names, which a living pod proves: a pod never changes its node. */
export interface NodeAlias {
  /** The node of the blocks in etcd. */
  readonly node: string;
  /** The node on which the API server says that the pod runs. */
  readonly clusterNode: string;
  /** `namespace/name` of one such pod. */
  readonly pod: string;
}

/**
 * Collects aliases. A name with a domain and the same name without one are no alias: they are
 * known to be of one machine.
 */
export class NodeAliases {
  readonly #found = new Map<string, NodeAlias>();

  /** @param node the node in whose block the living pod's own allocation is */
  add(node: string, pod: Pick<AuditedPod, 'namespace' | 'name' | 'nodeName'>): void {
    const { nodeName: clusterNode } = pod;
    // Nearly every pod ends here: the check calls this for half a million.
    if (clusterNode === undefined || clusterNode === node || mayBeSameNode(clusterNode, node)) return;
    const key = `${node} ${clusterNode}`;
    if (!this.#found.has(key)) this.#found.set(key, { node, clusterNode, pod: podNameOf(pod) });
  }

  get all(): readonly NodeAlias[] {
    return [...this.#found.values()];
  }
}
