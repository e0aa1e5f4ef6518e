import { listBlocks, listRangeUsage, type RangeUsage } from '../../ipam/inventory.ts';
import { RANGES } from '../../ipam/records.ts';
import { etcdSettings } from '../../ipam/etcd/settings.ts';
import type { Context } from '../context.ts';
import { describeError } from '../errors.ts';
import { renderCount } from '../render/bar.ts';
import { renderFields } from '../render/table.ts';
import { gatherNodes, type NodeUsage } from './node.ts';
import { rangeJson, rangeTable } from './range.ts';

interface KubeStatus {
  readonly server: string | null;
  readonly nodes: number | null;
  readonly problem: string | null;
}

/** `status`: whether etcd and the API server answer, and how full it all is. */
export async function status(context: Context): Promise<number> {
  const { endpoints, prefix } = etcdSettings(context.settings.etcd);
  const { latencyMs, ranges, nodes } = await gather(context);
  const kube = await gatherKube(context);
  const sum = (of: (usage: RangeUsage) => number): number =>
    ranges.reduce((total, usage) => total + of(usage), 0);
  const data = {
    etcd: { endpoints, prefix, latencyMs },
    kubernetes: kube,
    totals: {
      capacity: sum((u) => u.capacity),
      allocated: sum((u) => u.allocated),
      free: sum((u) => u.free),
    },
    nodes: nodes.length,
    ranges: ranges.map(rangeJson),
  };
  context.print(data, () => {
    const { paint } = context;
    const api =
      kube.problem ??
      (kube.server === null ? 'not configured' : `${kube.server}: answers, ${kube.nodes ?? 0} nodes`);
    const fields = renderFields(
      [
        ['etcd', `${endpoints.join(', ')} ${paint.green('answers')} in ${latencyMs} ms`],
        ['Kubernetes', kube.problem === null ? api : paint.red(api)],
        ['Nodes', `${nodes.length} hold ${nodes.reduce((total, node) => total + node.blocks, 0)} blocks`],
        ['Addresses', `${data.totals.allocated} of ${renderCount(data.totals.capacity)} used`],
      ],
      paint,
    );
    return ranges.length === 0
      ? `${fields}\nNo ranges yet: cnictl range add\n`
      : `${fields}\n${rangeTable(context, ranges)}`;
  });
  return kube.problem === null ? 0 : 2;
}

function gather(context: Context): Promise<{ latencyMs: number; ranges: RangeUsage[]; nodes: NodeUsage[] }> {
  return context.withIpam(async (ipam) => {
    // The first request connects; the second tells how long an answer takes.
    await ipam.store.count([RANGES]);
    const before = context.world.now();
    await ipam.store.count([RANGES]);
    const latencyMs = context.world.now() - before;
    return { latencyMs, ranges: await listRangeUsage(ipam), nodes: gatherNodes(await listBlocks(ipam)) };
  });
}

async function gatherKube(context: Context): Promise<KubeStatus> {
  if (!context.knowsKube) return { server: null, nodes: null, problem: null };
  try {
    return await context.withKube(async (kube) => {
      const nodes = await kube.listNodes();
      return { server: kube.server, nodes: nodes.length, problem: null };
    });
  } catch (error) {
    return {
      server: null,
      nodes: null,
      problem:
        describeError(error)
          .replace(/^cnictl: /, '')
          .split('\n')[0] ?? '',
    };
  }
}
