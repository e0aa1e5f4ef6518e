import { mayBeSameNode, NodeDirectory } from '../../ipam/model/node-name.ts';
import { CommandError } from '../context/errors.ts';

/** Whether the node is gone for good, according to the API server. */
export type Presence =
  | { readonly kind: 'gone' }
  /** The cluster has the node, by the name `as`. */
  | { readonly kind: 'present'; readonly as: string; readonly ready: boolean }
  /** The cluster has a node whose name differs only by the domain. */
  | { readonly kind: 'similar'; readonly as: string }
  /** The server knows none of our nodes, so it may belong to another cluster. */
  | { readonly kind: 'unproven'; readonly others: number };

/**
 * Judges from the nodes that the API server lists. A missing node proves nothing when the server
 * lists none of our other nodes. A node is present by another name when a pod that has one of its
 * addresses runs there.
 * @param ours names of all nodes that have an index in etcd
 * @param runsOn names of the nodes where living pods with the node's addresses run
 */
export function presenceOf(
  name: string,
  ours: readonly string[],
  listed: readonly { readonly name: string; readonly ready: boolean }[],
  runsOn: readonly string[] = [],
): Presence {
  const directory = new NodeDirectory(listed.map((node) => node.name));
  const as = directory.same(name) ?? runsOn.flatMap((each) => directory.same(each) ?? [])[0];
  if (as !== undefined)
    return { kind: 'present', as, ready: listed.some((node) => node.name === as && node.ready) };
  const similar = directory.find(name);
  if (similar !== undefined) return { kind: 'similar', as: similar };
  const others = ours.filter((each) => each !== name);
  const proven =
    others.length === 0 ? listed.length > 0 : others.some((each) => directory.find(each) !== undefined);
  return proven ? { kind: 'gone' } : { kind: 'unproven', others: others.length };
}

/**
 * Returns why the node's blocks stay; undefined if they may be freed.
 * @param force the operator says that the API server's silence, or a similar name, does not count
 */
export function refuseRemoval(
  name: string,
  presence: Presence,
  server: string,
  force: boolean,
): CommandError | undefined {
  switch (presence.kind) {
    case 'gone':
      return undefined;
    case 'present':
      return refusePresent(name, presence, server);
    case 'similar':
      if (force) return undefined;
      return new CommandError(
        `${server} has a node '${presence.as}', which may be node '${name}': nothing was changed`,
        `Where both are one machine, its addresses are in use. --force is for two machines of which '${name}' is gone.`,
      );
    case 'unproven':
      if (force) return undefined;
      return new CommandError(
        `${server} has none of the nodes that hold blocks, so it may be another cluster's: nothing was changed`,
        'Name the kubeconfig of this cluster; --force is for a cluster that really has none of them left.',
      );
  }
}

function refusePresent(
  name: string,
  { as, ready }: Extract<Presence, { kind: 'present' }>,
  server: string,
): CommandError {
  const state = ready ? 'Ready' : 'not Ready';
  if (mayBeSameNode(as, name)) {
    return new CommandError(
      `node '${name}' is in the cluster at ${server} (${state}): its blocks stay`,
      `Empty it with \`cnictl node drain ${name}\`; when the machine is gone for good, \`kubectl delete node ${as}\` first.`,
    );
  }
  return new CommandError(
    `node '${name}' is in the cluster at ${server} by the name '${as}' (${state}), where a pod runs with one of its addresses: its blocks stay`,
    'One machine has two names: `cnictl doctor` on it tells what to do.',
  );
}
