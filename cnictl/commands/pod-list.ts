import { formatAddress } from '../../ipam/model/address.ts';
import { matchesPattern } from '../../ipam/model/pattern.ts';
import { chooseRule } from '../../ipam/model/rule.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { nodeInEtcd } from '../../ipam/query/node-view.ts';
import { listPods, type ListedPod } from '../../ipam/query/pod-list.ts';
import { namespaceOfRuleKey } from '../../ipam/records/rule-record.ts';
import { findRule } from '../../ipam/rules/rules.ts';
import { readRules } from '../../ipam/store/rules.ts';
import type { Context } from '../context/context.ts';
import { formatAge } from '../context/durations.ts';
import type { Column } from '../render/table.ts';
import { addressKey, isOfPod, namespaceHint } from './ip.ts';
import { requireNodeEver } from './known-node.ts';
import type { Listed, ListOptions } from './list.ts';
import { showList } from './show-list.ts';

export interface PodListOptions extends ListOptions {
  /** Patterns, as those of rules. */
  readonly namespace?: string;
  readonly pod?: string;
  readonly node?: string;
  readonly range?: string;
  readonly rule?: string;
}

/** A pod and its rule by its names. */
interface PodRow {
  readonly pod: ListedPod;
  /** Undefined: it has none. `?`: only Kubernetes tells which. */
  readonly rule: string | undefined;
}

const UNSURE = '?';

/**
 * `pod list`: shows the pods that have addresses, each with all of them. Asks etcd alone.
 * @throws CommandError for a node that nothing knows; IpamError `not-found` for a rule
 */
export async function podList(context: Context, options: PodListOptions): Promise<number> {
  return await showList<PodRow>(context, options, {
    gather: () => context.withIpam((ipam) => gatherPods(context, ipam, options)),
    columns: () => podColumns(context.world.now()),
    json: podJson,
    name: ({ pod }) => `${pod.namespace}/${pod.name}`,
    key: ({ pod }) => `${pod.namespace}/${pod.name} ${pod.uid ?? pod.since}`,
  });
}

async function gatherPods(
  context: Context,
  ipam: Ipam,
  { namespace, pod: name, node: given, range, rule: wanted }: PodListOptions,
): Promise<Listed<PodRow>> {
  const node = given === undefined ? undefined : await nodeInEtcd(ipam, given);
  const filter = { ...(node !== undefined && { node }), ...(range !== undefined && { range }) };
  const { pods, unreadable } = await listPods(ipam, filter);
  if (node !== undefined && pods.length === 0) await requireNodeEver(context, ipam, node);
  const ruleOf = await ruleFinder(ipam);
  const namesOf = (pod: ListedPod) => ({ podNamespace: pod.namespace, podName: pod.name });
  const rows = pods
    .filter((pod) => isOfPod(namesOf(pod), namespace, name))
    .map((pod) => ({ pod, rule: pod.keptBy ?? ruleOf(pod) }))
    .filter(({ rule }) => wanted === undefined || rule === wanted);
  if (wanted !== undefined && rows.length === 0) await findRule(ipam, wanted);
  const none = (): string =>
    pods.length === 0
      ? 'No pod has an address.\n'
      : `No such pod has an address.${namespaceHint(namespace, pods.map(namesOf))}\n`;
  return { rows, unreadable, none };
}

/** Returns what tells the rule of a pod by its names. */
async function ruleFinder({ store }: Ipam): Promise<(pod: ListedPod) => string | undefined> {
  const { rules, unreadable } = await readRules(store);
  return ({ namespace, name }) => {
    if (unreadable.some(({ key }) => matchesPattern(namespaceOfRuleKey(key), namespace))) return UNSURE;
    if (rules.length === 0) return undefined;
    const choice = chooseRule(rules, { namespace, name }, {});
    return 'asks' in choice ? UNSURE : choice.rule?.name;
  };
}

const podColumns = (now: number): Column<PodRow>[] => [
  { title: 'NAMESPACE', value: ({ pod }) => pod.namespace },
  { title: 'POD', value: ({ pod }) => pod.name },
  {
    title: 'ADDRESSES',
    value: ({ pod }) => pod.addresses.map(({ address }) => formatAddress(address)).join(', '),
    sort: ({ pod: { addresses } }) => (addresses[0] ? addressKey(addresses[0]) : 0n),
  },
  { title: 'NODE', value: ({ pod }) => pod.node, spare: 1 },
  { title: 'RULE', value: ({ rule }) => rule ?? '-', spare: 3 },
  {
    title: 'AGE',
    value: ({ pod }) => formatAge(now - pod.since),
    right: true,
    spare: 2,
    sort: ({ pod }) => now - pod.since,
  },
  {
    title: 'RANGES',
    value: ({ pod }) => [...new Set(pod.addresses.map(({ range }) => range))].join(', '),
    wide: true,
  },
  {
    title: 'INTERFACES',
    value: ({ pod }) => [...new Set(pod.addresses.map(({ ifname }) => ifname))].join(', '),
    wide: true,
  },
  { title: 'UID', value: ({ pod }) => pod.uid ?? '-', wide: true },
];

/** Scripts rely on these keys. More keys may be added. */
const podJson = ({ pod, rule }: PodRow): object => ({
  namespace: pod.namespace,
  name: pod.name,
  uid: pod.uid ?? null,
  node: pod.node,
  addresses: pod.addresses.map(({ address, range, ifname }) => ({
    ip: formatAddress(address),
    range,
    ifname,
  })),
  rule: rule === UNSURE ? null : (rule ?? null),
  ruleByNames: rule !== UNSURE,
  since: new Date(pod.since).toISOString(),
});
