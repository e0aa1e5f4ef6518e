import type { Effects } from '../model/effects.ts';
import { IpamError } from '../model/errors.ts';
import { isCompacted, type WatchNews, type Watches } from '../store/watches.ts';
import type { CellEvent } from './event.ts';
import { bridgeCompaction, bridgeSetBack, bridgeUnknown, type GapReason } from './gap.ts';
import type { Position } from './position.ts';
import { readRevisions, readState, type KnownState, type OnPage } from './state.ts';

/** Where a stream of events begins. */
export interface Start {
  readonly state: KnownState;
  /** So many events of the next revision are done. */
  readonly skip: number;
  /** What is told first. */
  readonly events: readonly CellEvent[];
}

export interface FollowOptions {
  readonly effects: Pick<Effects, 'pause' | 'random' | 'monotonic'>;
  readonly signal: AbortSignal;
  /** Takes notice that etcd cannot be followed now, and, with undefined, that it is again. */
  readonly onTrouble?: (error: unknown) => void;
  /** Ends with the error instead of trying again. */
  readonly givesUp?: boolean;
}

/** A part of the stream: what happened up to a revision. */
export interface Followed {
  readonly events: readonly CellEvent[];
  /** Everything up to this revision has been told. */
  readonly revision: number;
}

const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** How long nothing may happen until it is made sure that nothing has, in milliseconds. */
const QUIET_MS = 60_000;
/** A cluster with more records is not quiet for long. */
const MOST_RECORDS = 50_000;

/**
 * Begins with what happens from now on.
 * @param onPage is told what has been read so far
 * @throws IpamError `store-…`
 */
export async function startNow(watches: Watches, onPage?: OnPage): Promise<Start> {
  for (let reading = 1; ; reading++)
    try {
      return { state: await readState(watches, await watches.newest(), onPage), skip: 0, events: [] };
    } catch (error) {
      if (!isCompacted(error) || reading >= 5) throw error;
    }
}

/**
 * Begins behind a position. Where etcd has forgotten it, a gap is told first.
 * @throws IpamError `store-…`
 */
export async function startBehind(watches: Watches, position: Position): Promise<Start> {
  const newest = await watches.newest();
  if (position.revision > newest) return { ...(await bridgeUnknown(watches, position, 'set-back')), skip: 0 };
  try {
    const state = await readState(watches, position.revision);
    return { state, skip: position.further, events: [] };
  } catch (error) {
    if (!isCompacted(error)) throw error;
    return { ...(await bridgeUnknown(watches, position, 'compacted')), skip: 0 };
  }
}

/**
 * Yields all events from a start on, in order, each once, over lost connections and restarts of
 * etcd, until the signal. The start's state is kept as of what was yielded last.
 */
export async function* follow(
  watches: Watches,
  start: Start,
  options: FollowOptions,
): AsyncIterable<Followed> {
  const { state } = start;
  const { signal, effects } = options;
  if (start.events.length > 0) yield { events: start.events, revision: state.revision };
  const begun = { revision: state.revision, skip: start.skip };
  let gap: GapReason | undefined;
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (gap) {
        const bridged = await (gap === 'compacted' ? bridgeCompaction : bridgeSetBack)(watches, state);
        state.become(bridged.state);
        gap = undefined;
        yield { events: bridged.events, revision: state.revision };
      }
      for await (const news of sureNews(watches, state, options)) {
        if (failures > 0) options.onTrouble?.(undefined);
        failures = 0;
        yield { events: take(news, state, begun), revision: state.revision };
      }
    } catch (error) {
      if (isStopped(signal)) return;
      if (!(error instanceof IpamError) || !error.code.startsWith('store-')) throw error;
      gap = isCompacted(error) ? 'compacted' : error instanceof SetBackError ? 'set-back' : gap;
      if (options.givesUp === true && !gap) throw error;
      if (!gap) options.onTrouble?.(error);
      failures += 1;
      const longest = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** Math.min(failures - 1, 8));
      if (!gap || failures > 1) await effects.pause(longest * (0.5 + effects.random() / 2));
    }
  }
}

/** Reads the signal again: it may have been aborted meanwhile. */
const isStopped = (signal: AbortSignal): boolean => signal.aborted;

/** Takes the news into the state, and returns what happened. */
function take(
  { revisions, upTo }: WatchNews,
  state: KnownState,
  begun: { readonly revision: number; readonly skip: number },
): CellEvent[] {
  const events: CellEvent[] = [];
  for (const changes of revisions) {
    if (changes.revision <= state.revision) continue;
    const happened = state.apply(changes);
    events.push(...(changes.revision === begun.revision + 1 ? happened.slice(begun.skip) : happened));
  }
  if (upTo !== undefined) state.passed(upTo);
  return events;
}

/** etcd lacks the history that was followed: it was restored from a snapshot, or emptied. */
class SetBackError extends IpamError {
  constructor() {
    super('store-failed', 'etcd was set back: it lacks what it had');
  }
}

/**
 * Yields the news of a watch that are known to follow the state without a gap. A compaction up to
 * the very revision at which a watch begins takes the deletions of that revision away, and etcd
 * does not tell that. So what comes late is taken only while etcd still knows the state before it.
 */
async function* sureNews(
  watches: Watches,
  state: KnownState,
  { signal, effects }: FollowOptions,
): AsyncIterable<WatchNews> {
  let isFirst = true;
  let quietSince = effects.monotonic();
  for await (const news of watches.watch(state.revision + 1, signal)) {
    const last = news.revisions.at(-1);
    const isLate = last !== undefined && (news.revisions.length > 1 || news.newest > last.revision);
    if (isFirst || isLate) await makeSure(watches, state);
    isFirst = false;
    yield news;
    if (last) quietSince = effects.monotonic();
    else if (effects.monotonic() - quietSince >= QUIET_MS) {
      await moveOn(watches, state);
      quietSince = effects.monotonic();
    }
  }
}

/**
 * Makes sure that etcd still knows the state's revision, and has the history that led to it.
 * @throws IpamError `store-compacted`; SetBackError
 */
async function makeSure(watches: Watches, state: KnownState): Promise<void> {
  if ((await watches.newest()) < state.revision) throw new SetBackError();
  const { key, value, revision } = state.witness ?? { key: 'none', value: undefined, revision: 0 };
  const entry = await watches.getAt(key, Math.max(state.revision, 1));
  if (entry?.value !== value) throw new SetBackError();
  if (entry && Number(entry.revision) !== revision) throw new SetBackError();
}

/**
 * Nothing has happened for a while: a later start may lie behind a compaction then, although
 * nothing was missed. So the state is taken to the newest revision.
 */
async function moveOn(watches: Watches, state: KnownState): Promise<void> {
  if (state.records.size > MOST_RECORDS) return;
  const newest = await watches.newest();
  if (state.isAsOf(await readRevisions(watches, newest))) state.passed(newest);
}
