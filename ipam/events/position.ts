import { invalid } from '../model/errors.ts';

/**
 * How far somebody has got in the stream of events: all events up to a revision, or a number of
 * those of the next one. A transaction changes several addresses at once, so that a revision may
 * have several events.
 */
export interface Position {
  /** All events up to this revision, and of it, are done. */
  readonly revision: number;
  /** So many events of the next revision are done, too. */
  readonly further: number;
}

export const after = (revision: number): Position => ({ revision, further: 0 });

/** `912` is behind revision 912, `912.3` behind its third event. */
export const formatPosition = ({ revision, further }: Position): string =>
  further === 0 ? String(revision) : `${revision + 1}.${further}`;

/** @throws IpamError `invalid` */
export function parsePosition(text: string, what: string): Position {
  const [, revision = '', index] = /^(0|[1-9]\d{0,15})(?:\.([1-9]\d{0,8}))?$/.exec(text) ?? [];
  const number = Number(revision);
  const isPosition = revision !== '' && Number.isSafeInteger(number) && (index === undefined || number > 0);
  if (!isPosition) throw invalid(`${what} '${text}': expected a position of an event, such as 912 or 912.3`);
  return index === undefined ? after(number) : { revision: number - 1, further: Number(index) };
}

/** Below 0 if `a` comes before `b`. */
export const comparePositions = (a: Position, b: Position): number =>
  a.revision - b.revision || a.further - b.further;
