import { formatCidr } from '../model/address.ts';
import type { ReadBlock } from '../node/node-blocks.ts';
import { ruleOf } from '../model/holder.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockKey, cidrTextOf, rangeKey } from '../records/keys.ts';
import { decodeRoom, roomOf, type RoomPlace } from '../records/own-record.ts';
import { decodeRange } from '../records/range-record.ts';
import type { Guard } from '../records/transaction.ts';
import { readRecord, valuesOf } from '../records/unreadable.ts';
import { readAgain, type Store } from '../store/store.ts';
import { claimBlock } from './claim.ts';
import { isEligible } from './eligible.ts';
import { assign, type Assignment, type PickContext } from './pick-context.ts';
import { firstUnused } from './unused.ts';

/** Most blocks of the rule that are read to find one with room. */
const MOST_LOOKS = 16;

/**
 * Picks an address of the rule's own blocks: of one that the node has addresses of, else of any
 * with room, else of a new one. Several nodes that need a new one at once claim one together.
 * @param context.blocks those of the rule that the node has addresses of
 * @returns undefined if other writers were faster
 * @throws IpamError `exhausted`, `not-found`; `store-…`
 */
export async function pickOwn(context: PickContext, rule: string): Promise<Assignment | undefined> {
  const own = context.blocks.filter(({ range }) => isEligible(range, context));
  const found = await firstUnused(context, own);
  if (found) return assign(context, found.held, found.index);
  const room = await readRoom(context, rule);
  // Those that were looked at, and those of which an entry in the node's index cannot be read.
  const known = new Set([
    ...own.map(({ block }) => formatCidr(block.cidr)),
    ...context.others.unreadable.map(({ key }) => cidrTextOf(key)),
  ]);
  const others = room.places.filter(({ cidr }) => !known.has(formatCidr(cidr)));
  const inTurn = shuffled(others, context.ipam.effects.random).slice(0, MOST_LOOKS);
  for (const { from, ...held } of await readPlaces(context.ipam.store, rule, inTurn)) {
    if (!isEligible(held.range, context)) continue;
    const one = await firstUnused(context, [held]);
    if (one) return assign(context, held, one.index, from);
  }
  const claim = await claimBlock(context);
  const first = claim && (await firstUnused(context, [claim]));
  return first && { ...assign(context, claim, first.index, claim), guards: [room.unchanged] };
}

/** The rule's blocks with room, and the guard that there is no further one since. */
interface Room {
  readonly places: readonly RoomPlace[];
  readonly unchanged: Guard;
}

/** Reads one page: a rule with more blocks that have room has enough of them. */
function readRoom({ ipam, family }: PickContext, rule: string): Promise<Room> {
  const prefix = roomOf(rule, family);
  return readAgain(async () => {
    let revision = '0';
    const places: RoomPlace[] = [];
    for await (const page of ipam.store.scan(prefix, { onRevision: (at) => (revision = at) })) {
      places.push(...valuesOf(page.map((entry) => readRecord(entry, decodeRoom))));
      break;
    }
    return { places, unchanged: { kind: 'nothing-newer', prefix, revision } };
  });
}

/** Reads the blocks at one moment. One that cannot be read, or is another's by now, is left out. */
async function readPlaces(
  store: Store,
  rule: string,
  places: readonly RoomPlace[],
): Promise<readonly (Pick<ReadBlock, 'block' | 'range'> & Pick<Required<Assignment>, 'from'>)[]> {
  if (places.length === 0) return [];
  const names = [...new Set(places.map(({ range }) => range))];
  const entries = await store.get([
    ...names.map(rangeKey),
    ...places.map(({ range, cidr }) => blockKey(range, cidr)),
  ]);
  const ranges = new Map(
    valuesOf(
      entries
        .slice(0, names.length)
        .flatMap((entry) =>
          entry
            ? [readRecord(entry, (key, value) => ({ range: decodeRange(key, value), rangeEntry: entry }))]
            : [],
        ),
    ).map((each) => [each.range.name, each]),
  );
  return entries.slice(names.length).flatMap((entry, i) => {
    const of = ranges.get(places[i]?.range ?? '');
    const read = entry && of && readRecord(entry, decodeBlockOf(of.range));
    if (!read || 'unreadable' in read || ruleOf(read.value) !== rule) return [];
    const { value: block } = read;
    return [{ block, range: of.range, from: { ...of, read: { block, entry } } }];
  });
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const left = [...items];
  return items.flatMap(() => left.splice(Math.floor(random() * left.length), 1));
}
