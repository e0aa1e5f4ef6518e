import type { AuditedPod } from '../../ipam/audit/judge.ts';
import { formatAddress, formatCidr } from '../../ipam/model/address.ts';
import type { Lifetime } from '../../ipam/model/lifetime.ts';
import type { RuleChoice } from '../../ipam/model/rule.ts';
import type { HeldAddress, PodName, PodTrace } from '../../ipam/query/pod-trace.ts';
import { KEPT_PER_ADDRESS } from '../../ipam/records/history-record.ts';
import { formatAge } from '../context/durations.ts';
import type { Paint } from '../render/paint.ts';
import { printable } from '../render/printable.ts';
import { renderFields, renderTable } from '../render/table.ts';
import { agoText, causeText, lifetimeJson, secondsText } from './ip-history.ts';
import { chosenText, keepJson, keepText } from './ip.ts';
import type { Mismatch } from './pod-mismatch.ts';

/** The API server's answer about a pod. */
export type Answer =
  | { readonly kind: 'pod'; readonly pod: AuditedPod }
  /** The API server has no pod of that name. */
  | { readonly kind: 'none' }
  /** The API server did not answer. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** No API server is configured. */
  | { readonly kind: 'no-server' };

export interface PodReport {
  readonly name: PodName;
  readonly trace: PodTrace;
  readonly answer: Answer;
  readonly mismatches: readonly Mismatch[];
  /** By the pod's names alone. `bad`: a rule that cannot be read stops it. Undefined: no rules. */
  readonly rule: RuleChoice | { readonly bad: string } | undefined;
}

/** Scripts rely on these keys. */
export function podReport({ name, trace, answer, mismatches, rule }: PodReport): object {
  return {
    ...name,
    addresses: trace.held.map(heldJson),
    past: trace.past.map(lifetimeJson),
    pastOmitted: trace.omitted,
    apiServer: answer.kind,
    pod: answer.kind === 'pod' ? podFieldsJson(answer.pod) : null,
    mismatches,
    rule: rule && 'rule' in rule ? (rule.rule?.name ?? null) : null,
    unreadable: trace.unreadable,
  };
}

function heldJson({ address, range, vlan, block, node, slot, hasFormerRoutes }: HeldAddress): object {
  return {
    ip: formatAddress(address),
    range,
    vlan: vlan ?? null,
    block: formatCidr(block),
    node,
    containerId: slot.owner.containerId,
    ifname: slot.owner.ifname,
    network: slot.owner.network,
    uid: slot.owner.podUid ?? null,
    allocatedAt: new Date(slot.allocatedAt).toISOString(),
    formerRoutes: hasFormerRoutes,
    keep: slot.keep ? keepJson(slot.keep) : null,
    chosenBy: slot.chosenBy ?? [],
  };
}

function podFieldsJson(pod: AuditedPod): object {
  const { uid, phase, hasRunningContainer, deletionTimestamp, nodeName, hostNetwork, podIPs } = pod;
  return {
    uid,
    phase,
    hasRunningContainer,
    deletionTimestamp: deletionTimestamp ?? null,
    node: nodeName ?? null,
    hostNetwork,
    podIPs,
  };
}

/** Adds to the phase what it does not tell: a container that still runs, and a deletion. */
function phaseText({ phase, hasRunningContainer, deletionTimestamp }: AuditedPod): string {
  const runs = phase !== 'Running' && hasRunningContainer ? [', a container runs'] : [];
  const ends = deletionTimestamp === undefined ? [] : [`, Terminating since ${deletionTimestamp}`];
  return [phase, ...runs, ...ends].join('');
}

export function renderPod(report: PodReport, now: number, paint: Paint): string {
  const { name, trace, answer, mismatches } = report;
  const title = renderFields(
    [
      ['Pod', printable(`${name.namespace}/${name.name}`)],
      ...serverFields(answer),
      ...ruleField(report.rule),
      ...annotationFields(trace.held),
    ],
    paint,
  );
  const held =
    trace.held.length === 0
      ? 'It has no address of ours.\n'
      : `${heldTable(trace.held, now, paint)}${formerText(trace.held)}`;
  const past =
    trace.past.length === 0
      ? 'No address that it had before is recorded.\n'
      : `${paint.bold('Had before')} (a block keeps the last ${KEPT_PER_ADDRESS} releases for each of its addresses)\n${pastTable(trace.past, now, paint)}`;
  const omitted = trace.omitted === 0 ? '' : `${trace.omitted} older ones are left out.\n`;
  const wrong = mismatches.map(({ message }) => `${paint.red('Mismatch')}: ${printable(message)}\n`);
  return [title, held, `${past}${omitted}`, wrong.join('')].filter((part) => part !== '').join('\n');
}

