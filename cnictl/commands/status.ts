import { lostText, lostTotals, stillLost } from '../../ipam/audit/lost.ts';
import { familyName, formatCidr, type Family } from '../../ipam/model/address.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { BLOCK_PROBE, checkWritable } from '../../ipam/node/writable.ts';
import type { Forecasts } from '../../ipam/query/forecasts.ts';
import { usageOf, type RangeUsage, type RangeUsages } from '../../ipam/query/range-usage.ts';
import { readSetBack } from '../../ipam/query/set-back.ts';
import { RANGES } from '../../ipam/records/keys.ts';
import type { Lost, LostNode } from '../../ipam/records/lost-record.ts';
import type { Store } from '../../ipam/store/store.ts';
import { readLost } from '../../ipam/store/lost.ts';
import { isDistrusted, type SetBack } from '../../ipam/records/set-back-record.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Context } from '../context/context.ts';
import { FORGOTTEN, setBackText } from '../doctor/records.ts';
import { agentFigures, versionsText, type AgentFigures } from '../overview/agents.ts';
import { askClusterNodes, type ClusterNodes } from '../overview/cluster-nodes.ts';
import { clusterWarnings } from '../overview/cluster-warnings.ts';
import { etcdVersions, gatherEtcd, type EtcdStatus } from '../overview/etcd.ts';
import { readNodeFacts, type InEtcd } from '../overview/gather.ts';
import { gatherNodes, overviewOf, type NodeOverview, type NodeUsage } from '../overview/nodes.ts';
import type { Warning } from '../overview/warning.ts';
import { renderCount } from '../render/bar.ts';
import { painted, type Cell } from '../render/cell.ts';
import { adviceText, clusterForecastJson, familyFields, forecastJson } from '../render/forecast.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { renderFields } from '../render/table.ts';
import { forecastsFor, rangeJson, rangeTable } from './range.ts';

/** `status`: the cluster at a glance: etcd, API server, agents, nodes, ranges, warnings. */
export async function status(context: Context): Promise<number> {
  const { endpoints, prefix } = etcdSettings(context.settings.etcd);
  const [found, kube] = await Promise.all([gather(context), askClusterNodes(context)]);
  const { latencyMs, problem, usages: ranges, unreadable, lost, setBack, facts, forecasts } = found;
  const etcd = await gatherEtcd(context, latencyMs);
  for (const { reason } of lost.unreadable) context.warn(reason);
  const now = context.world.now();
  const nodes = overviewOf({ ...facts, cluster: kube.nodes, now });
  const agents = agentFigures(nodes);
  const warnings = clusterWarnings({
    ...{ writes: problem, etcd: etcd.findings, lost, usages: ranges, setBack, unreadable },
    ...{ nodes, rules: facts.rules, kubernetes: kube.problem, now },
  });
  const known = ranges.map(({ range }) => range);
  const holding = gatherNodes(facts.blocks);
  const data = {
    etcd: { endpoints, prefix, latencyMs, problem, ...etcdJson(etcd) },
    kubernetes: kubeJson(kube, nodes),
    totals: { ipv4: totalOf(ranges, 4), ipv6: totalOf(ranges, 6) },
    nodes: holding.length,
    nodeStates: nodeStates(nodes),
    agents,
    ranges: ranges.map((usage) =>
      rangeJson(usage, forecastJson(forecasts, forecasts.ranges.get(usage.range.name), now)),
    ),
    forecast: clusterForecastJson(forecasts, known, now),
    unreadable,
    lost: lost.nodes.map(lostJson),
    setBack: setBack ? { ...setBack, at: new Date(setBack.at).toISOString() } : null,
    warnings,
  };
  context.print(data, () => {
    const { paint } = context;
    const alarm = (text: string): Cell => painted(paint.red(printable(text)));
    const fields = renderFields(
      [
        ['etcd', painted(`${printable(endpoints.join(', '))} ${paint.green('answers')} in ${latencyMs} ms`)],
        ['Members', etcdText(etcd, endpoints.length)],
        ...(problem === null ? [] : [['Writes', alarm(problem)] satisfies [string, Cell]]),
        ['Kubernetes', kube.problem === null ? kubeText(kube, nodes) : alarm(kube.problem)],
        ['Agents', agentsText(agents)],
        ...(agents.alive === 0 ? [] : [['Versions', versionsText(agents.versions)] satisfies [string, Cell]]),
        ['Nodes', nodesText(holding, nodes)],
        ...familiesOf(ranges).map((family) => addressField(family, totalOf(ranges, family))),
        ...familyFields(forecasts, forecasts.families, now),
        ...lostTotals(lost).map((total): [string, Cell] => ['Forgotten', alarm(lostText(total))]),
        ...(setBack && isDistrusted(setBack, now)
          ? [
              ['Set back', painted(paint.yellow(printable(setBackText(setBack, now))))] satisfies [
                string,
                Cell,
              ],
            ]
          : []),
      ],
      paint,
    );
    const isForgotten = lost.nodes.length > 0;
    const none = unreadable.length > 0 ? 'No range can be read' : NO_RANGE;
    const hint = isForgotten ? `${FORGOTTEN}\n` : ranges.length === 0 ? `${none}\n` : '';
    return [
      fields,
      ...(hint === '' ? [] : [hint]),
      ...(ranges.length > 0
        ? [`${rangeTable(context, ranges, forecasts)}${paint.dim(adviceText(forecasts, known, now))}`]
        : []),
      ...(warnings.length > 0 ? [warningLines(warnings, paint)] : []),
    ].join('\n');
  });
  context.warnUnreadable(unreadable);
  return kube.problem === null && problem === null ? 0 : 2;
}

