import { cidrContains, parseAddress } from '../model/address.ts';
import { blockAt } from '../model/range.ts';
import { HISTORY, blockKey, rangeKey } from '../records/keys.ts';
import type { Entry } from '../records/transaction.ts';
import type { Watches } from '../store/watches.ts';
import { withMacs } from './block-events.ts';
import { bridgeBlock, isComplete, withBlock } from './bridge.ts';
import { happening, type CellEvent, type Happening } from './event.ts';
import { blockOf, eventsOf, isTold, readKnown, TOLD_PREFIXES } from './known.ts';
import { noteOf, type LifetimeNote } from './notes.ts';
import { after, formatPosition, type Position } from './position.ts';
import { KnownState, readRevisions, readState, type KnownRecord, type Witness } from './state.ts';

/** Why a watch cannot go on from where it was. */
export type GapReason = 'compacted' | 'set-back';

/** What was found of a time that no watch can tell of. */
export interface Bridged {
  /** Begins with the gap itself. Empty if nothing has happened. */
  readonly events: readonly CellEvent[];
  readonly state: KnownState;
}

/**
 * Tells what happened since a state whose revision etcd has forgotten, by the state of now and the
 * lifetimes that ended since. Where etcd was set back as well, it tells that.
 * @throws IpamError `store-…`
 */
export async function bridgeCompaction(watches: Watches, before: KnownState): Promise<Bridged> {
  const to = await watches.newest();
  const revisions = await readRevisions(watches, to);
  if (isAnotherHistory(before, revisions)) return await bridgeSetBack(watches, before);
  const { records, changed, witness } = await changesSince(watches, before, to);
  const gone = [...before.records.keys()].filter((key) => !revisions.has(key));
  for (const key of gone) records.delete(key);
  const lifetimes = await lifetimesSince(watches, before.revision, to);
  const told = tell(before.records, records, [...gone, ...changed], lifetimes);
  const wasGone = gone.includes(before.witness?.key ?? '');
  const state = new KnownState(to, records, witness ?? (wasGone ? undefined : before.witness));
  if (told.events.length === 0) return { events: [], state };
  const gap = gapOf(before.revision, to, 'compacted', told.isComplete);
  return { events: placedBehindGap(after(before.revision), to, [gap, ...told.events]), state };
}

/**
 * Whether etcd has a record of the time before the state that the state does not have: etcd was set
 * back to a snapshot, and its revisions have gone on from there, or were counted on far ahead
 * (`etcdctl snapshot restore --bump-revision --mark-compacted`).
 */
function isAnotherHistory({ revision, records }: KnownState, now: ReadonlyMap<string, number>): boolean {
  for (const [key, at] of now) if (at <= revision && records.get(key)?.revision !== at) return true;
  return false;
}

/**
 * Tells what is different since a state that etcd does not remember: it was set back.
 * @throws IpamError `store-…`
 */
export async function bridgeSetBack(watches: Watches, before: KnownState): Promise<Bridged> {
  const to = await watches.newest();
  const state = await readState(watches, to);
  const keys = [...new Set([...before.records.keys(), ...state.records.keys()])];
  const { events } = tell(before.records, state.records, keys, new Map());
  const gap = gapOf(before.revision, to, 'set-back', false);
  return { events: placedBehindGap(after(before.revision), to, [gap, ...events]), state };
}

/**
 * Tells what can be told since a position of which nothing is known any more: lifetimes that ended
 * since, and the records that were changed since, as they are.
 * @throws IpamError `store-…`
 */
export async function bridgeUnknown(
  watches: Watches,
  position: Position,
  reason: GapReason,
): Promise<Bridged> {
  const to = await watches.newest();
  const state = await readState(watches, to);
  const from = position.revision;
  const isNewer = ({ revision }: KnownRecord): boolean => revision > from;
  const changed =
    reason === 'set-back'
      ? []
      : [...state.records].filter(([, record]) => isNewer(record)).map(([key]) => key);
  const lifetimes =
    reason === 'set-back' ? new Map<string, LifetimeNote[]>() : await lifetimesSince(watches, from, to);
  const { events } = tell(new Map(), state.records, changed, lifetimes);
  const gap = gapOf(from, to, reason, false);
  return { events: placedBehindGap(position, to, [gap, ...events]), state };
}

const gapOf = (from: number, to: number, reason: GapReason, complete: boolean): Happening =>
  happening('gap', undefined, { from, to, reason, complete });

/**
 * A reader that is cut off among these events gets all of them again: what etcd still knows of that
 * time may be less by then.
 */
