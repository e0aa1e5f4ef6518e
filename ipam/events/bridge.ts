import { formatCidr, parseAddress } from '../model/address.ts';
import { releaseCount } from '../model/block-counts.ts';
import { slotIndex, type Block, type Slot } from '../model/block.ts';
import { isoTime } from '../records/codec.ts';
import { happening, keepJson, type Happening } from './event.ts';
import { causeOf, type LifetimeNote } from './notes.ts';
import { eventsOfBlock } from './block-events.ts';
import { macOf } from '../model/mac.ts';

const FREE: Slot = { state: 'free' };

/**
 * Returns what happened to a block while nobody looked: by its two states, and by the lifetimes
 * that ended in between, the earliest first.
 */
export function bridgeBlock(
  before: Block | undefined,
  after: Block | undefined,
  lifetimes: readonly LifetimeNote[],
): Happening[] {
  const block = before ?? after;
  if (!block) return lifetimes.flatMap((lifetime) => [beginning(lifetime), ending(lifetime)]);
  const slots: Slot[] = before ? [...before.slots] : block.slots.map(() => FREE);
  const events: Happening[] = [];
  for (const lifetime of lifetimes) {
    const index = slotIndex(block, parseAddress(lifetime.ip));
    const slot = slots[index] ?? FREE;
    const blockOf = (one: Slot): Block => ({ ...block, slots: slots.with(index, one) });
    if (!isOf(slot, lifetime)) {
      // The record of its end was overwritten.
      if (slot.state === 'used') events.push(...eventsOfBlock(blockOf(slot), blockOf(FREE)));
      events.push(beginning(lifetime));
    }
    const end = after?.slots[index] ?? FREE;
    const isKept = end.state === 'kept' && isoTime(end.keptAt) === lifetime.releasedAt;
    events.push(isKept ? { ...ending(lifetime), type: 'kept', keep: keepJson(end.keep) } : ending(lifetime));
    slots[index] = isKept ? end : FREE;
  }
  const claim = before ? [] : eventsOfBlock(undefined, { ...block, slots: [] });
  return [...claim, ...events, ...eventsOfBlock({ ...block, slots }, after)];
}

/** Whether the lifetimes are all that ended in between: a block keeps the newest ones only. */
export function isComplete(
  before: Block | undefined,
  after: Block | undefined,
  lifetimes: readonly LifetimeNote[],
): boolean {
  if (!before || !after) return !before && !after;
  return releaseCount(after) - releaseCount(before) <= lifetimes.length && after.sequence >= before.sequence;
}

const isOf = (slot: Slot, { containerId, ifname, allocatedAt }: LifetimeNote): boolean =>
  slot.state === 'used' &&
  slot.owner.containerId === containerId &&
  slot.owner.ifname === ifname &&
  isoTime(slot.allocatedAt) === allocatedAt;

export const beginning = (lifetime: LifetimeNote): Happening => ({
  ...ofLifetime('assigned', lifetime),
  at: lifetime.allocatedAt,
});

export const ending = (lifetime: LifetimeNote): Happening => ({
  ...ofLifetime('released', lifetime),
  at: lifetime.releasedAt,
  ...causeOf(lifetime),
});

function ofLifetime(type: 'assigned' | 'released', note: LifetimeNote): Happening {
  const { ip, range, node, containerId, ifname, network, allocatedAt, podNamespace, podName, podUid } = note;
  const isPod = podName !== undefined || podUid !== undefined;
  const address = parseAddress(ip);
  return happening(type, undefined, {
    ...{ ip, range, node, containerId, ifname, network, allocatedAt },
    pod: isPod ? { namespace: podNamespace ?? null, name: podName ?? null, uid: podUid ?? null } : null,
    mac: address.family === 4 ? macOf([address]) : null,
  });
}

/** Returns the text of the block of an event, for those that do not know it yet. */
export const withBlock = (block: Block | undefined, events: readonly Happening[]): Happening[] =>
  events.map((event) => ({ ...event, block: event.block ?? (block ? formatCidr(block.cidr) : null) }));
