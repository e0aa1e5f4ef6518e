import { isCompacted, type Watches } from '../store/watches.ts';
import { follow, type FollowOptions, type Followed, type Start } from './follow.ts';
import { readRevisions } from './state.ts';

/**
 * Yields the events from a start up to a revision of the past, and ends; a gap may lead beyond. A
 * watch does not tell that it has told everything up to there, so this compares what it knows with
 * etcd at that revision.
 * @throws IpamError `store-…`
 */
export async function* replay(
  watches: Watches,
  start: Start,
  until: number,
  options: Pick<FollowOptions, 'effects' | 'signal'>,
): AsyncIterable<Followed> {
  const { state } = start;
  const revisions = await revisionsAt(watches, until);
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const isThere = (): boolean =>
    state.revision >= until || (revisions !== undefined && state.isAsOf(revisions));
  try {
    if (start.events.length > 0) yield { events: start.events, revision: state.revision };
    if (isThere()) return;
    const begun = { ...start, events: [] };
    for await (const { events, revision } of follow(watches, begun, { ...options, signal, givesUp: true })) {
      const isOfGap = events[0]?.type === 'gap';
      const past = isOfGap ? events : events.filter((event) => event.revision <= until);
      if (past.length > 0) yield { events: past, revision: isOfGap ? revision : Math.min(revision, until) };
      if (isThere()) return;
    }
  } finally {
    ended.abort();
  }
}

/** Undefined if etcd has forgotten the revision meanwhile: a gap then leads beyond it. */
async function revisionsAt(watches: Watches, revision: number): Promise<Map<string, number> | undefined> {
  try {
    return await readRevisions(watches, revision);
  } catch (error) {
    if (!isCompacted(error)) throw error;
    return undefined;
  }
}