/** Each warning with what to do, the most urgent first. */
function warningLines(warnings: readonly Warning[], paint: Context['paint']): string {
  const lines = warnings.map(({ level, text, remedy }) => {
    const colour = level === 'fail' ? paint.red : paint.yellow;
    return `  ${colour(level)}  ${printable(text)}\n        ${paint.dim(`→ ${printable(remedy)}`)}\n`;
  });
  return `${paint.bold('Warnings:')}\n${lines.join('')}`;
}

function etcdJson({ endpoints, members, alarms }: EtcdStatus): object {
  return {
    members,
    alarms,
    versions: etcdVersions({ endpoints }),
    answers: endpoints.map(({ endpoint, status, finding }) => ({
      endpoint,
      version: status?.version ?? null,
      dbBytes: status?.dbBytes ?? null,
      hasLeader: status?.hasLeader ?? null,
      problem: finding.level === 'ok' ? null : finding.detail,
    })),
  };
}

function etcdText(etcd: EtcdStatus, configured: number): string {
  const { members, alarms, endpoints } = etcd;
  const bytes = Math.max(0, ...endpoints.map(({ status }) => status?.dbBytes ?? 0));
  const versions = etcdVersions(etcd);
  const parts = [
    members === null ? `${plural(configured, 'endpoint')} configured` : `${members}`,
    ...(versions.length > 0
      ? [`version ${versions.join(' and ')}`, `database ${Math.ceil(bytes / 1024 ** 2)} MB`]
      : ['version and size told to root only']),
    ...(alarms === null ? [] : [alarms.length === 0 ? 'no alarm' : `alarms: ${alarms.join(', ')}`]),
  ];
  return parts.join(', ');
}

/** The cluster's nodes of which etcd has no record: no agent has run there yet. */
function withoutRecord({ nodes }: ClusterNodes, known: readonly NodeOverview[]): string[] {
  const ours = new Set(known.flatMap(({ cluster }) => (typeof cluster === 'object' ? [cluster.name] : [])));
  return (nodes ?? []).map(({ name }) => name).filter((name) => !ours.has(name));
}

function kubeJson(kube: ClusterNodes, known: readonly NodeOverview[]): object {
  const { server, nodes, cluster, problem } = kube;
  return {
    ...{ server, nodes: nodes?.length ?? null, cluster, problem },
    ready: nodes?.filter(({ ready }) => ready).length ?? null,
    withoutRecord: nodes ? withoutRecord(kube, known) : null,
  };
}

function kubeText(kube: ClusterNodes, known: readonly NodeOverview[]): string {
  const { server, nodes = [] } = kube;
  if (server === null) return 'not configured';
  const ready = nodes.filter((node) => node.ready).length;
  const without = withoutRecord(kube, known).length;
  const rest = without === 0 ? '' : `, ${without} unknown to etcd`;
  return `${server}: answers, ${plural(nodes.length, 'node')}, ${ready} Ready${rest}`;
}

