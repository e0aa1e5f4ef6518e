import { formatCidr } from '../../ipam/model/address.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { viewNode, type NodeView } from '../../ipam/query/node-view.ts';
import { listRangeUsage, type RangeUsage } from '../../ipam/query/views.ts';
import { plural } from '../render/plural.ts';
import { fail, ok, warn, type Check, type Finding } from './finding.ts';

/** Returns checks of the ranges and of this node's records in etcd. */
export function recordChecks(
  withIpam: <T>(work: (ipam: Ipam) => Promise<T>) => Promise<T>,
  node: string | undefined,
): Check[] {
  return [
    { name: 'ranges', look: async () => judgeRanges(await withIpam(listRangeUsage)) },
    ...(node === undefined
      ? []
      : [
          { name: 'records', look: async () => judgeRecords(await withIpam((ipam) => viewNode(ipam, node))) },
        ]),
  ];
}

export function judgeRanges(usages: readonly RangeUsage[]): Finding[] {
  if (usages.length === 0) {
    return [fail('ranges', 'etcd holds none', 'cnictl range add 10.20.0.0/22 --gateway 10.20.0.1')];
  }
  const active = usages.filter(({ range }) => range.state === 'active');
  if (active.length === 0)
    return [fail('ranges', 'all are draining: no pod gets an address', 'cnictl range undrain NAME')];
  const full = active.filter(({ blocks }) => blocks.claimed >= blocks.total).map(({ range }) => range.name);
  const detail = `${plural(active.length, 'active range')}: ${active.map(({ range }) => `${range.name} ${formatCidr(range.cidr)}`).join(', ')}`;
  if (full.length === 0) return [ok('ranges', detail)];
  const remedy = 'cnictl block return; cnictl check; or add a range.';
  const what = `every block of ${full.join(', ')} is claimed`;
  return [full.length === active.length ? fail('ranges', what, remedy) : warn('ranges', what, remedy)];
}

export function judgeRecords({ node, blocks, disagreements, drainingSince }: NodeView): Finding[] {
  const lines: Finding[] = disagreements.map(({ key, problem }) =>
    fail(
      'records',
      `key ${key}: ${problem}`,
      'Put index keys right: cnictl check --repair; docs/etcd-records.md says how index and block belong together.',
    ),
  );
  if (lines.length === 0)
    lines.push(ok('records', `index and blocks of ${node} agree: ${plural(blocks.length, 'block')}`));
  if (drainingSince !== undefined) {
    const since = new Date(drainingSince).toISOString();
    lines.push(
      warn('draining', `${node} gives out nothing new since ${since}`, `cnictl node undrain ${node}`),
    );
  }
  return lines;
}
