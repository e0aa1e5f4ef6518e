import { didYouMean } from '../../ipam/model/nearest.ts';
import { isSameNodeName } from '../../ipam/model/node-name.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { pastNodes } from '../../ipam/query/known-names.ts';
import { hasTraceOf, nodeInEtcd } from '../../ipam/query/node-view.ts';
import { listBlocks, type BlockFilter } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { askCluster, clusterNodes, type NodeInCluster } from './ask-cluster.ts';
import { listOfNode, nodesHolding, nodesText } from './node-blocks.ts';

/** What the API server says of a node, and the error where neither it nor etcd knows the node. */
interface Knowledge {
  readonly found: NodeInCluster;
  readonly unknown: CommandError | undefined;
  /** Whether the history knows it: then it was removed. */
  readonly isPast: boolean;
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
  if (found.known === true || (await hasTraceOf(ipam, name)))
    return { found, unknown: undefined, isPast: false };
  const { blocks } = await listBlocks(ipam);
  const holders = nodesHolding(blocks);
  // A block whose index entry is lost is a trace too.
  if (holders.includes(name)) return { found, unknown: undefined, isPast: false };
  const past = await pastNodes(ipam);
  const isPast = [...past].some((each) => isSameNodeName(each, name));
  const similar = didYouMean(name, isPast ? [] : [...holders, ...past, ...(await clusterNodes(context))]);
  const ofEtcd = isPast ? 'only past addresses' : 'nothing';
  const unknown = new CommandError(
    `node '${name}' is not known: etcd has ${ofEtcd} of it, and ${clusterText(found)}; nodes that hold blocks: ${nodesText(holders)}`,
    `${similar}Look for its name: cnictl node list; kubectl get nodes.${orElse}`,
  );
  return { found, unknown, isPast };
}

/**
 * As {@link requireKnownNode}, for commands that put no mark on a node: also one that was removed
 * has its name rightly.
 * @throws CommandError; IpamError `store-…`
 */
export async function requireNodeEver(
  context: Context,
  ipam: Ipam,
  name: string,
  orElse = '',
): Promise<void> {
  if (await hasTraceOf(ipam, name)) return;
  const { unknown, isPast } = await lookUpNode(context, ipam, name, orElse);
  if (unknown && !isPast) throw unknown;
}

/**
 * Returns the blocks of the filter. When its node holds none, returns also the sorted nodes that
 * hold blocks.
 * @throws CommandError for a node that nothing knows; IpamError `store-…`
 */
export async function blocksOf(
  context: Context,
  ipam: Ipam,
  filter: BlockFilter,
): ReturnType<typeof listOfNode> {
  if (filter.node === undefined) return await listOfNode(ipam, filter);
  const node = await nodeInEtcd(ipam, filter.node);
  const page = await listOfNode(ipam, { ...filter, node });
  if (page.nodes) await requireNodeEver(context, ipam, node);
  return page;
}

function clusterText({ server, problem }: NodeInCluster): string {
  if (problem !== null) return `the API server could not be asked (${problem})`;
  return server === null ? 'no API server is configured' : `${server} has no such node`;
}
