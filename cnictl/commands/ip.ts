import { ANNOTATION_PREFIX } from '../../ipam/model/annotations.ts';
import { formatAddress, formatCidr, parseAddress } from '../../ipam/model/address.ts';
import { didYouMean } from '../../ipam/model/nearest.ts';
import { isPattern, matchesPattern } from '../../ipam/model/pattern.ts';
import type { Owner } from '../../ipam/model/attachment.ts';
import { addressesOf, showAddress, type AddressView, type BlockFilter } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import type { Keep, KeepTerms } from '../../ipam/model/keep.ts';
import { formatAge, formatDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import { painted } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { podJson, podText } from '../render/pod.ts';
import { printable } from '../render/printable.ts';
import { renderFields, renderTable, type Column } from '../render/table.ts';
import { blocksOf } from './known-node.ts';
import { noBlockText } from './node-blocks.ts';
import type { Listed, ListOptions } from './list.ts';
import { showList } from './show-list.ts';

/** States of addresses for people. JSON calls a conflict `cooling`, with a `conflictMac`. */
export const ADDRESS_STATES = ['used', 'kept', 'cooling', 'conflict', 'reserved', 'free'] as const;

export interface IpListOptions extends ListOptions, BlockFilter {
  /** Patterns, as those of rules. */
  readonly namespace?: string;
  readonly pod?: string;
  readonly state?: readonly string[];
}

/**
 * `ip list`: shows used, kept and cooling addresses of the claimed blocks, or those in the states
 * that are asked for. Without a state, JSON also has the reserved ones.
 * @throws CommandError for a node that nothing knows, or a state that there is not
 */
export async function ipList(context: Context, options: IpListOptions): Promise<number> {
  const states = statesOf(options.state ?? []);
  return await showList<AddressView>(context, options, {
    gather: () => gatherAddresses(context, options, states),
    columns: () => addressColumns(context, context.world.now()),
    json: addressJson,
    name: ({ address }) => formatAddress(address),
    isOnlyData: ({ state }) => states.size === 0 && state === 'reserved',
  });
}

async function gatherAddresses(
  context: Context,
  { node, range, namespace, pod }: IpListOptions,
  states: ReadonlySet<string>,
): Promise<Listed<AddressView>> {
  const filter = { ...(node !== undefined && { node }), ...(range !== undefined && { range }) };
  const { blocks, unreadable, nodes } = await context.withIpam((ipam) => blocksOf(context, ipam, filter));
  const now = context.world.now();
  const found = blocks
    .flatMap((view) => addressesOf(view, now, states.has('free')))
    .filter((view) => node === undefined || view.node === node);
  const rows = found
    .filter((view) => states.size === 0 || states.has(isConflict(view) ? 'conflict' : view.state))
    .filter((view) => isOfPod(podOf(view), namespace, pod));
  const none = (): string => {
    if (nodes) return noBlockText({ node: node ?? '', ...filter }, nodes);
    if (rows.length === 0 && unreadable.length > 0) return 'No address that can be read is given out.\n';
    if (found.some(({ state }) => state !== 'reserved'))
      return `No such address.${namespaceHint(namespace, found.map(podOf))}\n`;
    return 'No addresses are given out.\n';
  };
  return { rows, unreadable, none };
}

/** @throws CommandError */
function statesOf(given: readonly string[]): ReadonlySet<string> {
  const states = given.flatMap((text) => text.split(',')).map((text) => text.trim());
  for (const state of states)
    if (!ADDRESS_STATES.some((each) => each === state))
      throw new CommandError(
        `--state '${state}': expected some of ${ADDRESS_STATES.join(', ')}`,
        didYouMean(state, ADDRESS_STATES).trim(),
      );
  return new Set(states);
}

type PodOf = Pick<Owner, 'podNamespace' | 'podName'> | undefined;

/** Whether a pod fits the patterns; where there are some, an address without a pod does not. */
export function isOfPod(pod: PodOf, namespace: string | undefined, name: string | undefined): boolean {
  const fits = (pattern: string | undefined, text: string | undefined): boolean =>
    pattern === undefined || (text !== undefined && matchesPattern(pattern, text));
  return fits(namespace, pod?.podNamespace) && fits(name, pod?.podName);
}

/** Returns what namespace may have been meant, for one that no pod is of. */
export function namespaceHint(namespace: string | undefined, pods: readonly PodOf[]): string {
  const known = new Set(pods.flatMap((pod) => pod?.podNamespace ?? []));
  if (namespace === undefined || isPattern(namespace) || known.has(namespace)) return '';
  const hint = didYouMean(namespace, known).trim();
  return ` No pod of namespace '${printable(namespace)}' has one.${hint === '' ? '' : ` ${printable(hint)}`}`;
}

export const addressTable = (context: Context, views: readonly AddressView[], now: number): string =>
  renderTable(addressColumns(context, now), views, context.paint);

function addressColumns({ paint }: Context, now: number): Column<AddressView>[] {
  return [
    { title: 'ADDRESS', value: ({ address }) => formatAddress(address), sort: addressKey },
    { title: 'STATE', value: (view) => painted(paintState(view, paint)) },
    { title: 'POD', value: (view) => podText(podOf(view)) },
    { title: 'NODE', value: ({ node }) => node ?? '-' },
    { title: 'RANGE', value: ({ range }) => range, spare: 2 },
    { title: 'INTERFACE', value: (view) => podOf(view)?.ifname ?? '-', spare: 3 },
    { title: 'CONTAINER', value: (view) => ownerOf(view)?.containerId.slice(0, 12) ?? '-', spare: 4 },
    {
      title: 'AGE',
      value: (view) => ageOf(view, now),
      right: true,
      spare: 1,
      sort: (view) => now - (since(view) ?? 0),
    },
    { title: 'BLOCK', value: ({ block }) => (block ? formatCidr(block) : '-'), wide: true },
    { title: 'UID', value: (view) => podOf(view)?.podUid ?? '-', wide: true },
    { title: 'NETWORK', value: (view) => ownerOf(view)?.network ?? '-', wide: true },
  ];
}

/** IPv4 comes before IPv6. */
export const addressKey = ({ address }: Pick<AddressView, 'address'>): bigint =>
  (BigInt(address.family) << 128n) + address.value;

/** `ip show` */
export async function ipShow(context: Context, text: string): Promise<number> {
  const address = parseAddress(text);
  const view = await context.withIpam((ipam) => showAddress(ipam, address));
  const now = context.world.now();
  context.print(addressJson(view), () => {
    const owner = ownerOf(view);
    const held: [string, string][] = owner
      ? [
          ['Pod', podText(owner)],
          ['Pod UID', owner.podUid ?? '-'],
          ['Container', owner.containerId],
          ['Interface', owner.ifname],
          ['Network', owner.network],
        ]
      : [];
    return renderFields(
      [
        ['Address', formatAddress(view.address)],
        ['State', stateText(view)],
        ['Range', view.range],
        ['Block', view.block ? formatCidr(view.block) : 'not claimed'],
        ['Node', view.node ?? '-'],
        ...held,
        ...chosenFields(view),
        ...keptFields(view, now),
        ['Since', sinceText(view, now)],
        ...conflictFields(view),
      ],
      context.paint,
    );
  });
  return 0;
}

export function ownerOf({ slot }: AddressView): Owner | undefined {
  return slot?.state === 'used' ? slot.owner : undefined;
}

/** Returns the pod that has the address, or for which it is kept. */
export function podOf({
  slot,
}: AddressView): Pick<Owner, 'podNamespace' | 'podName' | 'podUid' | 'ifname'> | undefined {
  if (slot?.state === 'used') return slot.owner;
  if (slot?.state !== 'kept') return undefined;
  const { namespace, name, ifname } = slot.pod;
  return { podNamespace: namespace, podName: name, ifname };
}

/** Says which annotations of the pod chose the address. */
function chosenFields({ slot }: AddressView): [string, string][] {
  return slot?.state === 'used' && slot.chosenBy ? [['Chosen', chosenText(slot.chosenBy)]] : [];
}

export const chosenText = (kinds: readonly string[]): string =>
  `by annotation ${kinds.map((kind) => `${ANNOTATION_PREFIX}${kind}`).join(' and ')} of the pod`;

/** Says for whom the address is kept, by which rule and how long. */
function keptFields({ slot, state }: AddressView, now: number): [string, string][] {
  if (slot?.state === 'used' && slot.keep)
    return [['Kept', `when the pod goes, ${keepText(slot.keep)}, ${keeperText(slot.keep)}`]];
  if (slot?.state !== 'kept' || state !== 'kept') return [];
  const { keep, keptAt, pod, scaledDownAt } = slot;
  const left = keep.forMs === undefined ? '' : `, ${formatAge(keptAt + keep.forMs - now)} more`;
  const whom = keep.anyPod ? `any pod of the rule; last ${pod.namespace}/${pod.name}` : 'this pod';
  return [
    ['Pod', `${pod.namespace}/${pod.name}`],
    ['Interface', pod.ifname],
    ['Kept', `for ${whom}, ${keepText(keep)}${left}, ${keeperText(keep)}`],
    ...(scaledDownAt === undefined
      ? []
      : [scaledDownField(`${new Date(scaledDownAt).toISOString()} (${formatAge(now - scaledDownAt)})`)]),
  ];
}

/** @param at when a check saw it first */
const scaledDownField = (at: string): [string, string] => [
  'Scaled down',
  `since ${at} at the latest: its StatefulSet does not make this pod`,
];

const keeperText = ({ rule, byAnnotation }: Pick<Keep, 'rule' | 'byAnnotation'>): string =>
  byAnnotation ? `by its annotation, which rule ${rule} allows` : `by rule ${rule}`;

/** Says how long addresses are kept. */
export const keepText = ({ forMs }: KeepTerms): string =>
  forMs === undefined ? 'for ever' : `for ${formatDuration(forMs)}`;

function since({ slot }: AddressView): number | undefined {
  if (slot?.state === 'used') return slot.allocatedAt;
  if (slot?.state === 'kept') return slot.keptAt;
  return slot?.state === 'released' ? slot.releasedAt : undefined;
}

function ageOf(view: AddressView, now: number): string {
  const at = since(view);
  return at === undefined ? '-' : formatAge(now - at);
}

function sinceText(view: AddressView, now: number): string {
  const at = since(view);
  return at === undefined ? '-' : `${new Date(at).toISOString()} (${formatAge(now - at)})`;
}

/**
 * Returns `conflict` for an address set aside because a foreign host uses it. JSON has `cooling`,
 * and the host's MAC in `conflictMac`.
 */
export function stateText(view: AddressView): string {
  if (view.reservedAs !== undefined) return `${view.state} (${view.reservedAs})`;
  return isConflict(view) ? 'conflict' : view.state;
}

function paintState(view: AddressView, paint: Paint): string {
  const text = stateText(view);
  if (isConflict(view)) return paint.yellow(text);
  return view.state === 'used' ? text : paint.dim(text);
}

function isConflict(view: AddressView): boolean {
  return view.state === 'cooling' && conflictOf(view) !== undefined;
}

function conflictOf({ slot }: AddressView): string | undefined {
  return slot?.state === 'released' ? slot.conflictMac : undefined;
}

function conflictFields(view: AddressView): [string, string][] {
  return isConflict(view) ? [['Conflict', `${conflictOf(view) ?? ''} uses it: set aside for an hour`]] : [];
}

/** Scripts rely on these keys. */
export function addressJson(view: AddressView): object {
  const { slot } = view;
  const owner = ownerOf(view);
  const keep = slot?.state === 'used' || slot?.state === 'kept' ? slot.keep : undefined;
  return {
    ip: formatAddress(view.address),
    range: view.range,
    block: view.block ? formatCidr(view.block) : null,
    node: view.node ?? null,
    containerId: owner?.containerId ?? null,
    ifname: podOf(view)?.ifname ?? null,
    pod: podJson(podOf(view)),
    network: owner?.network ?? null,
    allocatedAt: slot?.state === 'used' ? new Date(slot.allocatedAt).toISOString() : null,
    releasedAt: slot?.state === 'released' ? new Date(slot.releasedAt).toISOString() : null,
    keptAt: slot?.state === 'kept' ? new Date(slot.keptAt).toISOString() : null,
    ...(slot?.state === 'kept' &&
      slot.scaledDownAt !== undefined && { scaledDownAt: new Date(slot.scaledDownAt).toISOString() }),
    keep: keep ? keepJson(keep) : null,
    chosenBy: slot?.state === 'used' ? (slot.chosenBy ?? []) : [],
    state: view.state,
    conflictMac: conflictOf(view) ?? null,
    reservedAs: view.reservedAs ?? null,
  };
}

export const keepJson = ({ rule, forMs, anyPod, byAnnotation }: Keep): object => ({
  ...{ rule, forMs: forMs ?? null, anyPod: anyPod ?? false },
  byAnnotation: byAnnotation ?? false,
});
