import type { Ipam } from '../../ipam/node/ipam.ts';
import { hasTraceOf } from '../../ipam/query/node-view.ts';
import { listBlocks } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { askCluster, type NodeInCluster } from './ask-cluster.ts';
import { nodesText } from './block.ts';

/** What the API server says of a node, and the error where neither it nor etcd knows the node. */
interface Knowledge {
  readonly found: NodeInCluster;
  readonly unknown: CommandError | undefined;
}

/**
 * Refuses a node name that neither etcd nor the cluster knows: it is a typing error more often than
 * a node that has had no pod yet. Asks the API server only about a node that etcd does not know.
 * @param name as etcd spells it
 * @param orElse what an operator may do who means just this name
 * @throws CommandError; IpamError `store-…`
 */
export async function requireKnownNode(
  context: Context,
  ipam: Ipam,
  name: string,
  orElse = '',
): Promise<void> {
  if (await hasTraceOf(ipam, name)) return;
  const { unknown } = await lookUpNode(context, ipam, name, orElse);
  if (unknown) throw unknown;
}

/**
 * Asks the API server about a node, and etcd whether it has a trace of it.
 * @throws IpamError `store-…`
 */
export async function lookUpNode(
  context: Context,
  ipam: Ipam,
  name: string,
  orElse = '',
): Promise<Knowledge> {
  const found = await askCluster(context, name);
  if (found.known === true || (await hasTraceOf(ipam, name))) return { found, unknown: undefined };
  const { blocks } = await listBlocks(ipam);
  const holders = [...new Set(blocks.map(({ block }) => block.node))].sort();
  // A block whose index entry is lost is a trace too.
  if (holders.includes(name)) return { found, unknown: undefined };
  const unknown = new CommandError(
    `node '${name}' is not known: etcd has nothing of it, and ${clusterText(found)}; nodes that hold blocks: ${nodesText(holders)}`,
    `Look for its name: cnictl node list; kubectl get nodes.${orElse}`,
  );
  return { found, unknown };
}

function clusterText({ server, problem }: NodeInCluster): string {
  if (problem !== null) return `the API server could not be asked (${problem})`;
  return server === null ? 'no API server is configured' : `${server} has no such node`;
}
