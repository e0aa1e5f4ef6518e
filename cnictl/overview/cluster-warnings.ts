import { lostText, lostTotals } from '../../ipam/audit/lost.ts';
import type { RangeUsage } from '../../ipam/query/range-usage.ts';
import type { Lost } from '../../ipam/records/lost-record.ts';
import { isDistrusted, type SetBack } from '../../ipam/records/set-back-record.ts';
import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import type { RuleRecords } from '../../ipam/store/rules.ts';
import type { Finding } from '../doctor/finding.ts';
import { FORGOTTEN, judgeRanges, setBackText } from '../doctor/records.ts';
import { judgeRules } from '../doctor/rules.ts';
import { plural } from '../render/plural.ts';
import type { NodeOverview } from './nodes.ts';
import { groupWarnings, sortWarnings, type Warning } from './warning.ts';

export interface ClusterFacts {
  /** Why etcd, which answers reads, refuses writes; null when it does not. */
  readonly writes: string | null;
  readonly etcd: readonly Finding[];
  readonly lost: Lost;
  readonly usages: readonly RangeUsage[];
  readonly rules: RuleRecords;
  readonly setBack: SetBack | undefined;
  readonly unreadable: readonly UnreadableRecord[];
  readonly nodes: readonly NodeOverview[];
  readonly kubernetes: string | null;
  readonly now: number;
}

/** A range with less room than this share of its addresses is nearly full. */
const NEARLY = 0.1;

/** Returns what is amiss with the cluster, the most urgent first. */
export function clusterWarnings(facts: ClusterFacts): Warning[] {
  const { writes, etcd, lost, usages, rules, setBack, unreadable, nodes, kubernetes, now } = facts;
  const warnings: Warning[] = [
    ...(writes === null ? [] : [failure('etcd-writes', writes, 'docs/operations/etcd-away.md')]),
    ...etcd.flatMap((finding) => warningOf('etcd', finding)),
    ...lostTotals(lost).map((total) => failure('lost', `etcd forgot a range: ${lostText(total)}`, FORGOTTEN)),
    ...unreadableWarning(unreadable),
    ...rangeWarnings(usages),
    ...judgeRules(rules, usages).flatMap((finding) => warningOf('rules', finding)),
    ...(setBack && isDistrusted(setBack, now)
      ? [warning('set-back', setBackText(setBack, now), 'Find out who restored etcd; then cnictl check.')]
      : []),
    ...(kubernetes === null
      ? []
      : [warning('kubernetes', kubernetes, 'cnictl doctor --cluster tells what to do.')]),
    ...groupWarnings(nodes),
  ];
  return sortWarnings(warnings);
}

const failure = (kind: string, text: string, remedy: string): Warning => ({
  level: 'fail',
  ...{ kind, text, remedy },
});
const warning = (kind: string, text: string, remedy: string): Warning => ({
  ...failure(kind, text, remedy),
  level: 'warn',
});

/** How the cluster is built is no news at each look. */
function warningOf(kind: string, { check, level, detail, remedy, advice }: Finding): Warning[] {
  if (level === 'ok' || advice) return [];
  return [{ level, kind, text: `${check}: ${detail}`, remedy }];
}

function unreadableWarning(unreadable: readonly UnreadableRecord[]): Warning[] {
  if (unreadable.length === 0) return [];
  const what = `${plural(unreadable.length, 'record')} that cannot be read, such as ${unreadable[0]?.key ?? ''}`;
  return [failure('unreadable', what, 'docs/operations/bad-record.md says how to mend it.')];
}

/** A cluster without ranges is told by `status` itself. */
function rangeWarnings(usages: readonly RangeUsage[]): Warning[] {
  if (usages.length === 0) return [];
  const none = { nodes: [], unreadable: [] };
  const full = judgeRanges({ usages, unreadable: [] }, none).flatMap((each) => warningOf('ranges', each));
  const nearly = usages.filter(
    ({ range, free, capacity, blocks }) =>
      range.state === 'active' && blocks.claimed < blocks.total && free < NEARLY * capacity,
  );
  if (nearly.length === 0) return full;
  const named = nearly.map(
    ({ range, free }) => `${range.name} (${plural(free, 'address', 'addresses')} free)`,
  );
  const text = `ranges that are nearly full: ${named.join(', ')}`;
  return [...full, warning('ranges-nearly-full', text, 'Add a range: docs/operations/range-full.md.')];
}
