import { familyName } from '../../ipam/model/address.ts';
import { asksOf, type Labels, type Rule } from '../../ipam/model/rule.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { podsOfRule, type PodOfRule } from '../../ipam/query/rule-pods.ts';
import { encodeRule, ruleVersion } from '../../ipam/records/rule-record.ts';
import { addRule, planRule } from '../../ipam/rules/rules.ts';
import { readRanges, type RangeEntry } from '../../ipam/store/ranges.ts';
import { readRules } from '../../ipam/store/rules.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { unableText } from '../overview/unable.ts';
import { plural } from '../render/plural.ts';
import {
  annotationsFrom,
  choosesFreely,
  freeChoice,
  keeps,
  type AnnotationOptions,
} from './rule-annotations.ts';
import { settle } from './rule-settle.ts';
import {
  blocksText,
  conditionsText,
  effectText,
  podJson,
  podTable,
  ruleJson,
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
    const unable = await unableText(ipam.store, { rules: ruleVersion(rule) }, 'this rule');
    if (unable !== undefined) context.warn(unable);
    if (choosesFreely(rule)) context.warn(freeChoice(rule));
    if (rule.ownBlocks && !isAgain && found.blocks.length > 0)
      context.warn(
        `${plural(found.blocks.length, 'block is', 'blocks are')} of an earlier rule ${name}, with its pods: ${found.blocks.length === 1 ? 'it is' : 'they are'} this rule's own now (${blocksText(found.blocks)})`,
      );
    for (const text of familiesMissing(rule, (await readRanges(ipam.store)).ranges)) context.warn(text);
    if (!dryRun && !isAgain) await addRule(ipam, rule);
    const settled = dryRun ? undefined : await settle(context, ipam, { name, rule });
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
