import { IpamError } from '../../ipam/model/errors.ts';
import { drainMarks } from '../../ipam/node/drain.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { listNames } from '../../ipam/node/name-records.ts';
import { listBlocks, type BlockView } from '../../ipam/query/views.ts';
import type { ReadVersions } from '../../ipam/records/agent-report.ts';
import { blockVersion } from '../../ipam/records/block-record.ts';
import { rangeVersion } from '../../ipam/records/range-record.ts';
import { ruleVersion } from '../../ipam/records/rule-record.ts';
import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { readRanges } from '../../ipam/store/ranges.ts';
import { readRules, type RuleRecords } from '../../ipam/store/rules.ts';
import type { Store } from '../../ipam/store/store.ts';
import type { Context } from '../context/context.ts';
import { askClusterNodes, type ClusterNodes } from './cluster-nodes.ts';
import { overviewOf, type NodeFacts, type NodeOverview } from './nodes.ts';

export interface NodesAtAGlance {
  readonly nodes: readonly NodeOverview[];
  readonly cluster: ClusterNodes;
  readonly unreadable: readonly UnreadableRecord[];
}

/** Asks etcd and the API server at once. @throws IpamError `store-…` */
export async function gatherOverview(context: Context): Promise<NodesAtAGlance> {
  const [{ unreadable, ...facts }, cluster] = await Promise.all([
    context.withIpam(readNodeFacts),
    askClusterNodes(context),
  ]);
  const nodes = overviewOf({ ...facts, cluster: cluster.nodes, now: context.world.now() });
  return { nodes, cluster, unreadable };
}

type InEtcd = Omit<NodeFacts, 'cluster' | 'now'> & { readonly unreadable: readonly UnreadableRecord[] };

/** Reads what etcd knows of all nodes. @throws IpamError `store-…` */
export async function readNodeFacts(ipam: Ipam): Promise<InEtcd> {
  const { blocks, unreadable } = await listBlocks(ipam);
  return {
    blocks,
    unreadable,
    draining: await drainMarks(ipam),
    names: await listNames(ipam.store),
    needed: await neededVersions(ipam, blocks),
  };
}

/** Returns the newest version of each kind of record, as far as this user may read them. */
async function neededVersions(ipam: Ipam, blocks: readonly BlockView[]): Promise<ReadVersions> {
  const { ranges } = await readRanges(ipam.store);
  const { rules } = await readRulesIfMay(ipam.store);
  return {
    ranges: newest(ranges.map(({ range }) => rangeVersion(range))),
    blocks: newest(blocks.map(({ block }) => blockVersion(block))),
    rules: newest(rules.map(ruleVersion)),
  };
}

/** A user who may not read them has none of their trouble either. */
export async function readRulesIfMay(store: Store): Promise<RuleRecords> {
  try {
    return await readRules(store);
  } catch (error) {
    if (error instanceof IpamError && error.code === 'store-denied') return { rules: [], unreadable: [] };
    throw error;
  }
}

const newest = (versions: readonly number[]): number => versions.reduce((a, b) => Math.max(a, b), 1);
