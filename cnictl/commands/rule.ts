import type { Platform } from '../../cni/platform/platform.ts';
import { familyName } from '../../ipam/model/address.ts';
import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import { asksOf, bySpecificity, type Labels, type Rule } from '../../ipam/model/rule.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { listRangeUsage, type RangeUsage } from '../../ipam/query/range-usage.ts';
import { podsOfRule, type PodOfRule } from '../../ipam/query/rule-pods.ts';
import { auditKept } from '../../ipam/audit/kept-audit.ts';
import { encodeRule } from '../../ipam/records/rule-record.ts';
import { restoreRooms } from '../../ipam/rules/rooms.ts';
import { addRule, findRule, planRule, removeRule } from '../../ipam/rules/rules.ts';
import { returnRuleless } from '../../ipam/release/ruleless.ts';
import { readRanges, type RangeEntry } from '../../ipam/store/ranges.ts';
import { readRules } from '../../ipam/store/rules.ts';
import { settleKept, type AskOfPod, type Settled, type Subject } from '../../ipam/rules/keeping.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { quietLog } from '../context/quiet-log.ts';
import { renderCount } from '../render/bar.ts';
import { plural } from '../render/plural.ts';
import { renderFields, renderTable } from '../render/table.ts';
import {
  annotationsFrom,
  choosesFreely,
  freeChoice,
  keeps,
  type AnnotationOptions,
} from './rule-annotations.ts';
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

export interface RuleAddOptions extends AnnotationOptions {
  readonly namespace: string;
  readonly pod?: string;
  readonly label?: readonly string[];
  readonly ownerKind?: string;
  readonly namespaceLabel?: readonly string[];
  readonly nodes?: readonly string[];
  readonly range?: readonly string[];
  readonly fallback?: boolean;
  /** A duration, or `forever`. */
  readonly keep?: string;
  readonly anyPod?: boolean;
  readonly ownBlocks?: boolean;
  readonly dryRun?: boolean;
}

/** `rule add`: checks everything before it writes anything. */
export async function ruleAdd(context: Context, name: string, options: RuleAddOptions): Promise<number> {
  const rule = ruleFrom(context, name, options);
  const dryRun = options.dryRun ?? false;
  const { pods, unreadable, settled, isAgain } = await context.withIpam(async (ipam) => {
    const isAgain = await isThere(ipam, rule);
    if (!isAgain) await planRule(ipam, rule);
    const found = await podsOfRule(ipam, rule);
    if (choosesFreely(rule)) context.warn(freeChoice(rule));
    if (rule.ownBlocks && !isAgain && found.blocks.length > 0)
      context.warn(
        `${plural(found.blocks.length, 'block is', 'blocks are')} of an earlier rule ${name}, with its pods: ${found.blocks.length === 1 ? 'it is' : 'they are'} this rule's own now (${blocksText(found.blocks)})`,
      );
    for (const text of familiesMissing(rule, (await readRanges(ipam.store)).ranges)) context.warn(text);
    if (!dryRun && !isAgain) await addRule(ipam, rule);
    const settled = dryRun ? undefined : await settle(context, ipam, { name, rule });
    if (!dryRun && isAgain && rule.ownBlocks) await restoreRooms(ipam, name);
    return { ...found, settled, isAgain };
  });
  const isOwn = ({ range, rule: holder }: PodOfRule): boolean =>
    (rule.ranges.length === 0 || rule.ranges.includes(range)) &&
    holder === (rule.ownBlocks ? name : undefined);
  const outside = pods.filter((pod) => !isOwn(pod));
  const json = { ...ruleJson(rule), dryRun, kept: settled?.kept ?? null, pods: pods.map(podJson) };
  context.print(json, () => {
    const done = isAgain ? 'is there already' : dryRun ? 'would be added' : 'added';
    const what = `rule ${rule.name} ${done}: ${conditionsText(rule)} -> ${effectText(rule)}\n`;
    const told = `${concernedText(rule, pods, outside)}${settled ? settledText(settled, keeps(rule)) : ''}`;
    return `${what}${told}${pods.length > 0 && dryRun ? podTable(context, pods) : ''}`;
  });
  context.warnUnreadable(unreadable);
  return 0;
}

