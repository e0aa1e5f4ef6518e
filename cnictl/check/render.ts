import type { Conflict, Leak, Missing } from '../../ipam/audit/judge.ts';
import { formatAddress } from '../../ipam/model/address.ts';
import { formatAge } from '../context/durations.ts';
import type { Paint } from '../render/paint.ts';
import { plural } from '../render/plural.ts';
import { podText } from '../render/pod.ts';
import { printable } from '../render/printable.ts';
import { renderTable, type Column } from '../render/table.ts';
import { keptDue, othersFound, recordsFound, type Findings } from './findings.ts';
import type { KeptFinding } from './kept.ts';
import { conflictSince, recordsJson, type RecordRow } from './report-json.ts';

/**
 * Returns tables of the findings and a summary line.
 * @param now milliseconds since 1970
 */
export function renderFindings(found: Findings, paint: Paint, now: number): string {
  return [
    section('Leaked', 'given out, and no pod has them any more', leakColumns(now), found.leaked, paint),
    section(
      'Missing',
      'a running pod has an address that etcd does not hold for it',
      missingColumns(now),
      found.missing,
      paint,
    ),
    section(
      'Conflicts',
      'one address that several running pods have',
      conflictColumns(now),
      found.conflicts,
      paint,
    ),
    section('Kept', 'for pods that no StatefulSet makes any more', keptColumns(now), found.kept, paint),
    section('Records', 'not as they should be in etcd', RECORD_COLUMNS, recordsJson(found, now), paint),
    `${summary(found, paint)}\n`,
  ].join('');
}

function section<Row>(
  title: string,
  meaning: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  paint: Paint,
): string {
  return rows.length === 0 ? '' : `${paint.red(title)}: ${meaning}\n${renderTable(columns, rows, paint)}\n`;
}

const leakColumns = (now: number): Column<Leak>[] => [
  { title: 'ADDRESS', value: ({ allocation }) => formatAddress(allocation.address) },
  { title: 'REASON', value: ({ reason }) => reason },
  { title: 'POD', value: ({ allocation }) => podText(allocation.slot.owner) },
  { title: 'NODE', value: ({ allocation }) => allocation.node },
  { title: 'CONTAINER', value: ({ allocation }) => allocation.slot.owner.containerId.slice(0, 12) },
  { title: 'AGE', value: ({ allocation }) => formatAge(now - allocation.slot.allocatedAt), right: true },
];

const missingColumns = (now: number): Column<Missing>[] => [
  { title: 'ADDRESS', value: ({ ip }) => ip },
  { title: 'POD', value: ({ pod }) => `${pod.namespace}/${pod.name}` },
  { title: 'NODE', value: ({ pod }) => pod.nodeName ?? '-' },
  { title: 'HELD BY', value: holderText },
  { title: 'AGE', value: ({ pod }) => formatAge(now - Date.parse(pod.createdAt)), right: true },
];

const holderText = ({ reason, heldBy }: Missing): string => {
  if (reason === 'no-range') return 'no range has it';
  return heldBy ? podText(heldBy.slot.owner) : 'nobody';
};

const conflictColumns = (now: number): Column<Conflict>[] => [
  { title: 'ADDRESS', value: ({ ip }) => ip },
  {
    title: 'PODS',
    value: ({ pods }) => pods.map(({ namespace, name }) => `${namespace}/${name}`).join(', '),
  },
  { title: 'NODES', value: ({ pods }) => pods.map(({ nodeName }) => nodeName ?? '-').join(', ') },
  { title: 'AGE', value: (conflict) => formatAge(now - conflictSince(conflict)), right: true },
];

const keptColumns = (now: number): Column<KeptFinding>[] => [
  { title: 'ADDRESS', value: ({ kept }) => formatAddress(kept.address) },
  { title: 'REASON', value: ({ reason }) => reason },
  { title: 'POD', value: ({ kept: { slot } }) => printable(`${slot.pod.namespace}/${slot.pod.name}`) },
  { title: 'STATEFULSET', value: (finding) => printable(setText(finding)) },
  { title: 'RULE', value: ({ kept }) => kept.slot.keep.rule },
  { title: 'KEPT', value: ({ kept }) => formatAge(now - kept.slot.keptAt), right: true },
  { title: 'ENDS', value: (finding) => endText(finding, now), right: true },
];

/** Returns the numbers of the pods that the StatefulSet makes. */
function setText(finding: KeptFinding): string {
  if (finding.reason === 'orphaned') return `no ${finding.setName}`;
  const { name, replicas, start } = finding.set;
  const last = start + replicas - 1;
  return `${name} has ${last > start ? `${start} to ${last}` : start}`;
}

const endText = ({ isDue, dueAt }: KeptFinding, now: number): string => {
  if (isDue) return 'now';
  return dueAt === undefined ? '-' : `in ${formatAge(dueAt - now)}`;
};

const RECORD_COLUMNS: Column<RecordRow>[] = [
  { title: 'KEY', value: ({ key }) => printable(key) },
  { title: 'REASON', value: ({ reason }) => reason },
  { title: 'NODE', value: ({ node }) => node ?? '-' },
  {
    title: 'AGE',
    value: ({ ageSeconds }) => (ageSeconds === null ? '-' : formatAge(ageSeconds * 1000)),
    right: true,
  },
  { title: 'WHAT', value: ({ message }) => printable(message) },
];

/** Returns one line: how much was examined, and what was found. */
export function summary(found: Findings, paint: Paint): string {
  const { allocated, pods, hostPods, leaked, missing, conflicts, unknown, kept } = found;
  const records = recordsFound(found);
  const more = [
    ...(conflicts.length > 0 ? [plural(conflicts.length, 'conflict')] : []),
    ...(records > 0 ? [`${plural(records, 'record')} amiss`] : []),
  ];
  const verdict =
    leaked.length + othersFound(found) + keptDue(found).length === 0
      ? paint.green('nothing leaked, nothing missing')
      : [`${leaked.length} leaked`, `${missing.length} missing`, ...more].join(', ');
  const onHosts = hostPods > 0 ? ` (and ${hostPods} on the network of a host)` : '';
  const unmade = kept.length > 0 ? `, ${kept.length} kept for pods that no StatefulSet makes` : '';
  const rest = unknown.length > 0 ? `, ${unknown.length} without a pod's name (count as in use)` : '';
  return `${plural(allocated, 'address', 'addresses')} given out, ${plural(pods - hostPods, 'pod')}${onHosts}: ${verdict}${unmade}${rest}`;
}
