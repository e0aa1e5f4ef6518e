import { ANNOTATION_PREFIX } from '../../ipam/model/annotations.ts';
import { formatAddress, formatCidr, parseAddress } from '../../ipam/model/address.ts';
import type { Owner } from '../../ipam/model/attachment.ts';
import { addressesOf, showAddress, type AddressView, type BlockFilter } from '../../ipam/query/views.ts';
import type { Context } from '../context/context.ts';
import type { Keep, KeepTerms } from '../../ipam/model/keep.ts';
import { formatAge, formatDuration } from '../context/durations.ts';
import { painted } from '../render/cell.ts';
import type { Paint } from '../render/paint.ts';
import { podJson, podText } from '../render/pod.ts';
import { renderFields, renderTable } from '../render/table.ts';
import { blocksOf } from './known-node.ts';
import { noBlockText } from './node-blocks.ts';

/**
 * `ip list`: shows used, kept and cooling addresses of the claimed blocks. JSON also has the
 * reserved ones.
 * @throws CommandError for a node that nothing knows
 */
export async function ipList(context: Context, filter: BlockFilter): Promise<number> {
  const now = context.world.now();
  const { blocks, unreadable, nodes } = await context.withIpam((ipam) => blocksOf(context, ipam, filter));
  const views = blocks
    .flatMap((view) => addressesOf(view, now))
    .filter(({ node }) => filter.node === undefined || node === filter.node);
  context.print(views.map(addressJson), () => {
    if (nodes) return noBlockText(filter, nodes);
    const shown = views.filter((view) => view.state !== 'reserved');
    if (shown.length === 0 && unreadable.length > 0) return 'No address that can be read is given out.\n';
    if (shown.length === 0) return 'No addresses are given out.\n';
    return addressTable(context, shown, now);
  });
  context.warnUnreadable(unreadable);
  return 0;
}

export function addressTable({ paint }: Context, views: readonly AddressView[], now: number): string {
  return renderTable<AddressView>(
    [
      { title: 'ADDRESS', value: ({ address }) => formatAddress(address) },
      { title: 'STATE', value: (view) => painted(paintState(view, paint)) },
      { title: 'POD', value: (view) => podText(podOf(view)) },
      { title: 'NODE', value: ({ node }) => node ?? '-' },
      { title: 'RANGE', value: ({ range }) => range },
      { title: 'INTERFACE', value: (view) => podOf(view)?.ifname ?? '-' },
      { title: 'CONTAINER', value: (view) => ownerOf(view)?.containerId.slice(0, 12) ?? '-' },
      { title: 'AGE', value: (view) => ageOf(view, now), right: true },
    ],
    views,
    paint,
  );
}

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
function podOf({
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