function placedBehindGap(before: Position, to: number, events: readonly Happening[]): CellEvent[] {
  return events.map((event, i) => {
    const position = formatPosition(i === events.length - 1 ? after(to) : before);
    return { revision: to, position, ...event, ...(i > 0 && { recorded: true }) };
  });
}

/** Reads the records that were changed since the state. */
async function changesSince(
  watches: Watches,
  before: KnownState,
  to: number,
): Promise<{ records: Map<string, KnownRecord>; changed: string[]; witness: Witness | undefined }> {
  const records = new Map(before.records);
  const changed: string[] = [];
  let witness: Witness | undefined;
  for (const prefix of TOLD_PREFIXES)
    for await (const page of watches.scanAt(prefix, to, { changedAfter: before.revision }))
      for (const { key, value, revision: at } of page.filter((entry) => isTold(entry.key))) {
        const read = readKnown(key, value);
        const revision = Number(at);
        records.set(key, { revision, known: 'value' in read ? read.value : records.get(key)?.known });
        changed.push(key);
        if (revision > (witness?.revision ?? 0)) witness = { key, value, revision };
      }
  return { records, changed, witness };
}

/** Returns the lifetimes that ended since, by the place of their addresses, the earliest first. */
async function lifetimesSince(
  watches: Watches,
  from: number,
  to: number,
): Promise<Map<string, LifetimeNote[]>> {
  const entries: Entry[] = [];
  for await (const page of watches.scanAt(HISTORY, to, { changedAfter: from })) entries.push(...page);
  const notes = entries
    .flatMap(({ key, value, revision }) => {
      const note = noteOf(key, value);
      return note ? [{ note, revision: Number(revision) }] : [];
    })
    .sort((a, b) => a.revision - b.revision || (a.note.releasedAt < b.note.releasedAt ? -1 : 1));
  const byRange = new Map<string, LifetimeNote[]>();
  for (const { note } of notes) {
    const same = byRange.get(note.range);
    if (same) same.push(note);
    else byRange.set(note.range, [note]);
  }
  return byRange;
}

/** @param keys of the records that changed */
function tell(
  before: ReadonlyMap<string, KnownRecord>,
  now: ReadonlyMap<string, KnownRecord>,
  keys: readonly string[],
  lifetimes: ReadonlyMap<string, readonly LifetimeNote[]>,
): { readonly events: Happening[]; readonly isComplete: boolean } {
  const byBlock = groupByBlock(before, now, lifetimes);
  const events: Happening[] = [];
  let complete = true;
  for (const key of inOrder([...new Set([...keys, ...byBlock.keys()])])) {
    const [from, to] = [before.get(key)?.known, now.get(key)?.known];
    const own = byBlock.get(key) ?? [];
    if (from?.kind === 'block' || to?.kind === 'block' || own.length > 0) {
      const [a, b] = [blockOf(from), blockOf(to)];
      events.push(...withMacs(withBlock(a ?? b, bridgeBlock(a, b, own))));
      complete &&= isComplete(a, b, own);
    } else events.push(...eventsOf(from, to));
  }
  return { events, isComplete: complete };
}

/** Ranges come before their blocks. */
function inOrder(keys: readonly string[]): string[] {
  const placeOf = (key: string): number => {
    const place = TOLD_PREFIXES.findIndex((prefix) => key.startsWith(prefix));
    return place < 0 ? TOLD_PREFIXES.length : place;
  };
  return [...keys].sort((a, b) => placeOf(a) - placeOf(b) || (a < b ? -1 : 1));
}

/** Returns the lifetimes by the key of their block. */
function groupByBlock(
  before: ReadonlyMap<string, KnownRecord>,
  now: ReadonlyMap<string, KnownRecord>,
  lifetimes: ReadonlyMap<string, readonly LifetimeNote[]>,
): Map<string, LifetimeNote[]> {
  const groups = new Map<string, LifetimeNote[]>();
  for (const [name, notes] of lifetimes) {
    const known = now.get(rangeKey(name))?.known ?? before.get(rangeKey(name))?.known;
    if (known?.kind !== 'range') continue;
    for (const note of notes) {
      const address = addressOf(note.ip);
      if (!address || !cidrContains(known.range.cidr, address)) continue;
      const key = blockKey(name, blockAt(known.range, address));
      const group = groups.get(key);
      if (group) group.push(note);
      else groups.set(key, [note]);
    }
  }
  return groups;
}

function addressOf(ip: string): ReturnType<typeof parseAddress> | undefined {
  try {
    return parseAddress(ip);
  } catch {
    return undefined;
  }
}
