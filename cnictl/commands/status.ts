import { lostText, lostTotals, stillLost } from '../../ipam/audit/lost.ts';
import { familyName, formatCidr, type Family } from '../../ipam/model/address.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { BLOCK_PROBE, checkWritable } from '../../ipam/node/writable.ts';
import type { Forecasts } from '../../ipam/query/forecasts.ts';
import { listRangeUsage, type RangeUsage, type RangeUsages } from '../../ipam/query/range-usage.ts';
import { readSetBack } from '../../ipam/query/set-back.ts';
import { listBlocks } from '../../ipam/query/views.ts';
import { RANGES } from '../../ipam/records/keys.ts';
import type { Lost, LostNode } from '../../ipam/records/lost-record.ts';
import type { Store } from '../../ipam/store/store.ts';
import { readLost } from '../../ipam/store/lost.ts';
import { isDistrusted, type SetBack } from '../../ipam/records/set-back-record.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { identifyOwn, toldUid } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { describeError } from '../context/errors.ts';
import { FORGOTTEN, setBackText } from '../doctor/records.ts';
import { renderCount } from '../render/bar.ts';
import { painted, type Cell } from '../render/cell.ts';
import { adviceText, clusterForecastJson, familyFields, forecastJson } from '../render/forecast.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { renderFields } from '../render/table.ts';
import { gatherNodes, type NodeUsage } from './node.ts';
import { forecastsFor, rangeJson, rangeTable } from './range.ts';

interface KubeStatus {
  readonly server: string | null;
  readonly nodes: number | null;
  /** UID of the namespace kube-system; null where it may not be read. */
  readonly cluster: string | null;
  readonly problem: string | null;
}

/** `status`: shows whether etcd and the API server answer, and how full the ranges are. */
export async function status(context: Context): Promise<number> {
  const { endpoints, prefix } = etcdSettings(context.settings.etcd);
  const {
    latencyMs,
    problem,
    usages: ranges,
    unreadable,
    nodes,
    lost,
    setBack,
    forecasts,
  } = await gather(context);
  for (const { reason } of lost.unreadable) context.warn(reason);
  const kube = await gatherKube(context);
  const now = context.world.now();
  const known = ranges.map(({ range }) => range);
  const data = {
    etcd: { endpoints, prefix, latencyMs, problem },
    kubernetes: kube,
    totals: { ipv4: totalOf(ranges, 4), ipv6: totalOf(ranges, 6) },
    nodes: nodes.length,
    ranges: ranges.map((usage) =>
      rangeJson(usage, forecastJson(forecasts, forecasts.ranges.get(usage.range.name), now)),
    ),
    forecast: clusterForecastJson(forecasts, known, now),
    unreadable,
    lost: lost.nodes.map(lostJson),
    setBack: setBack ? { ...setBack, at: new Date(setBack.at).toISOString() } : null,
  };
  context.print(data, () => {
    const { paint } = context;
    const alarm = (text: string): Cell => painted(paint.red(printable(text)));
    const api =
      kube.problem ??
      (kube.server === null
        ? 'not configured'
        : `${kube.server}: answers, ${plural(kube.nodes ?? 0, 'node')}`);
    const fields = renderFields(
      [
        ['etcd', painted(`${printable(endpoints.join(', '))} ${paint.green('answers')} in ${latencyMs} ms`)],
        ...(problem === null ? [] : [['Writes', alarm(problem)] satisfies [string, Cell]]),
        ['Kubernetes', kube.problem === null ? api : alarm(api)],
        ['Nodes', nodesText(nodes)],
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
    ].join('\n');
  });
  context.warnUnreadable(unreadable);
  return kube.problem === null && problem === null ? 0 : 2;
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

function nodesText(nodes: readonly NodeUsage[]): string {
  const blocks = nodes.reduce((total, node) => total + node.blocks, 0);
  return `${nodes.length} ${nodes.length === 1 ? 'holds' : 'hold'} ${plural(blocks, 'block')}`;
}

interface Gathered extends RangeUsages {
  readonly latencyMs: number;
  /** Why etcd, which answers reads, refuses writes; null when it does not. */
  readonly problem: string | null;
  readonly nodes: NodeUsage[];
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
    const usages = await listRangeUsage(ipam);
    const known = usages.usages.map(({ range }) => range);
    const nodes = gatherNodes((await listBlocks(ipam)).blocks);
    const told = await readSetBack(ipam.store);
    const setBack = told && 'value' in told ? told.value : undefined;
    const forecasts = await forecastsFor(context, ipam, usages.usages);
    return { latencyMs, problem, ...usages, nodes, lost: stillLost(lost, known), setBack, forecasts };
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

const NOTHING_KNOWN = { server: null, nodes: null, cluster: null } as const;

async function gatherKube(context: Context): Promise<KubeStatus> {
  if (!context.knowsKube) return { ...NOTHING_KNOWN, problem: null };
  try {
    return await context.withKube(async (kube) => {
      const identity = await context.withIpam(({ store }) => identifyOwn(store, kube));
      const nodes = await kube.listNodes();
      return { server: kube.server, nodes: nodes.length, cluster: toldUid(identity), problem: null };
    });
  } catch (error) {
    const [problem = ''] = describeError(error)
      .replace(/^cnictl: /, '')
      .split('\n');
    return { ...NOTHING_KNOWN, problem };
  }
}
