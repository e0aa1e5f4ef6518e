import type { Ipam } from '../../ipam/node/ipam.ts';
import { hasTraceOf } from '../../ipam/query/node-view.ts';
import { listBlocks } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { askCluster, type NodeInCluster } from './ask-cluster.ts';
import { nodesText } from './block.ts';

/**
 * As {@link knownNode}, but asks the API server only about a node that etcd does not know.
 */
export async function requireKnownNode(
  context: Context,
  ipam: Ipam,
  name: string,
  orElse = '',
): Promise<void> {
  if (!(await hasTraceOf(ipam, name))) await knownNode(context, ipam, name, orElse);
}

/**
 * Refuses a node name that neither etcd nor the cluster knows: it is a typing error more often than
 * a node that has had no pod yet.
 * @param name as etcd spells it
 * @param orElse what an operator may do who means just this name
 * @returns what the API server says of the node
 * @throws CommandError; IpamError `store-…`
 */
export async function knownNode(
  context: Context,
  ipam: Ipam,
  name: string,
  orElse = '',
): Promise<NodeInCluster> {
  const found = await askCluster(context, name);
  if (found.known === true || (await hasTraceOf(ipam, name))) return found;
  const { blocks } = await listBlocks(ipam);
  const holders = [...new Set(blocks.map(({ block }) => block.node))].sort();
  // A block whose index entry is lost is a trace too.
  if (holders.includes(name)) return found;
  throw new CommandError(
    `node '${name}' is not known: etcd has nothing of it, and ${clusterText(found)}; nodes that hold blocks: ${nodesText(holders)}`,
    `Look for its name: cnictl node list; kubectl get nodes.${orElse}`,
  );
}

function clusterText({ server, problem }: NodeInCluster): string {
  if (problem !== null) return `the API server could not be asked (${problem})`;
  return server === null ? 'no API server is configured' : `${server} has no such node`;
}
