import type { Node } from '../../cni/kube/api.ts';
import { nodeOf, usedSlots } from '../../ipam/model/block.ts';
import { ruleOf } from '../../ipam/model/holder.ts';
import { NodeDirectory } from '../../ipam/model/node-name.ts';
import type { NameView } from '../../ipam/node/name-records.ts';
import type { BlockView } from '../../ipam/query/views.ts';
import type { AgentReport, ReadVersions } from '../../ipam/records/agent-report.ts';
import { formatAge } from '../context/durations.ts';
import { plural } from '../render/plural.ts';
import { isOlderThan, newestOf, unreadFor } from './versions.ts';
import { byUrgency, type NodeWarning } from './warning.ts';

/** How full a node's own blocks are. */
export interface NodeUsage {
  readonly name: string;
  readonly blocks: number;
  readonly capacity: number;
  readonly allocated: number;
  readonly cooling: number;
  readonly ranges: readonly string[];
}

/** What the API server says of a node: it has it, or not; undefined: nobody knows. */
export type InCluster = { readonly name: string; readonly ready: boolean } | 'absent' | undefined;

/** One node at a glance. */
export interface NodeOverview extends NodeUsage {
  readonly state: 'active' | 'draining';
  /** Milliseconds since 1970. Undefined also where the mark cannot be read. */
  readonly drainingSince: number | undefined;
  /** Attachments on the node, also those with an address of another node's block. */
  readonly attachments: number;
  /** Addresses of the node's attachments that wait to be cleared away. */
  readonly condemned: number;
  readonly view: NameView | undefined;
  readonly cluster: InCluster;
  readonly warnings: readonly NodeWarning[];
}

export interface NodeFacts {
  readonly blocks: readonly BlockView[];
  readonly draining: ReadonlyMap<string, number | undefined>;
  readonly names: ReadonlyMap<string, NameView>;
  /** Undefined where the API server was not asked, or gave no answer. */
  readonly cluster: readonly Node[] | undefined;
  /** The newest version of the records in etcd. */
  readonly needed: ReadVersions;
  readonly now: number;
}

/** A drain takes minutes. After this time it may have been forgotten, in milliseconds. */
const LONG_DRAIN_MS = 86_400_000;