/**
 * Whether the rule is there with all that it says: then what is kept is settled again, as after a
 * first time that was interrupted, or where nobody told of pods.
 */
async function isThere({ store }: Pick<Ipam, 'store'>, rule: Rule): Promise<boolean> {
  const found = (await readRules(store)).rules.find(({ name }) => name === rule.name);
  return found !== undefined && encodeRule({ ...found, addedAt: rule.addedAt }) === encodeRule(rule);
}

/** Makes what is kept agree with the rules, where a rule keeps or has kept addresses. */
async function settle(context: Context, ipam: Ipam, subject: Subject): Promise<Settled | undefined> {
  const { rules } = await readRules(ipam.store);
  const mayKeep = subject.rule === undefined || keeps(subject.rule) || rules.some(keeps);
  if (!mayKeep) return undefined;
  const settled = await settleKept(ipam, subject, askWith(context));
  if (settled.untold > 0)
    context.warn(
      `${plural(settled.untold, 'address', 'addresses')} may be kept by a rule, but nobody told of their pods: they are kept from when these are made again, or when the same rule is added again with --kubeconfig`,
    );
  context.warnUnreadable(settled.unreadable);
  return settled;
}

function ruleFrom({ world }: Context, name: string, options: RuleAddOptions): Rule {
  const { namespace, pod = '*', ownerKind, range = [] } = options;
  return {
    ...{ name, namespace, pod },
    podLabels: labelsFrom(options.label, '--label'),
    ...(ownerKind !== undefined && { ownerKind }),
    namespaceLabels: labelsFrom(options.namespaceLabel, '--namespace-label'),
    nodeLabels: labelsFrom(options.nodes, '--nodes'),
    ranges: range,
    fallback: options.fallback ?? false,
    ...keepFrom(options),
    ...(options.ownBlocks && { ownBlocks: true as const }),
    ...annotationsFrom(options),
    addedAt: world.now(),
  };
}

/** @throws CommandError */
function keepFrom({ keep, anyPod = false }: RuleAddOptions): Pick<Rule, 'keep'> {
  if (keep === undefined) {
    if (anyPod) throw new CommandError('--any-pod: expected with --keep');
    return {};
  }
  const forMs = keep === 'forever' ? undefined : parseDuration(keep, '--keep', Infinity);
  return { keep: { ...(forMs !== undefined && { forMs }), ...(anyPod && { anyPod: true as const }) } };
}

/** Asks the API server about pods that live, as the agent asks about those that come. */
function askWith(context: Context): AskOfPod {
  let platform: Promise<Pick<Platform, 'podFacts'>> | undefined;
  return async ({ namespace, name, podUid }, sources) => {
    if (!context.knowsKube) return undefined;
    platform ??= context.world.openPlatform(quietLog);
    try {
      const pod = { namespace, name, uid: podUid };
      return await (await platform).podFacts(context.settings.kubeconfig, pod, sources);
    } catch (error) {
      context.warn(messageOf(error));
      return undefined;
    }
  };
}

/** Pods of two families get an address of each, or none: both must come from the rule's ranges. */
function familiesMissing({ name, ranges }: Rule, known: readonly RangeEntry[]): string[] {
  if (ranges.length === 0) return [];
  const all = known.map(({ range }) => range).filter(({ state }) => state === 'active');
  const own = all.filter((range) => ranges.includes(range.name));
  const lacks = ([4, 6] as const).filter(
    (family) =>
      all.some(({ cidr }) => cidr.base.family === family) &&
      !own.some(({ cidr }) => cidr.base.family === family),
  );
  return lacks.map(
    (family) =>
      `rule ${name} names no active range of ${familyName(family)}: pods that need an address of it too get none by this rule`,
  );
}

/** @throws CommandError */
function labelsFrom(texts: readonly string[] = [], option: string): Labels {
  const labels = texts.map((text): [string, string] => {
    const [key = '', value, ...more] = text.split('=');
    if (value === undefined || more.length > 0)
      throw new CommandError(`${option} '${text}': expected KEY=VALUE, such as app=web`);
    return [key, value];
  });
  const twice = labels.find(([key], i) => labels.findIndex(([other]) => other === key) !== i);
  if (twice) throw new CommandError(`${option} '${twice[0]}=${twice[1]}': expected each key once`);
  return Object.fromEntries(labels);
}

