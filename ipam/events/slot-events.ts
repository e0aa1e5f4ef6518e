import type { Block, KeptSlot, Slot, UsedSlot } from '../model/block.ts';
import { isSamePod, podInterfaceOf, type Keep } from '../model/keep.ts';
import { isoTime } from '../records/codec.ts';
import { addressHappening, keepJson, type Happening, type Named } from './event.ts';
import type { Notes } from './notes.ts';

type Released = Extract<Slot, { state: 'released' }>;

const FREE: Exclude<Slot, UsedSlot> = { state: 'free' };

/** Where a slot is: the block as it was, and as it is. */
interface Place {
  readonly index: number;
  readonly before: Block;
  readonly after: Block;
}

/** Whether both are the same allocation, whatever else changed of it. */
export const isSameAllocation = (a: UsedSlot, b: UsedSlot): boolean =>
  a.sequence === b.sequence &&
  a.allocatedAt === b.allocatedAt &&
  a.owner.containerId === b.owner.containerId &&
  a.owner.ifname === b.owner.ifname;

/** Returns what happened to one address between two states of its block. */
export function eventsOfSlot(place: Place, a: Slot, b: Slot, notes: Notes): Happening[] {
  if (a === b) return [];
  if (a.state === 'used') return endOrGoOn(place, a, b, notes);
  switch (b.state) {
    case 'used':
      return [assigned(place, b), ...(b.condemned ? [condemned(place, b)] : [])];
    case 'kept':
      return keptAfter(place, a, b);
    case 'released':
      return restAfter(place, a, b);
    case 'free':
    case 'reserved':
      return a.state === 'kept' ? [keptEnded(place, a, undefined)] : [];
  }
}

function endOrGoOn(place: Place, a: UsedSlot, b: Slot, notes: Notes): Happening[] {
  switch (b.state) {
    case 'used':
      if (isSameAllocation(a, b)) return changes(place, a, b);
      return [
        released(place, a, undefined, notes),
        assigned(place, b),
        ...(b.condemned ? [condemned(place, b)] : []),
      ];
    case 'kept':
      if (isOfPod(b, a)) return [kept(place, b, a, notes)];
      return [released(place, a, undefined, notes), ...keptAfter(place, FREE, b)];
    case 'released':
      return [released(place, a, b.releasedAt, notes), ...conflict(place, b)];
    case 'free':
    case 'reserved':
      return [released(place, a, undefined, notes)];
  }
}

function changes(place: Place, a: UsedSlot, b: UsedSlot): Happening[] {
  const [from, to] = [a.node ?? place.before.node, b.node ?? place.after.node];
  const about = { sequence: b.sequence, allocatedAt: isoTime(b.allocatedAt) };
  const where = { block: place.after, index: place.index, node: to };
  return [
    ...(from === to
      ? []
      : [addressHappening('moved', undefined, where, b.owner, { ...about, fromNode: from })]),
    ...(isSameKeep(a.keep, b.keep)
      ? []
      : [
          addressHappening('keep-changed', undefined, where, b.owner, {
            ...about,
            keep: b.keep ? keepJson(b.keep) : null,
          }),
        ]),
    ...(b.condemned && b.condemned.at !== a.condemned?.at ? [condemned(place, b)] : []),
    ...(a.condemned && !b.condemned ? [addressHappening('pardoned', undefined, where, b.owner, about)] : []),
  ];
}

function isOfPod({ pod }: KeptSlot, { owner }: UsedSlot): boolean {
  const own = podInterfaceOf(owner);
  return own !== undefined && isSamePod(own, pod);
}

const isSameKeep = (a: Keep | undefined, b: Keep | undefined): boolean =>
  a?.rule === b?.rule && a?.forMs === b?.forMs && a?.anyPod === b?.anyPod && a?.since === b?.since;

const assigned = ({ after: block, index }: Place, slot: UsedSlot): Happening =>
  addressHappening(
    'assigned',
    slot.allocatedAt,
    { block, index, node: slot.node ?? block.node },
    slot.owner,
    {
      sequence: slot.sequence,
      allocatedAt: isoTime(slot.allocatedAt),
      ...(slot.keep && { keep: keepJson(slot.keep) }),
    },
  );

function condemned({ after: block, index }: Place, slot: UsedSlot): Happening {
  const { at, by, reason } = slot.condemned ?? { at: undefined, by: '', reason: '' };
  const where = { block, index, node: slot.node ?? block.node };
  const about = { sequence: slot.sequence, allocatedAt: isoTime(slot.allocatedAt) };
  return addressHappening('condemned', at, where, slot.owner, { ...about, by, reason });
}

/** @param at milliseconds since 1970 */
function released(
  { before: block, index }: Place,
  slot: UsedSlot,
  at: number | undefined,
  notes: Notes,
): Happening {
  const where = { block, index, node: slot.node ?? block.node };
  const plain = addressHappening('released', at, where, slot.owner, {
    sequence: slot.sequence,
    allocatedAt: isoTime(slot.allocatedAt),
  });
  return notes.explain(plain);
}

function kept({ before, after, index }: Place, slot: KeptSlot, was: UsedSlot, notes: Notes): Happening {
  const where = { block: after, index, node: was.node ?? before.node };
  const plain = addressHappening('kept', slot.keptAt, where, was.owner, {
    sequence: was.sequence,
    allocatedAt: isoTime(was.allocatedAt),
    keep: keepJson(slot.keep),
  });
  return notes.explain(plain);
}

/** An address that nobody has is kept for a pod: its record was put back. */
function keptAfter(place: Place, a: Exclude<Slot, UsedSlot>, b: KeptSlot): Happening[] {
  const isSame = a.state === 'kept' && a.sequence === b.sequence && isSamePod(a.pod, b.pod);
  if (isSame && isSameKeep(a.keep, b.keep)) return [];
  const type = isSame ? 'keep-changed' : 'kept';
  const where = { block: place.after, index: place.index };
  const at = type === 'kept' ? b.keptAt : undefined;
  return [addressHappening(type, at, where, podNames(b), { keep: keepJson(b.keep) })];
}

function restAfter(place: Place, a: Exclude<Slot, UsedSlot>, b: Released): Happening[] {
  const isTold = a.state === 'released' && a.conflictMac === b.conflictMac && a.releasedAt === b.releasedAt;
  return [
    ...(a.state === 'kept' ? [keptEnded(place, a, b.releasedAt)] : []),
    ...(isTold ? [] : conflict(place, b)),
  ];
}

const keptEnded = ({ before: block, index }: Place, slot: KeptSlot, at: number | undefined): Happening =>
  addressHappening('released', at, { block, index }, podNames(slot), { why: 'kept-ended' });

function conflict({ after: block, index }: Place, slot: Released): Happening[] {
  const { conflictMac } = slot;
  if (conflictMac === undefined) return [];
  return [addressHappening('conflict', slot.releasedAt, { block, index }, {}, { conflictMac })];
}

const podNames = ({ pod }: KeptSlot): Named => ({
  ...{ podNamespace: pod.namespace, podName: pod.name, ifname: pod.ifname },
});
