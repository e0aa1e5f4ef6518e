import { familyName } from '../../ipam/model/address.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { asksOf, bySpecificity, type Labels, type Rule } from '../../ipam/model/rule.ts';
import { listRangeUsage, type RangeUsage } from '../../ipam/query/range-usage.ts';
import { podsOfRule } from '../../ipam/query/rule-pods.ts';
import { auditKept } from '../../ipam/audit/kept-audit.ts';
import { findRule, removeRule } from '../../ipam/rules/rules.ts';
import { returnRuleless } from '../../ipam/release/ruleless.ts';
import { mayOwnBlocks, readRules } from '../../ipam/store/rules.ts';
import type { Context } from '../context/context.ts';
import { renderCount } from '../render/bar.ts';
import { familyFields, forecastJson } from '../render/forecast.ts';
import { plural } from '../render/plural.ts';
import { renderFields, type Column } from '../render/table.ts';
import { forecastsFor } from './range.ts';
import { keeps } from './rule-annotations.ts';
import { settle } from './rule-settle.ts';
import type { Listed, ListOptions } from './list.ts';
import { showList } from './show-list.ts';
import {
  annotationsText,
  blockJson,
  blocksText,
  conditionsText,
  effectText,
  keepsText,
  labelsText,
  podJson,
  podTable,
  rangesText,
  ruleJson,
  rulelessText,
  settledText,
} from './rule-report.ts';

/** A rule as `rule list` shows it. */
interface RuleRow {
  readonly rule: Rule;
  /** Addresses that its ranges have. */
  readonly free: number;
  readonly blocks: number;
  readonly kept: number;
}

/** `rule list` */
export async function ruleList(context: Context, options: ListOptions = {}): Promise<number> {
  return await showList<RuleRow>(context, options, {
    gather: () => gatherRules(context),
    columns: () => RULE_COLUMNS,
    json: ({ rule, free, blocks, kept }) => ({ ...ruleJson(rule), free, blocks, kept }),
    name: ({ rule }) => rule.name,
  });
}

const RULE_COLUMNS: readonly Column<RuleRow>[] = [
  { title: 'NAME', value: ({ rule }) => rule.name },
  { title: 'PODS', value: ({ rule }) => conditionsText(rule) },
  { title: 'RANGES', value: ({ rule }) => effectText(rule) },
  { title: 'FREE', value: ({ free }) => renderCount(free), right: true, sort: ({ free }) => free, spare: 1 },
  {
    title: 'BLOCKS',
    value: ({ rule, blocks }) => (rule.ownBlocks ? `${blocks}` : '-'),
    right: true,
    spare: 3,
  },
  { title: 'KEPT', value: ({ rule, kept }) => (keeps(rule) ? `${kept}` : '-'), right: true, spare: 2 },
];

async function gatherRules(context: Context): Promise<Listed<RuleRow>> {
  const { rules, usages, kept, unreadable } = await context.withIpam(async (ipam) => {
    const kept = await auditKept(ipam);
    const known = await readRules(ipam.store);
    return { ...known, kept, usages: (await listRangeUsage(ipam)).usages };
  });
  const rows = [...rules]
    .sort((a, b) => bySpecificity(a, b) || (a.name < b.name ? -1 : 1))
    .map((rule) => ({
      rule,
      free: freeOf(rule, usages),
      blocks: kept.owned.get(rule.name)?.length ?? 0,
      kept: kept.counts.get(rule.name) ?? 0,
    }));
  const notes = kept.problems.map((problem) => `${problem}: cnictl check --repair`);
  // A removal that was killed leaves them.
  for (const [name, count] of kept.counts)
    if (unreadable.length === 0 && !rules.some((rule) => rule.name === name))
      notes.push(
        `${plural(count, 'address is', 'addresses are')} kept by rule ${name}, which does not exist: cnictl rule remove ${name}`,
      );
  for (const [name, { length }] of kept.owned)
    if (!mayOwnBlocks({ rules, unreadable }, name))
      notes.push(
        `${plural(length, 'block is', 'blocks are')} of rule ${name} alone, which does not exist or has none of its own any more: \`cnictl check --release\` returns them once their pods are gone`,
      );
  return {
    rows,
    unreadable,
    notes,
    none: () => 'No rules: every pod draws from every range of its network.\n',
  };
}

