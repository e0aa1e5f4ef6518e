import type { KubeApi, Node } from '../../cni/kube/api.ts';
import { KubeError } from '../../cni/kube/errors.ts';
import type { NodeAlias } from '../../ipam/audit/node-alias.ts';
import { NodeDirectory } from '../../ipam/model/node-name.ts';
import type { Looking } from './progress.ts';

/** What the API server's nodes say of the nodes that hold blocks. */
export type Standing =
  | 'known'
  /** It has none of them: another cluster's, or they have other names there. */
  | 'none-known'
  /** It forbids to list nodes. */
  | 'unlisted'
  /** No node holds a block. */
  | 'no-blocks';

/** The nodes that hold blocks, compared with those that the API server has. */
export class ClusterNodes {
  readonly standing: Standing;
  readonly #directory: NodeDirectory;
  readonly #aliased: ReadonlySet<string>;

  /**
   * @param listed undefined when the API server forbids to list them
   * @param holders names of the nodes that hold blocks
   */
  constructor(
    listed: readonly Pick<Node, 'name'>[] | undefined,
    holders: Iterable<string>,
    aliases: readonly NodeAlias[],
  ) {
    this.#directory = new NodeDirectory((listed ?? []).map(({ name }) => name));
    this.#aliased = new Set(aliases.map(({ node }) => node));
    this.standing = listed ? this.#stand([...new Set(holders)], aliases) : 'unlisted';
  }

  #stand(holders: readonly string[], aliases: readonly NodeAlias[]): Standing {
    if (holders.length === 0) return 'no-blocks';
    const isKnown = (name: string): boolean => this.#directory.find(name) !== undefined;
    return holders.some(isKnown) || aliases.some(({ clusterNode }) => isKnown(clusterNode))
      ? 'known'
      : 'none-known';
  }

  /**
   * Returns whether the API server no longer has the node. It may have it by another name: that a
   * living pod proves, or that is the same but for capitals and the domain.
   */
  isGone(node: string): boolean {
    return this.standing === 'known' && !this.#aliased.has(node) && this.#directory.find(node) === undefined;
  }
}

/** Returns undefined, and warns, when the API server forbids to list nodes. @throws KubeError */
export async function listNodes(
  kube: KubeApi,
  { warn, signal }: Omit<Looking, 'progress'>,
): Promise<readonly Node[] | undefined> {
  try {
    return await kube.listNodes(signal && { signal });
  } catch (error) {
    if (!(error instanceof KubeError) || error.code !== 'forbidden') throw error;
    warn(`${kube.server} forbids to list nodes: nothing is said of nodes that are gone`);
    return undefined;
  }
}

export const noneKnownText = (kube: Pick<KubeApi, 'server'>): string =>
  `none of the nodes that hold blocks is a node of ${kube.server}: is it the right cluster, or do they have other names there?`;
