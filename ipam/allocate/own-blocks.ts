import { formatCidr } from '../model/address.ts';
import type { ReadBlock } from '../node/node-blocks.ts';
import { IpamError } from '../model/errors.ts';
import { ruleOf } from '../model/holder.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockKey, cidrTextOf, rangeKey } from '../records/keys.ts';
import { decodeRoom, roomOf, type RoomPlace } from '../records/own-record.ts';
import { decodeRange } from '../records/range-record.ts';
import type { Guard } from '../records/transaction.ts';
import { readRecord, valuesOf } from '../records/unreadable.ts';
import { readRanges } from '../store/ranges.ts';
import { scanAll, type Store } from '../store/store.ts';
import { claimBlock } from './claim.ts';
import { isEligible } from './eligible.ts';
import { assign, type Assignment, type PickContext } from './pick-context.ts';
import { firstUnused } from './unused.ts';

/** Most blocks of the rule that are read in one request. */
const AT_ONCE = 16;
/** Most requests before a further block is claimed. */
const MOST_LOOKS = 4;

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
  const looks = MOST_LOOKS * AT_ONCE;
  const other = await firstOf(context, rule, room.places.slice(0, looks));
  if (other) return other;
  try {
    const claim = await claimBlock(context);
    const first = claim && (await firstUnused(context, [claim]));
    return first && { ...assign(context, claim, first.index, claim), guards: [room.unchanged] };
  } catch (error) {
    if (!(error instanceof IpamError) || error.code !== 'exhausted') throw error;
    const last = await firstOf(context, rule, room.places.slice(looks));
    if (last) return last;
    throw error;
  }
}

/** Picks of the first block that has an address to give, some blocks at a time. */
async function firstOf(
  context: PickContext,
  rule: string,
  places: readonly RoomPlace[],
): Promise<Assignment | undefined> {
  for (let i = 0; i < places.length; i += AT_ONCE)
    for (const { from, ...held } of await readPlaces(
      context.ipam.store,
      rule,
      places.slice(i, i + AT_ONCE),
    )) {
      const one = isEligible(held.range, context) && (await firstUnused(context, [held]));
      if (one) return assign(context, held, one.index, from);
    }
  return undefined;
}

/** The rule's blocks with room, and the guard that there is no further one since. */
interface Room {
  /** In random order, so that nodes meet seldom. */
  readonly places: readonly RoomPlace[];
  readonly unchanged: Guard;
}

/**
 * Reads which of the rule's blocks have room, in ranges that serve: not those that were looked at,
 * nor those of which an entry in the node's index cannot be read.
 */
async function readRoom(context: PickContext, rule: string): Promise<Room> {
  const { ipam, family, blocks, others } = context;
  const prefix = roomOf(rule, family);
  let revision = '0';
  const [entries, { ranges }] = await Promise.all([
    scanAll(ipam.store, prefix, { onRevision: (at) => (revision = at) }),
    readRanges(ipam.store),
  ]);
  const eligible = new Set(
    ranges.filter(({ range }) => isEligible(range, context)).map(({ range }) => range.name),
  );
  const known = new Set([
    ...blocks.map(({ block }) => formatCidr(block.cidr)),
    ...others.unreadable.map(({ key }) => cidrTextOf(key)),
  ]);
  const places = valuesOf(entries.map((entry) => readRecord(entry, decodeRoom))).filter(
    ({ range, cidr }) => eligible.has(range) && !known.has(formatCidr(cidr)),
  );
  return {
    places: shuffled(places, ipam.effects.random),
    unchanged: { kind: 'nothing-newer', prefix, revision },
  };
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
