import { IpamError } from '../../ipam/model/errors.ts';
import { drainMarks } from '../../ipam/node/drain.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { listNames } from '../../ipam/node/name-records.ts';
import { listBlocks } from '../../ipam/query/views.ts';
import type { ReadVersions } from '../../ipam/records/agent-report.ts';
import { blockVersion } from '../../ipam/records/block-record.ts';
import { rangeVersion } from '../../ipam/records/range-record.ts';
import { ruleVersion } from '../../ipam/records/rule-record.ts';
import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { readRanges, type RangeRecords } from '../../ipam/store/ranges.ts';
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

/** What etcd knows of all nodes, and what it was told by. */
export interface InEtcd extends Omit<NodeFacts, 'cluster' | 'now'> {
  /** Also of ranges. */
  readonly unreadable: readonly UnreadableRecord[];
  readonly ranges: RangeRecords;
  readonly rules: RuleRecords;
}

/** Reads what etcd knows of all nodes. @throws IpamError `store-…` */
export async function readNodeFacts(ipam: Ipam): Promise<InEtcd> {
  const { blocks, unreadable } = await listBlocks(ipam);
  const draining = await drainMarks(ipam);
  const names = await listNames(ipam.store);
  const ranges = await readRanges(ipam.store);
  const rules = await readRulesIfMay(ipam.store);
  const needed: ReadVersions = {
    ranges: newest(ranges.ranges.map(({ range }) => rangeVersion(range))),
    blocks: newest(blocks.map(({ block }) => blockVersion(block))),
    rules: newest(rules.rules.map(ruleVersion)),
  };
  return { blocks, unreadable, draining, names, needed, ranges, rules };
}

/** A user who may not read them has none of their trouble either. */
async function readRulesIfMay(store: Store): Promise<RuleRecords> {
  try {
    return await readRules(store);
  } catch (error) {
    if (error instanceof IpamError && error.code === 'store-denied') return { rules: [], unreadable: [] };
    throw error;
  }
}

const newest = (versions: readonly number[]): number => versions.reduce((a, b) => Math.max(a, b), 1);
