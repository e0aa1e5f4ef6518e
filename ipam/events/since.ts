import type { Effects } from '../model/effects.ts';
import { isoTime } from '../records/codec.ts';
import { HISTORY } from '../records/keys.ts';
import { CompactedError, type RevisionChanges, type Watches } from '../store/watches.ts';
import { withMacs } from './block-events.ts';
import { beginning, ending, withBlock } from './bridge.ts';
import type { CellEvent, Happening } from './event.ts';
import type { Start } from './follow.ts';
import { eventsOf, isTold, readKnown, type Known } from './known.ts';
import { noteOf, objectOf } from './notes.ts';
import { after, formatPosition } from './position.ts';
import { readRevisions, readState, type KnownState } from './state.ts';
import { MACHINES } from '../records/machine-record.ts';

/** Clocks of nodes differ by so much at most, in milliseconds, that no event is left out for it. */
const SKEW_MS = 120_000;
/** Longest wait for the first change after a revision, in milliseconds. */
const FIRST_CHANGE_MS = 2_000;

/**
 * Begins at a time. For what is older than etcd's revisions it reads the records: which pods have
 * addresses since when, and which lifetimes have ended.
 * @param since milliseconds since 1970
 * @returns the start, and a test for the events that are of that time
 * @throws IpamError `store-…`
 */
export async function startSince(
  watches: Watches,
  since: number,
  effects: Pick<Effects, 'schedule'>,
): Promise<Start> {
  const newest = await watches.newest();
  const oldest = await oldestRevision(watches, effects);
  const last = Math.max(0, ...(await readRevisions(watches, newest)).values());
  const timeAt = (revision: number): Promise<number | undefined> => timeFrom(watches, revision, effects);
  const isCovered = oldest === 0 || ((await timeAt(oldest + 1)) ?? Infinity) <= since - SKEW_MS;
  if (!isCovered) {
    const state = await readState(watches, oldest);
    return { state, skip: 0, events: await recordedSince(watches, state, since) };
  }
  const first = await firstAtOrAfter(oldest + 1, last + 1, since - SKEW_MS, timeAt);
  return { state: await readState(watches, Math.max(first - 1, 1)), skip: 0, events: [] };
}

/** Whether the event is of that time, or no record tells when it was. */
export const isSince = ({ at }: CellEvent, since: number): boolean => at === null || Date.parse(at) >= since;

/**
 * Returns the first revision from `low` on whose time is not before; `high` if there is none. Times
 * grow with revisions, but for the differences of clocks.
 */
export async function firstAtOrAfter(
  low: number,
  high: number,
  time: number,
  timeAt: (revision: number) => Promise<number | undefined>,
): Promise<number> {
  let [from, to] = [low, high];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (((await timeAt(middle)) ?? Infinity) >= time) to = middle;
    else from = middle + 1;
  }
  return from;
}

/** Returns the revision up to which etcd is compacted; 0 if it is not. */
async function oldestRevision(watches: Watches, effects: Pick<Effects, 'schedule'>): Promise<number> {
  try {
    await firstChanges(watches, 1, effects, () => true);
    return 0;
  } catch (error) {
    if (error instanceof CompactedError) return error.compactRevision;
    throw error;
  }
}

/** Returns the time of the first change from the revision on that has one. */
const timeFrom = async (
  watches: Watches,
  revision: number,
  effects: Pick<Effects, 'schedule'>,
): Promise<number | undefined> => {
  const changes = await firstChanges(watches, revision, effects, (each) => timeOfChanges(each) !== undefined);
  return changes && timeOfChanges(changes);
};

async function firstChanges(
  watches: Watches,
  from: number,
  { schedule }: Pick<Effects, 'schedule'>,
  isWanted: (changes: RevisionChanges) => boolean,
): Promise<RevisionChanges | undefined> {
  const ended = new AbortController();
  const timer = schedule(FIRST_CHANGE_MS, () => ended.abort());
  try {
    for await (const { revisions } of watches.watch(from, ended.signal)) {
      const found = revisions.find(isWanted);
      if (found) return found;
    }
    return undefined;
  } finally {
    timer.cancel();
    ended.abort();
  }
}

/** Returns the time of a transaction, in milliseconds since 1970, by the newest in its records. */
export function timeOfChanges({ changes }: RevisionChanges): number | undefined {
  const times = changes.flatMap(({ key, value }) => (value === undefined ? [] : timesIn(key, value)));
  return times.length === 0 ? undefined : Math.max(...times);
}

function timesIn(key: string, value: string): number[] {
  if (key.startsWith(MACHINES)) {
    const at = Date.parse(String(objectOf(value)?.['at']));
    return Number.isNaN(at) ? [] : [at];
  }
  if (!isTold(key)) return [];
  const read = readKnown(key, value);
  return 'value' in read ? timesOf(read.value) : [];
}

function timesOf(known: Known): number[] {
  const told = eventsOf(undefined, known).flatMap(({ at }) => (at === null ? [] : [Date.parse(at)]));
  if (known.kind !== 'block') return told;
  const rests = known.block.slots.flatMap((slot) => (slot.state === 'released' ? [slot.releasedAt] : []));
  return [...told, ...rests];
}

/** Returns what the records of a state tell of the time since, the earliest first. */
async function recordedSince(watches: Watches, state: KnownState, since: number): Promise<CellEvent[]> {
  const events: Happening[] = [];
  const from = isoTime(since);
  for await (const page of watches.scanAt(HISTORY, state.revision))
    for (const { key, value } of page) {
      const note = noteOf(key, value);
      if (note && note.allocatedAt >= from) events.push(...withBlock(undefined, [beginning(note)]));
      if (note && note.releasedAt >= from) events.push(...withBlock(undefined, [ending(note)]));
    }
  for (const { known } of state.records.values())
    if (known)
      events.push(...withMacs(eventsOf(undefined, known)).filter(({ at }) => at !== null && at >= from));
  events.sort((a, b) => ((a.at ?? '') < (b.at ?? '') ? -1 : 1));
  return events.map((event, i) => {
    const position = i === events.length - 1 ? formatPosition(after(state.revision)) : null;
    return { revision: state.revision, position, ...event, recorded: true };
  });
}