function concernedText(rule: Rule, pods: readonly PodOfRule[], outside: readonly PodOfRule[]): string {
  if (pods.length === 0) return 'no pod that has an address now is concerned\n';
  const asks = asksOf(rule);
  const may = asks.length > 0 ? ` by their names (labels are looked at when a pod comes)` : '';
  const others =
    outside.length === 0
      ? `all in its ${rule.ownBlocks ? 'blocks' : 'ranges'}`
      : `${plural(outside.length, 'address', 'addresses')} in other ${rule.ownBlocks ? 'blocks' : 'ranges'}, kept until the pod is made again`;
  return `concerned${may}: ${plural(pods.length, 'address', 'addresses')} of pods that live now, ${others}\n`;
}

/** `rule list` */
export async function ruleList(context: Context): Promise<number> {
  const { rules, usages, kept, unreadable } = await context.withIpam(async (ipam) => {
    const kept = await auditKept(ipam);
    const known = await readRules(ipam.store);
    return { ...known, kept, usages: (await listRangeUsage(ipam)).usages };
  });
  const ownOf = ({ name }: Rule): number => kept.owned.get(name)?.length ?? 0;
  const keptBy = ({ name }: Rule): number => kept.counts.get(name) ?? 0;
  const sorted = [...rules].sort((a, b) => bySpecificity(a, b) || (a.name < b.name ? -1 : 1));
  context.print(
    sorted.map((rule) => ({
      ...ruleJson(rule),
      free: freeOf(rule, usages),
      blocks: ownOf(rule),
      kept: keptBy(rule),
    })),
    () => {
      if (sorted.length === 0) return 'No rules: every pod draws from every range of its network.\n';
      return renderTable<Rule>(
        [
          { title: 'NAME', value: ({ name }) => name },
          { title: 'PODS', value: conditionsText },
          { title: 'RANGES', value: effectText },
          { title: 'FREE', value: (rule) => renderCount(freeOf(rule, usages)), right: true },
          { title: 'BLOCKS', value: (rule) => (rule.ownBlocks ? `${ownOf(rule)}` : '-'), right: true },
          { title: 'KEPT', value: (rule) => (keeps(rule) ? `${keptBy(rule)}` : '-'), right: true },
        ],
        sorted,
        context.paint,
      );
    },
  );
  for (const problem of kept.problems)
    context.warn(`${problem}: docs/operations/bad-record.md#kept-addresses`);
  // A removal that was killed leaves them.
  for (const [name, count] of kept.counts)
    if (unreadable.length === 0 && !rules.some((rule) => rule.name === name))
      context.warn(
        `${plural(count, 'address is', 'addresses are')} kept by rule ${name}, which does not exist: cnictl rule remove ${name}`,
      );
  for (const [name, { length }] of kept.owned)
    if (unreadable.length === 0 && !rules.some((rule) => rule.name === name && rule.ownBlocks))
      context.warn(
        `${plural(length, 'block is', 'blocks are')} of rule ${name} alone, which does not exist or has none of its own any more: \`cnictl check --release\` returns them once their pods are gone`,
      );
  context.warnUnreadable(unreadable);
  return 0;
}

const freeOf = ({ ranges }: Rule, usages: readonly RangeUsage[]): number =>
  usages
    .filter(({ range }) => (ranges.length > 0 ? ranges.includes(range.name) : !range.namedOnly))
    .filter(({ range }) => range.state === 'active')
    .reduce((sum, { free }) => sum + free, 0);

/** `rule show` */
export async function ruleShow(context: Context, name: string): Promise<number> {
  const { rule, pods, blocks, unreadable } = await context.withIpam(async (ipam) => {
    const rule = await findRule(ipam, name);
    return { rule, ...(await podsOfRule(ipam, rule, true)) };
  });
  const json = { ...ruleJson(rule), blocks: blocks.map(blockJson), pods: pods.map(podJson) };
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
