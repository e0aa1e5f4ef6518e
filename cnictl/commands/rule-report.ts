import { formatAddress, formatCidr } from '../../ipam/model/address.ts';
import type { Labels, Rule } from '../../ipam/model/rule.ts';
import type { BlockOfRule, PodOfRule } from '../../ipam/query/rule-pods.ts';
import type { Settled } from '../../ipam/rules/keeping.ts';
import type { Ruleless } from '../../ipam/release/ruleless.ts';
import type { Context } from '../context/context.ts';
import { formatDuration } from '../context/durations.ts';
import { plural } from '../render/plural.ts';
import { renderTable } from '../render/table.ts';
import { keepText } from './ip.ts';

export const podTable = ({ paint }: Context, pods: readonly PodOfRule[]): string =>
  renderTable<PodOfRule>(
    [
      { title: 'POD', value: ({ namespace, name }) => `${namespace}/${name}` },
      { title: 'ADDRESS', value: ({ address }) => formatAddress(address) },
      { title: 'RANGE', value: ({ range }) => range },
      { title: 'NODE', value: ({ node }) => node },
      { title: 'STATE', value: ({ state }) => state },
    ],
    pods,
    paint,
  );

/**
 * Says what a change of a rule did to addresses.
 * @param keeps whether the rule keeps: then also that nothing was to do
 */
export function settledText({ kept, ended }: Settled, keeps: boolean): string {
  const now =
    keeps || kept > 0
      ? `kept from now on: ${plural(kept, 'address', 'addresses')} of pods that live
`
      : '';
  const free =
    ended > 0
      ? `free again: ${plural(ended, 'address', 'addresses')} kept for pods that are gone
`
      : '';
  return `${now}${free}`;
}

/** Says what became of own blocks of rules that are gone. */
export function rulelessText({ returned, left }: Ruleless): string {
  const back = returned.length > 0 ? `returned: ${returned.join(', ')}\n` : '';
  if (left.length === 0) return back;
  const [them, their] = left.length === 1 ? ['it', 'its'] : ['them', 'their'];
  return `${back}${left.join(', ')}: nothing more is given out of ${them}; \`cnictl check --release\` returns ${them} once ${their} pods are gone\n`;
}

/** Says for which pods the rule is, in one line. */
export function conditionsText(rule: Rule): string {
  const conditions = [
    ['label', labelsText(rule.podLabels)],
    ['owner', rule.ownerKind ?? ''],
    ['namespace label', labelsText(rule.namespaceLabels)],
    ['nodes', labelsText(rule.nodeLabels)],
  ].flatMap(([what, text]) => (text ? [`${what} ${text}`] : []));
  return [`${rule.namespace}/${rule.pod}`, ...conditions].join(', ');
}

export const effectText = (rule: Rule): string => {
  const keeps = keepsText(rule);
  const asks = annotationsText(rule);
  return [
    rangesText(rule),
    ...(rule.fallback ? ['else any'] : []),
    ...(rule.ownBlocks ? ['own blocks'] : []),
    ...(keeps === undefined ? [] : [`kept ${keeps}`]),
    ...(asks === undefined ? [] : [`annotations ${asks}`]),
  ].join(', ');
};

export const rangesText = ({ ranges }: Rule): string => ranges.join(', ') || 'any';

/** Says how long and for whom addresses are kept. */
export const keepsText = ({ keep }: Rule): string | undefined =>
  keep && `${keepText(keep)}${keep.anyPod ? ' for any pod' : ''}`;

/** Says what annotations of the pods may ask for; undefined: nothing. */
export const annotationsText = ({ annotations }: Rule): string | undefined => {
  if (!annotations) return undefined;
  const { kinds, keepAtMostMs } = annotations;
  const most = keepAtMostMs === undefined ? '' : ` (at most ${formatDuration(keepAtMostMs)})`;
  return kinds.map((kind) => `${kind}${kind === 'keep' ? most : ''}`).join(' ');
};

export const labelsText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');

/** Scripts rely on these keys. More keys may be added. */
export function ruleJson(rule: Rule): object {
  const { name, namespace, pod, podLabels, ownerKind, namespaceLabels, nodeLabels, ranges, fallback } = rule;
  return {
    ...{ name, namespace, pod, podLabels, ownerKind: ownerKind ?? null, namespaceLabels, nodeLabels },
    ...{ ranges, fallback, addedAt: new Date(rule.addedAt).toISOString() },
    ownBlocks: rule.ownBlocks ?? false,
    keep: rule.keep ? { forMs: rule.keep.forMs ?? null, anyPod: rule.keep.anyPod ?? false } : null,
    annotations: rule.annotations
      ? { kinds: rule.annotations.kinds, keepAtMostMs: rule.annotations.keepAtMostMs ?? null }
      : null,
  };
}

export const blockJson = ({ cidr, range, counts }: BlockOfRule): object => ({
  ...{ cidr: formatCidr(cidr), range, capacity: counts.capacity, allocated: counts.used },
});

/** Says which blocks are the rule's own: the lines of a firewall. */
export const blocksText = (blocks: readonly BlockOfRule[]): string =>
  blocks.map(({ cidr, counts }) => `${formatCidr(cidr)} (${counts.used} of ${counts.capacity})`).join(', ') ||
  'none yet';

export const podJson = ({ namespace, name, node, address, range, state }: PodOfRule): object => ({
  ...{ namespace, name, node, ip: formatAddress(address), range, state },
});