function agentsText({ alive, healthy, unhealthy, untold, silent }: AgentFigures): string {
  if (alive === 0) return 'none is known to be alive';
  const parts = [
    `${healthy} of ${alive + silent} healthy`,
    ...(unhealthy > 0 ? [`${unhealthy} not well`] : []),
    ...(untold > 0 ? [`${untold} alive without telling its health`] : []),
    ...(silent > 0 ? [`${silent} silent`] : []),
  ];
  return parts.join(', ');
}

interface NodeStates {
  readonly known: number;
  readonly active: number;
  readonly draining: number;
  readonly silent: number;
}

function nodeStates(nodes: readonly NodeOverview[]): NodeStates {
  const count = (of: (node: NodeOverview) => boolean): number => nodes.filter(of).length;
  return {
    known: nodes.length,
    active: count(({ state }) => state === 'active'),
    draining: count(({ state }) => state === 'draining'),
    silent: count(({ view }) => view?.alive === undefined),
  };
}

const NO_RANGE = 'No ranges yet: cnictl range add; in a cluster that had ranges: cnictl restore FILE';

const lostJson = ({ node, at, subnets }: LostNode): object => ({
  node,
  at: new Date(at).toISOString(),
  subnets: subnets.map(({ cidr, attachments }) => ({ cidr: formatCidr(cidr), attachments })),
});

interface Total {
  readonly capacity: number;
  readonly allocated: number;
  readonly free: number;
}

/**
 * Sums one family only. An IPv6 range has more addresses than all of IPv4 and would hide a
 * shortage.
 */
function totalOf(ranges: readonly RangeUsage[], family: Family): Total {
  const sum = (of: (usage: RangeUsage) => number): number =>
    ranges.reduce((sum, usage) => (usage.range.cidr.base.family === family ? sum + of(usage) : sum), 0);
  return { capacity: sum((u) => u.capacity), allocated: sum((u) => u.allocated), free: sum((u) => u.free) };
}

function familiesOf(ranges: readonly RangeUsage[]): Family[] {
  return ([4, 6] as const).filter((family) => ranges.some(({ range }) => range.cidr.base.family === family));
}

function addressField(family: Family, { allocated, capacity }: Total): [string, string] {
  return [familyName(family), `${allocated} of ${renderCount(capacity)} addresses used`];
}

function nodesText(holding: readonly NodeUsage[], known: readonly NodeOverview[]): string {
  const blocks = holding.reduce((total, node) => total + node.blocks, 0);
  const { draining } = nodeStates(known);
  const parts = [
    `${holding.length} ${holding.length === 1 ? 'holds' : 'hold'} ${plural(blocks, 'block')}`,
    ...(known.length > holding.length ? [`${known.length - holding.length} without blocks`] : []),
    ...(draining > 0 ? [`${draining} draining`] : []),
  ];
  return parts.join(', ');
}

interface Gathered extends RangeUsages {
  readonly latencyMs: number;
  /** Why etcd, which answers reads, refuses writes; null when it does not. */
  readonly problem: string | null;
  readonly facts: InEtcd;
  /** What nodes lost and no range has. */
  readonly lost: Lost;
  /** The cluster's latest set-back that can be read; undefined if there was none. */
  readonly setBack: SetBack | undefined;
  readonly forecasts: Forecasts;
}

function gather(context: Context): Promise<Gathered> {
  return context.withIpam(async (ipam) => {
    // The first request connects. The second measures how long an answer takes.
    await ipam.store.count([RANGES]);
    const before = context.world.monotonic();
    await ipam.store.count([RANGES]);
    const latencyMs = Math.round(context.world.monotonic() - before);
    const problem = await findReadOnly(ipam.store);
    const lost = await readLost(ipam.store);
    const facts = await readNodeFacts(ipam);
    const usages = usageOf(facts.ranges, facts);
    const known = usages.usages.map(({ range }) => range);
    const told = await readSetBack(ipam.store);
    const setBack = told && 'value' in told ? told.value : undefined;
    const forecasts = await forecastsFor(context, ipam, usages.usages);
    const all = { facts, lost: stillLost(lost, known), setBack, forecasts };
    return { latencyMs, problem, ...usages, ...all };
  });
}

/** A user who may only read finds out nothing, and needs no more for the rest of `status`. */
async function findReadOnly(store: Store): Promise<string | null> {
  try {
    await checkWritable(store, [BLOCK_PROBE]);
    return null;
  } catch (error) {
    if (!(error instanceof IpamError)) throw error;
    if (error.code === 'store-denied') return null;
    if (error.code === 'store-read-only') return `${error.message}. ${error.remedy}`;
    throw error;
  }
}
