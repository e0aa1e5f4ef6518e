import { familyName, type Family } from '../../ipam/model/address.ts';
import { listBlocks, listRangeUsage, type RangeUsage } from '../../ipam/query/views.ts';
import { RANGES } from '../../ipam/records/keys.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { identifyOwn, toldUid } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { describeError } from '../context/errors.ts';
import { renderCount } from '../render/bar.ts';
import { plural } from '../render/plural.ts';
import { renderFields } from '../render/table.ts';
import { gatherNodes, type NodeUsage } from './node.ts';
import { rangeJson, rangeTable } from './range.ts';

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
  const { latencyMs, ranges, nodes } = await gather(context);
  const kube = await gatherKube(context);
  const data = {
    etcd: { endpoints, prefix, latencyMs },
    kubernetes: kube,
    totals: { ipv4: totalOf(ranges, 4), ipv6: totalOf(ranges, 6) },
    nodes: nodes.length,
    ranges: ranges.map(rangeJson),
  };
  context.print(data, () => {
    const { paint } = context;
    const api =
      kube.problem ??
      (kube.server === null
        ? 'not configured'
        : `${kube.server}: answers, ${plural(kube.nodes ?? 0, 'node')}`);
    const fields = renderFields(
      [
        ['etcd', `${endpoints.join(', ')} ${paint.green('answers')} in ${latencyMs} ms`],
        ['Kubernetes', kube.problem === null ? api : paint.red(api)],
        ['Nodes', nodesText(nodes)],
        ...familiesOf(ranges).map((family) => addressField(family, totalOf(ranges, family))),
      ],
      paint,
    );
    return ranges.length === 0
      ? `${fields}\nNo ranges yet: cnictl range add\n`
      : `${fields}\n${rangeTable(context, ranges)}`;
  });
  return kube.problem === null ? 0 : 2;
}

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

function gather(context: Context): Promise<{ latencyMs: number; ranges: RangeUsage[]; nodes: NodeUsage[] }> {
  return context.withIpam(async (ipam) => {
    // The first request connects. The second measures how long an answer takes.
    await ipam.store.count([RANGES]);
    const before = context.world.now();
    await ipam.store.count([RANGES]);
    const latencyMs = context.world.now() - before;
    return { latencyMs, ranges: await listRangeUsage(ipam), nodes: gatherNodes(await listBlocks(ipam)) };
  });
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
