import { lostText, lostTotals, stillLost } from '../../ipam/audit/lost.ts';
import { formatCidr } from '../../ipam/model/address.ts';
import { IpamError, remedyOf } from '../../ipam/model/errors.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { viewNode, type NodeView } from '../../ipam/query/node-view.ts';
import { listRangeUsage, type RangeUsages } from '../../ipam/query/range-usage.ts';
import { readRules } from '../../ipam/store/rules.ts';
import { readSetBack } from '../../ipam/query/set-back.ts';
import { NODES } from '../../ipam/records/keys.ts';
import type { Lost } from '../../ipam/records/lost-record.ts';
import { readLost } from '../../ipam/store/lost.ts';
import { DISTRUST_MS, isDistrusted, type SetBack } from '../../ipam/records/set-back-record.ts';
import type { Read, UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { formatAge } from '../context/durations.ts';
import { plural } from '../render/plural.ts';
import { fail, ok, warn, type Check, type Finding } from './finding.ts';
import { judgeRules } from './rules.ts';

/** Returns checks of the ranges and of this node's records in etcd. */
export function recordChecks(
  withIpam: <T>(work: (ipam: Ipam) => Promise<T>) => Promise<T>,
  node: string | undefined,
): Check[] {
  return [
    {
      name: 'ranges',
      look: () =>
        withIpam(async (ipam) => {
          const found = await listRangeUsage(ipam);
          return [
            ...judgeRanges(found, await readLostIfMay(ipam)),
            ...judgeRules(await readRules(ipam.store), found.usages),
          ];
        }),
    },
    {
      name: 'set-back',
      look: () =>
        withIpam(async ({ store, effects }) => judgeSetBack(await readSetBack(store), effects.now())),
    },
    ...(node === undefined
      ? []
      : [
          { name: 'records', look: async () => judgeRecords(await withIpam((ipam) => viewNode(ipam, node))) },
        ]),
  ];
}

/** A node's user may have no right to read what other nodes lost: an operator's doctor tells it. */
async function readLostIfMay({ store }: Ipam): Promise<Lost> {
  try {
    return await readLost(store);
  } catch (error) {
    if (error instanceof IpamError && error.code === 'store-denied') return { nodes: [], unreadable: [] };
    throw error;
  }
}

/** Says that etcd forgot records, as long as the nodes prove new addresses because of it. */
export function judgeSetBack(read: Read<SetBack> | undefined, now: number): Finding[] {
  if (!read) return [ok('set-back', 'no node has found that etcd forgot something')];
  if ('unreadable' in read) return [fail('set-back', read.unreadable.reason, remedyOf('corrupt-record'))];
  const text = setBackText(read.value, now);
  return [
    isDistrusted(read.value, now)
      ? warn('set-back', text, 'Find out who restored etcd; then cnictl check. The nodes do the rest.')
      : ok('set-back', text),
  ];
}

/** Returns when etcd forgot records, and until when that has consequences. */
export function setBackText(setBack: SetBack, now: number): string {
  const { at, node, reason } = setBack;
  const text = `${reason} (told by ${node}, ${formatAge(now - at)} ago)`;
  if (!isDistrusted(setBack, now)) return text;
  return `${text}; until ${new Date(at + DISTRUST_MS).toISOString()} each new address is proven on the wire`;
}

const NAMED = 10;

/** Names the first ten records that cannot be read, and counts the others. */
function unreadableLines(unreadable: readonly UnreadableRecord[]): Finding[] {
  const remedy = remedyOf('corrupt-record');
  const more = unreadable.length - NAMED;
  return [
    ...unreadable.slice(0, NAMED).map(({ reason }) => fail('records', reason, remedy)),
    ...(more > 0 ? [fail('records', `${more} more cannot be read`, 'cnictl check lists them.')] : []),
  ];
}

/** The way back for ranges that etcd forgot. */
export const FORGOTTEN =
  'Put the ranges back: cnictl restore FILE; nodes write back what lives. Without a backup: cnictl range add … --recover.';

/**
 * @param lost what nodes say of attachments whose addresses are in no range: pods live there, so a
 *   range that is merely added gives out their addresses again
 */
export function judgeRanges(found: RangeUsages, lost: Lost): Finding[] {
  const ranges = found.usages.map(({ range }) => range);
  const forgotten = stillLost(lost, ranges);
  return [
    ...lostTotals(forgotten).map((total) =>
      fail('ranges', `etcd forgot a range: ${lostText(total)}`, FORGOTTEN),
    ),
    ...forgotten.unreadable.map(({ reason }) =>
      fail('ranges', reason, 'docs/etcd-records.md says what it should hold; its agent writes it again.'),
    ),
    ...judgeUsages(found, forgotten.nodes.length > 0),
    ...unreadableLines(found.unreadable),
  ];
}

function judgeUsages({ usages, unreadable }: RangeUsages, isForgotten: boolean): Finding[] {
  if (usages.length === 0 && unreadable.length > 0)
    return [fail('ranges', 'none can be read', 'Mend the records that the lines below name.')];
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

/** The line of a block that cannot be read is {@link judgeRanges}'s. */
export function judgeRecords(view: NodeView): Finding[] {
  const { node, blocks, disagreements, drainingSince, draining } = view;
  const lines: Finding[] = disagreements.map(({ key, problem }) =>
    fail(
      'records',
      `key ${key}: ${problem}`,
      'Put index keys right: cnictl check --repair; docs/etcd-records.md says how index and block belong together.',
    ),
  );
  lines.push(...unreadableLines(view.unreadable.filter(({ key }) => key.startsWith(NODES))));
  if (lines.length === 0)
    lines.push(ok('records', `index and blocks of ${node} agree: ${plural(blocks.length, 'block')}`));
  if (draining) {
    const since = drainingSince === undefined ? '' : ` since ${new Date(drainingSince).toISOString()}`;
    lines.push(warn('draining', `${node} gives out nothing new${since}`, `cnictl node undrain ${node}`));
  }
  return lines;
}