function ruleField(choice: PodReport['rule']): [string, string][] {
  if (!choice) return [];
  if ('bad' in choice) return [['Rule', printable(`none can be told: ${choice.bad}`)]];
  if ('asks' in choice)
    return [['Rule', `one that asks Kubernetes about its ${choice.asks.join(' and ')}, or none`]];
  return [['Rule', choice.rule ? printable(choice.rule.name) : 'none: any range of its network']];
}

/** Says which addresses came, or stay, by annotations of the pod. */
function annotationFields(held: readonly HeldAddress[]): [string, string][] {
  const texts = held.flatMap(({ address, slot: { chosenBy, keep } }) => [
    ...(chosenBy ? [`${formatAddress(address)} chosen ${printable(chosenText(chosenBy))}`] : []),
    ...(keep?.byAnnotation
      ? [`${formatAddress(address)} kept ${keepText(keep)} ${chosenText(['keep'])}`]
      : []),
  ]);
  return texts.length > 0 ? [['Annotations', texts.join('; ')]] : [];
}

function serverFields(answer: Answer): [string, string][] {
  switch (answer.kind) {
    case 'no-server':
      return [['API server', 'none is known (--kubeconfig): what it says of the pod was not looked at']];
    case 'failed':
      return [['API server', printable(`could not be asked: ${answer.reason}`)]];
    case 'none':
      return [['API server', 'has no pod of that name']];
    case 'pod': {
      const { uid, nodeName, hostNetwork, podIPs } = answer.pod;
      return [
        ['Phase', printable(phaseText(answer.pod))],
        ['UID', printable(uid)],
        ['Node', printable(nodeName ?? 'not scheduled yet')],
        ['Pod IPs', `${podIPs.join(', ') || 'none told yet'}${hostNetwork ? " (its host's)" : ''}`],
      ];
    }
  }
}

function heldTable(held: readonly HeldAddress[], now: number, paint: Paint): string {
  return renderTable<HeldAddress>(
    [
      { title: 'ADDRESS', value: ({ address }) => formatAddress(address) },
      { title: 'RANGE', value: ({ range }) => range },
      { title: 'VLAN', value: ({ vlan }) => (vlan === undefined ? '-' : `${vlan}`), right: true },
      { title: 'BLOCK', value: ({ block }) => formatCidr(block) },
      { title: 'NODE', value: ({ node }) => printable(node) },
      { title: 'INTERFACE', value: ({ slot }) => printable(slot.owner.ifname) },
      { title: 'CONTAINER', value: ({ slot }) => printable(slot.owner.containerId.slice(0, 12)) },
      { title: 'UID', value: ({ slot }) => printable(slot.owner.podUid ?? '-') },
      { title: 'SINCE', value: ({ slot }) => secondsText(slot.allocatedAt) },
      { title: 'AGE', value: ({ slot }) => formatAge(now - slot.allocatedAt), right: true },
    ],
    held,
    paint,
  );
}

/** A pod keeps the gateway and routes with which it was made. */
const formerText = (held: readonly HeldAddress[]): string =>
  held
    .filter(({ hasFormerRoutes }) => hasFormerRoutes)
    .map(
      ({ address, range }) =>
        `${formatAddress(address)} has the gateway and routes of before range ${range} was changed, until the pod is made again.\n`,
    )
    .join('');

function pastTable(past: readonly Lifetime[], now: number, paint: Paint): string {
  return renderTable<Lifetime>(
    [
      { title: 'ADDRESS', value: ({ address }) => formatAddress(address) },
      { title: 'FROM', value: ({ allocatedAt }) => secondsText(allocatedAt) },
      { title: 'UNTIL', value: ({ releasedAt }) => secondsText(releasedAt) },
      { title: 'ENDED', value: ({ releasedAt }) => agoText(releasedAt, now), right: true },
      { title: 'NODE', value: ({ node }) => printable(node) },
      { title: 'INTERFACE', value: ({ owner }) => printable(owner.ifname) },
      { title: 'CONTAINER', value: ({ owner }) => printable(owner.containerId.slice(0, 12)) },
      { title: 'UID', value: ({ owner }) => printable(owner.podUid ?? '-') },
      { title: 'WHY', value: ({ cause }) => causeText(cause) },
    ],
    past,
    paint,
  );
}