/** Returns the nodes that hold blocks, by name. */
export function gatherNodes(blocks: readonly BlockView[]): NodeUsage[] {
  const nodes = new Map<string, NodeUsage>();
  for (const { block, counts } of blocks.filter((view) => ruleOf(view.block) === undefined)) {
    const before = nodes.get(block.node);
    nodes.set(block.node, {
      name: block.node,
      blocks: (before?.blocks ?? 0) + 1,
      capacity: (before?.capacity ?? 0) + counts.capacity,
      allocated: (before?.allocated ?? 0) + counts.used,
      cooling: (before?.cooling ?? 0) + counts.cooling,
      ranges: [...new Set([...(before?.ranges ?? []), block.range])].sort(),
    });
  }
  return [...nodes.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

const withoutBlocks = (name: string): NodeUsage => ({
  name,
  blocks: 0,
  capacity: 0,
  allocated: 0,
  cooling: 0,
  ranges: [],
});

interface OnNode {
  readonly attachments: Set<string>;
  condemned: number;
}

/**
 * Returns the attachments of each node, whichever node holds the blocks of their addresses. One
 * with an address of each family counts once.
 */
function attachmentsOf(blocks: readonly BlockView[]): ReadonlyMap<string, OnNode> {
  const nodes = new Map<string, OnNode>();
  for (const { block } of blocks)
    for (const { slot } of usedSlots(block)) {
      const node = nodeOf(block, slot);
      const known = nodes.get(node) ?? { attachments: new Set<string>(), condemned: 0 };
      known.attachments.add(`${slot.owner.containerId} ${slot.owner.ifname}`);
      if (slot.condemned) known.condemned++;
      nodes.set(node, known);
    }
  return nodes;
}

/** Returns every node of which etcd has a record, by name, with what is amiss with it. */
export function overviewOf(facts: NodeFacts): NodeOverview[] {
  const { blocks, draining, names, cluster, needed, now } = facts;
  const usages = new Map(gatherNodes(blocks).map((usage) => [usage.name, usage]));
  const onNodes = attachmentsOf(blocks);
  const known = [...new Set([...usages.keys(), ...draining.keys(), ...onNodes.keys(), ...names.keys()])];
  const find = clusterFinder(cluster, known);
  const reports = [...names.values()].flatMap(({ alive }) => alive?.record.agent ?? []);
  const fleet: Fleet = {
    hasAgents: [...names.values()].some(({ alive }) => alive !== undefined),
    newest: newestOf(reports.map(({ version }) => version)),
    needed,
    now,
  };
  return known.sort().map((name) => {
    const on = onNodes.get(name);
    const facts = {
      ...(usages.get(name) ?? withoutBlocks(name)),
      state: draining.has(name) ? ('draining' as const) : ('active' as const),
      drainingSince: draining.get(name),
      attachments: on?.attachments.size ?? 0,
      condemned: on?.condemned ?? 0,
      view: names.get(name),
      cluster: find(name),
    };
    return { ...facts, warnings: warningsOf(facts, fleet) };
  });
}

/**
 * A server that has none of our nodes may be another cluster's: then nothing is known of any. One
 * whose name differs only by the domain counts as the node: this is for display.
 */
function clusterFinder(
  cluster: readonly Node[] | undefined,
  known: readonly string[],
): (name: string) => InCluster {
  if (!cluster) return () => undefined;
  const directory = new NodeDirectory(cluster.map(({ name }) => name));
  const byName = new Map(cluster.map((node) => [node.name, node]));
  const find = (name: string): Node | undefined => byName.get(directory.find(name) ?? '');
  if (!known.some((name) => find(name) !== undefined)) return () => undefined;
  return (name) => {
    const node = find(name);
    return node ? { name: node.name, ready: node.ready } : 'absent';
  };
}

/** What is known of all nodes together. */
interface Fleet {
  /** A cluster may run without agents: nothing is missing there. */
  readonly hasAgents: boolean;
  readonly newest: string | undefined;
  readonly needed: ReadVersions;
  readonly now: number;
}

export const reportOf = (view: NameView | undefined): AgentReport | undefined => view?.alive?.record.agent;

function warningsOf(node: Omit<NodeOverview, 'warnings'>, fleet: Fleet): NodeWarning[] {
  const { view, state, drainingSince, condemned, cluster } = node;
  const warnings: NodeWarning[] = [
    ...(view?.problems ?? []).map((detail): NodeWarning => ({ kind: 'unreadable', detail })),
  ];
  const say = (kind: NodeWarning['kind'], detail: string): void => void warnings.push({ kind, detail });
  if (view?.alive) warnings.push(...agentWarnings(view, view.alive.record.agent, fleet));
  else if (fleet.hasAgents) say('silent', silentText(view, fleet.now));
  if (cluster === 'absent') say('gone', plural(node.blocks, 'block'));
  else if (cluster?.ready === false) say('not-ready', plural(node.attachments, 'attachment'));
  if (condemned > 0) say('condemned', plural(condemned, 'address', 'addresses'));
  const drainedMs = fleet.now - (drainingSince ?? fleet.now);
  if (state === 'draining' && drainedMs > LONG_DRAIN_MS) say('draining', `since ${formatAge(drainedMs)}`);
  return warnings.sort(byUrgency);
}

function agentWarnings(
  { owner, alive }: NameView,
  report: AgentReport | undefined,
  { newest, needed }: Fleet,
): NodeWarning[] {
  const warnings: NodeWarning[] = [];
  const say = (kind: NodeWarning['kind'], detail: string): void => void warnings.push({ kind, detail });
  const machine = owner?.record.machine?.id;
  if (machine !== undefined && alive !== undefined && alive.record.machine !== machine)
    say('other-machine', `machine ${alive.record.machine}, not ${machine}`);
  const version = report?.version ?? 'version not told';
  const unread = unreadFor(report, needed);
  if (unread.length > 0) say('cannot-read', `${version}: ${unread.join(', ')}`);
  if (isOlderThan(report?.version, newest)) say('older', `${version}, newest ${newest ?? ''}`);
  if (!report) return warnings;
  if (!report.healthy) say('unhealthy', report.reasons[0] ?? 'no reason told');
  if (report.plugin !== undefined && report.plugin !== report.version)
    say('plugin', `plugin ${report.plugin}, agent ${report.version}`);
  if (report.pending !== undefined && report.pending > 0) say('pending', plural(report.pending, 'teardown'));
  return warnings;
}

function silentText(view: NameView | undefined, now: number): string {
  const at = view?.owner?.record.at;
  return at === undefined
    ? 'nothing was ever written under its name'
    : `last write ${formatAge(now - at)} ago`;
}
