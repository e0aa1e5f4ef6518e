import type { Source } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import { chooseRule, isNamed, type Asks, type Facts, type Rule } from '../model/rule.ts';
import type { Ipam } from '../node/ipam.ts';
import type { NodeTransaction } from '../node/transaction.ts';
import { unreadableError } from '../records/unreadable.ts';
import { allowsAnnotations, annotatedSources } from './annotated.ts';
import type { AllocationRequest } from './allocation.ts';

/** Where the addresses may come from, one after the other; or what must be asked to tell it. */
export type Sources = readonly Source[] | Asks;

/**
 * Returns where the attachment's addresses may come from, as the most specific rule for its pod
 * says, and the pod's annotations where that rule allows them. A container that is no pod has no
 * rule.
 * @throws IpamError `corrupt-record` for a rule that may be for the pod; `invalid`, `conflict` for
 *   an annotation; `store-…`
 */
export async function sourcesFor(
  { store, rules }: Pick<Ipam, 'store' | 'rules'>,
  request: AllocationRequest,
  { rulesChanged }: Pick<NodeTransaction, 'rulesChanged'>,
  facts: Facts,
): Promise<Sources> {
  const { podNamespace, podName } = request.owner;
  if (podNamespace === undefined || podName === undefined) return [request];
  const found = await rules.of(store, podNamespace, rulesChanged);
  const [unreadable] = found.unreadable;
  if (unreadable) throw unreadableError(unreadable);
  const ofNetwork = found.rules.filter(
    (rule) => rule.ranges.length === 0 || rangesWithin(rule, request).length > 0,
  );
  const pod = { namespace: podNamespace, name: podName };
  const choice = chooseRule(ofNetwork, pod, facts);
  if ('asks' in choice) {
    // One question takes less time than two in a row.
    const mayRead = !facts.pod && ofNetwork.some((each) => isNamed(each, pod) && allowsAnnotations(each));
    return mayRead ? { asks: [...new Set([...choice.asks, 'pod' as const])] } : choice;
  }
  const { rule } = choice;
  if (!rule) return [request];
  const byRule = sourcesOf(rule, request);
  if (!allowsAnnotations(rule)) return byRule;
  return facts.pod ? await annotatedSources(store, rule, request, byRule, facts.pod) : { asks: ['pod'] };
}

/** Where the rule says that the addresses come from. */
function sourcesOf(rule: Rule, request: AllocationRequest): readonly Source[] {
  const anywhere: Source = {
    ...request,
    ...(rule.keep && { keep: { ...rule.keep, rule: rule.name } }),
    ...(rule.ownBlocks && { blocksOf: rule.name }),
  };
  if (rule.ranges.length === 0) return [anywhere];
  const byRule: Source = { ...anywhere, ranges: rangesWithin(rule, request), rule: rule.name };
  return rule.fallback ? [byRule, anywhere] : [byRule];
}

/** A network that names its ranges has no others: a rule chooses among them. */
const rangesWithin = ({ ranges }: Rule, request: Source): string[] =>
  ranges.filter((name) => request.ranges?.includes(name) ?? true);

/**
 * Tries the sources in turn until one has room.
 * @param cached whether a full one may be full only by what the process remembers: then the next is
 *   not tried
 * @throws IpamError `exhausted`, `not-found` of the last one
 */
export async function firstSource<T>(
  sources: readonly Source[],
  cached: boolean,
  attempt: (source: Source) => Promise<T>,
): Promise<T> {
  let last: unknown;
  for (const source of sources) {
    try {
      return await attempt(source);
    } catch (error) {
      const isFull = error instanceof IpamError && ['exhausted', 'not-found'].includes(error.code);
      if (cached || !isFull) throw error;
      last = error;
    }
  }
  throw last;
}
