import { lostText, lostTotals, stillLost } from '../../ipam/audit/lost.ts';
import { formatCidr } from '../../ipam/model/address.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { viewNode, type NodeView } from '../../ipam/query/node-view.ts';
import { listRangeUsage, type RangeUsage } from '../../ipam/query/views.ts';
import { readLost, type Lost } from '../../ipam/records/lost-record.ts';
import { plural } from '../render/plural.ts';
import { fail, ok, warn, type Check, type Finding } from './finding.ts';

/** Returns checks of the ranges and of this node's records in etcd. */
export function recordChecks(
  withIpam: <T>(work: (ipam: Ipam) => Promise<T>) => Promise<T>,
  node: string | undefined,
): Check[] {
  return [
    {
      name: 'ranges',
      look: () =>
        withIpam(async (ipam) => judgeRanges(await listRangeUsage(ipam), await readLost(ipam.store))),
    },
    ...(node === undefined
      ? []
      : [
          { name: 'records', look: async () => judgeRecords(await withIpam((ipam) => viewNode(ipam, node))) },
        ]),
  ];
}

/** The way back for ranges that etcd forgot. */
export const FORGOTTEN =
  'Put the ranges back: cnictl restore FILE; nodes write back what lives. Without a backup: cnictl range add … --recover.';

/**
 * @param lost what nodes say of attachments whose addresses are in no range: pods live there, so a
 *   range that is merely added gives out their addresses again
 */
export function judgeRanges(usages: readonly RangeUsage[], lost: Lost): Finding[] {
  const ranges = usages.map(({ range }) => range);
  const forgotten = stillLost(lost, ranges);
  return [
    ...lostTotals(forgotten).map((total) =>
      fail('ranges', `etcd forgot a range: ${lostText(total)}`, FORGOTTEN),
    ),
    ...forgotten.unreadable.map(({ reason }) =>
      fail('ranges', reason, 'docs/etcd-records.md says what it should hold; its agent writes it again.'),
    ),
    ...judgeRoom(usages, forgotten.nodes.length > 0),
  ];
}

function judgeRoom(usages: readonly RangeUsage[], isForgotten: boolean): Finding[] {
  if (usages.length === 0) {
    const remedy = isForgotten
      ? FORGOTTEN
      : 'A new cluster: cnictl range add 10.20.0.0/22 --gateway 10.20.0.1. One that had ranges: cnictl restore FILE, before anything is added.';
    return [fail('ranges', 'etcd holds none', remedy)];
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
