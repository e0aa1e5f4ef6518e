/** Where the addresses of a pod come from whose annotations its rule allows. */
import { cidrContains, familyName, formatAddress, sameAddress, type Address } from '../model/address.ts';
import {
  addressesText,
  annotationKey,
  badAnnotation,
  readAnnotations,
  type AllowedAnnotations,
  type AnnotationKind,
  type AnnotationValues,
} from '../model/annotations.ts';
import type { RequestedAddress, Source, AnnotatedSource } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import type { Facts, Rule } from '../model/rule.ts';
import { rangeIfKnown, readRanges, type RangeRecords } from '../store/ranges.ts';
import type { Store } from '../store/store.ts';
import type { AllocationRequest } from './allocation.ts';

export type AnnotatedRule = Rule & { readonly annotations: AllowedAnnotations };

export const allowsAnnotations = (rule: Rule): rule is AnnotatedRule => rule.annotations !== undefined;

/**
 * Changes the sources that the rule gives as the pod's annotations ask for, within what the rule
 * allows: its ranges if it names any, else those that are for all pods of the network.
 * @param byRule without annotations, the first one to try first
 * @throws IpamError `invalid` for an annotation that asks for what is not allowed, or for nothing
 *   that exists; `conflict` with what the runtime requests; `corrupt-record`, `store-…`
 */
export async function annotatedSources(
  store: Store,
  rule: AnnotatedRule,
  request: AllocationRequest,
  byRule: readonly Source[],
  { annotations }: NonNullable<Facts['pod']>,
): Promise<readonly Source[]> {
  const values = readAnnotations(annotations, rule.annotations);
  const kept = byRule.map((source) => withKeep(source, rule, values.keep));
  if (!values.ranges && !values.ips) return kept;
  const [first = request] = kept;
  const context = { rule, request, known: await readRanges(store) };
  const ranges = values.ranges && rangesFor(context, values.ranges);
  const ips = values.ips ? addressesFor(context, values.ips, ranges) : [];
  if (!ranges && ips.length === 0) return kept;
  const asked = byRuntime(request, ips);
  const kindsOf = (family: Address['family']): AnnotationKind[] => [
    ...(ranges ? (['ranges'] as const) : []),
    ...(ips.some((each) => each.family === family) ? (['ip'] as const) : []),
  ];
  const annotated: AnnotatedSource = {
    by: Object.fromEntries(request.families.map((family) => [family, kindsOf(family)])),
    onlyOpen: isOpen(context),
    endsKept: first.annotated?.endsKept ?? false,
  };
  return [
    { ...first, rule: rule.name, ...(ranges && { ranges }), ...(asked && { requested: asked }), annotated },
  ];
}

interface Context {
  readonly rule: AnnotatedRule;
  readonly request: AllocationRequest;
  readonly known: RangeRecords;
}

/** Whether nobody whom the pod's author cannot speak for names ranges: then open ones remain. */
const isOpen = ({ rule, request }: Context): boolean =>
  rule.ranges.length === 0 && request.ranges === undefined;

/** Whether the rule lets its pods have addresses of the range. */
const isAllowed = (context: Context, { name, namedOnly }: Range): boolean => {
  const { rule } = context;
  return rule.ranges.length > 0 ? rule.ranges.includes(name) : !isOpen(context) || !namedOnly;
};

/** A network that names its ranges has no others. */
const isOfNetwork = ({ request }: Context, name: string): boolean => request.ranges?.includes(name) ?? true;

function withKeep(source: Source, rule: AnnotatedRule, value: AnnotationValues['keep']): Source {
  if (!rule.annotations.kinds.includes('keep')) return source;
  const { keep: byRule, ...rest } = source;
  const annotated = { by: {}, onlyOpen: false };
  if (value === undefined) return byRule ? source : { ...rest, annotated: { ...annotated, endsKept: true } };
  if (value === 'none') return { ...rest, annotated: { ...annotated, endsKept: true } };
  return {
    ...rest,
    keep: { rule: rule.name, ...value, ...(rule.keep?.anyPod && { anyPod: true }), byAnnotation: true },
  };
}

/** @returns undefined if the network has none of them: then the annotation is for another one */
function rangesFor(context: Context, names: readonly string[]): readonly string[] | undefined {
  const { rule, known } = context;
  const may = known.ranges.map(({ range }) => range).filter((range) => isAllowed(context, range));
  for (const name of names) {
    // One that cannot be read is not taken for one that does not exist.
    const isRuled = rule.ranges.includes(name);
    const found = rule.ranges.length === 0 || isRuled ? rangeIfKnown(known, name) : undefined;
    if (!found || !isAllowed(context, found.range))
      throw badAnnotation('ranges', names.join(), `ranges that ${allowedText(context, may)}, not '${name}'`);
  }
  const ofNetwork = names.filter((name) => isOfNetwork(context, name));
  return ofNetwork.length > 0 ? ofNetwork : undefined;
}

/** @returns those that are for the network */
function addressesFor(
  context: Context,
  ips: readonly Address[],
  ranges: readonly string[] | undefined,
): Address[] {
  const { known, request } = context;
  const value = addressesText(ips);
  return ips.filter((ip) => {
    const range = known.ranges.map((each) => each.range).find(({ cidr }) => cidrContains(cidr, ip));
    const text = formatAddress(ip);
    const may = known.ranges
      .map((each) => each.range)
      .filter((each) => isAllowed(context, each) && (ranges?.includes(each.name) ?? true));
    if (!range || !may.includes(range)) {
      const where =
        range && isAllowed(context, range)
          ? `the ranges that its annotation ${annotationKey('ranges')} names`
          : `ranges that ${allowedText(context, may)}`;
      throw badAnnotation('ip', value, `addresses of ${where}, not ${text}`);
    }
    if (!isOfNetwork(context, range.name)) return false;
    if (request.families.includes(ip.family)) return true;
    const families = request.families.map(familyName).join(' and ');
    throw badAnnotation('ip', value, `addresses of ${families}, which the network gives ('ipam.families')`);
  });
}

const allowedText = ({ rule }: Context, may: readonly Range[]): string =>
  `rule '${rule.name}' allows (${may.map(({ name }) => name).join(', ') || 'there is none'})`;

/**
 * Joins what the runtime requests and what the annotation does.
 * @returns undefined if that is nothing
 * @throws IpamError `conflict` where they differ
 */
function byRuntime(
  { requested = [] }: AllocationRequest,
  ips: readonly Address[],
): readonly RequestedAddress[] | undefined {
  const others = ips.filter((ip) => {
    const runtime = requested.find((each) => each.family === ip.family);
    if (!runtime || sameAddress(runtime, ip)) return !runtime;
    throw new IpamError(
      'conflict',
      `the runtime requests ${formatAddress(runtime)} for the pod, its annotation ${annotationKey('ip')} ${formatAddress(ip)}: expected one of them, or the same`,
    );
  });
  const all = [...requested, ...others];
  return all.length > 0 ? all : undefined;
}
