import { formatCidr, parseAddress } from '../model/address.ts';
import type { Block, Slot } from '../model/block.ts';
import { macOf } from '../model/mac.ts';
import { happening, type Happening } from './event.ts';
import { Notes } from './notes.ts';
import { eventsOfSlot } from './slot-events.ts';

const FREE: Slot = { state: 'free' };
const NO_NOTES = new Notes();

/**
 * Returns what happened between two states of a block, in order: its claim first, its return last,
 * its addresses in between, each one's end before its next beginning.
 * @param notes what the same transaction says about releases
 */
export function eventsOfBlock(
  before: Block | undefined,
  after: Block | undefined,
  notes: Notes = NO_NOTES,
): Happening[] {
  const block = after ?? before;
  if (!block) return [];
  const from = before ?? { ...block, slots: [] };
  const to = after ?? { ...block, slots: [] };
  const events: Happening[] = [];
  if (!before) events.push(blockHappening('block-claimed', block, block.claimedAt));
  else if (after && before.node !== after.node)
    events.push({ ...blockHappening('block-moved', after, undefined), fromNode: before.node });
  const count = Math.max(from.slots.length, to.slots.length);
  for (let index = 0; index < count; index++) {
    const place = { index, before: from, after: to };
    events.push(...eventsOfSlot(place, from.slots[index] ?? FREE, to.slots[index] ?? FREE, notes));
  }
  if (!after) events.push(blockHappening('block-returned', block, undefined));
  return events;
}

const blockHappening = (
  type: 'block-claimed' | 'block-moved' | 'block-returned',
  { cidr, range, node }: Block,
  at: number | undefined,
): Happening => happening(type, at, { range, block: formatCidr(cidr), node });

/**
 * Enters the MACs of IPv6 addresses, among the events of one transaction: one transaction assigns
 * all addresses of an attachment, so one without an IPv4 address is told apart there.
 */
export function withMacs(events: readonly Happening[]): readonly Happening[] {
  if (!events.some(({ ip, mac }) => ip !== null && mac === null)) return events;
  const known = new Map<string, string>();
  const idOf = ({ containerId, ifname }: Happening): string => `${containerId ?? ''} ${ifname ?? ''}`;
  for (const event of events)
    if (event.mac !== null && event.containerId !== null) known.set(idOf(event), event.mac);
  return events.map((event) => {
    if (event.ip === null || event.mac !== null || event.containerId === null) return event;
    const alone = event.type === 'assigned' ? macOf([parseAddress(event.ip)]) : null;
    return { ...event, mac: known.get(idOf(event)) ?? alone };
  });
}