const freeOf = ({ ranges }: Rule, usages: readonly RangeUsage[]): number =>
  usages
    .filter(({ range }) => (ranges.length > 0 ? ranges.includes(range.name) : !range.namedOnly))
    .filter(({ range }) => range.state === 'active')
    .reduce((sum, { free }) => sum + free, 0);

/** `rule show` */
export async function ruleShow(context: Context, name: string): Promise<number> {
  const { rule, pods, blocks, unreadable, forecasts } = await context.withIpam(async (ipam) => {
    const rule = await findRule(ipam, name);
    const { usages } = await listRangeUsage(ipam);
    const forecasts = await forecastsFor(context, ipam, usages);
    return { rule, ...(await podsOfRule(ipam, rule, true)), forecasts };
  });
  const now = context.world.now();
  const lasts = [...(forecasts.rules.get(name) ?? [])];
  const forecast = Object.fromEntries(
    lasts.map(([family, each]) => [familyName(family).toLowerCase(), forecastJson(forecasts, each, now)]),
  );
  const json = { ...ruleJson(rule), forecast, blocks: blocks.map(blockJson), pods: pods.map(podJson) };
  context.print(json, () => {
    const labels = (wanted: Labels): string => labelsText(wanted) || '-';
    const used = pods.filter(({ state }) => state === 'used').length;
    const fields = renderFields(
      [
        ['Name', rule.name],
        ['Namespace', rule.namespace],
        ['Pod', rule.pod],
        ['Pod labels', labels(rule.podLabels)],
        ['Owner kind', rule.ownerKind ?? '-'],
        ['Namespace labels', labels(rule.namespaceLabels)],
        ['Node labels', labels(rule.nodeLabels)],
        ['Ranges', rangesText(rule)],
        ...familyFields(forecasts, lasts, now),
        ['When full', rule.fallback ? 'the other ranges serve' : 'pods wait'],
        ['Own blocks', rule.ownBlocks || blocks.length > 0 ? blocksText(blocks) : 'no'],
        ['Kept', keepsText(rule) ?? 'no'],
        ['Annotations', annotationsText(rule) ?? 'are ignored'],
        ['Added', new Date(rule.addedAt).toISOString()],
        [
          asksOf(rule).length > 0 ? 'Addresses, by names' : 'Addresses',
          `${used}${pods.length > used ? `, and ${pods.length - used} kept` : ''}`,
        ],
      ],
      context.paint,
    );
    return pods.length === 0 ? fields : `${fields}\n${podTable(context, pods)}`;
  });
  context.warnUnreadable(unreadable);
  return 0;
}

export interface RuleRemoveOptions {
  readonly dryRun?: boolean;
  readonly ignoreNotFound?: boolean;
}

/** `rule remove`. @throws IpamError `not-found`, unless that is to be ignored */
export async function ruleRemove(
  context: Context,
  name: string,
  { dryRun = false, ignoreNotFound = false }: RuleRemoveOptions,
): Promise<number> {
  return await context.withIpam(async (ipam) => {
    try {
      const { rule } = await removeRule(ipam, name, dryRun);
      const settled = dryRun ? undefined : await settle(context, ipam, { name, ...(rule && { rule }) });
      const own = dryRun ? undefined : await returnRuleless(ipam);
      const done = dryRun ? 'would be removed' : 'removed';
      const which = rule
        ? `: ${conditionsText(rule)} -> ${effectText(rule)}`
        : ', whose record could not be read';
      const json = { name, removed: !dryRun, ended: settled?.ended ?? 0, returned: own?.returned ?? [] };
      context.print(json, () => {
        const told = `${settled ? settledText(settled, false) : ''}${own ? rulelessText(own) : ''}`;
        return `rule ${name} ${done}${which}\n${told}`;
      });
    } catch (error) {
      if (!(error instanceof IpamError) || error.code !== 'not-found') throw error;
      // A removal that was interrupted leaves what the rule has kept.
      const settled = dryRun ? undefined : await settle(context, ipam, { name });
      const own = dryRun ? undefined : await returnRuleless(ipam);
      const ended = settled?.ended ?? 0;
      const returned = own?.returned ?? [];
      if (!ignoreNotFound && ended + returned.length === 0) throw error;
      context.print({ name, removed: false, ended, returned }, () => {
        const told = `${settled ? settledText(settled, false) : ''}${own ? rulelessText(own) : ''}`;
        return ended + returned.length > 0 ? told : `nothing to remove: ${name}\n`;
      });
    }
    return 0;
  });
}
