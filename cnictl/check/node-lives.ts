import type { KubeApi, Node } from '../../cni/kube/api.ts';
import { NodeDirectory } from '../../ipam/model/node-name.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { aliveKey, decodeAliveRecord } from '../../ipam/records/alive-record.ts';
import type { Entry } from '../../ipam/records/transaction.ts';
import { readRecord } from '../../ipam/records/unreadable.ts';
import { listNodes } from './nodes.ts';
import type { Looking } from './progress.ts';

/** Whether somebody on the node can clear away what leaked there. */
export type NodeLife =
  /** Its agent lives and does it. */
  | 'agent'
  /** Its agent lives, but its settings turn reconciling off. */
  | 'idle'
  /** Kubernetes says that the node is Ready, but no agent lives there. */
  | 'ready'
  /** No agent lives there, and the API server forbids to list nodes: nothing proves it silent. */
  | 'unlisted'
  /** No agent lives there, and Kubernetes has no such node, or says that it is not Ready. */
  | 'silent';

/** Tells which nodes live, by the agents' keys in etcd and the nodes of the API server. */
export class NodeLives {
  readonly #directory: NodeDirectory;
  readonly #ready: ReadonlySet<string>;
  readonly #isListed: boolean;

  /** @param listed undefined when the API server forbids to list nodes */
  constructor(listed: readonly Pick<Node, 'name' | 'ready'>[] | undefined) {
    this.#isListed = listed !== undefined;
    this.#directory = new NodeDirectory((listed ?? []).map(({ name }) => name));
    this.#ready = new Set((listed ?? []).filter(({ ready }) => ready).map(({ name }) => name));
  }

  /**
   * Looks for the node's agent now.
   * @throws IpamError `store-…`
   */
  async of({ store }: Pick<Ipam, 'store'>, node: string): Promise<NodeLife> {
    const [alive] = await store.get([aliveKey(node)]);
    if (alive) return isIdle(alive) ? 'idle' : 'agent';
    if (!this.#isListed) return 'unlisted';
    const name = this.#directory.find(node);
    return name !== undefined && this.#ready.has(name) ? 'ready' : 'silent';
  }
}

/** @throws KubeError */
export const nodeLives = async (kube: KubeApi, { signal }: Pick<Looking, 'signal'>): Promise<NodeLives> =>
  new NodeLives(await listNodes(kube, { warn: () => undefined, ...(signal && { signal }) }));

/** What cannot be read may reconcile. */
function isIdle(entry: Entry): boolean {
  const read = readRecord(entry, decodeAliveRecord);
  return 'value' in read && read.value.idle === true;
}
