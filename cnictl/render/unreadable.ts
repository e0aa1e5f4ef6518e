import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import { plural } from './plural.ts';

const NAMED = 10;

/**
 * Returns what to say on stderr, after the result, about records that a command left out: a line
 * for each of the first ten, and one for all of them. Empty if there are none.
 */
export function unreadableNotes(unreadable: readonly UnreadableRecord[]): string[] {
  if (unreadable.length === 0) return [];
  const more = unreadable.length - NAMED;
  return [
    ...unreadable.slice(0, NAMED).map(({ reason }) => reason),
    ...(more > 0 ? [`and ${more} more, which \`cnictl check\` lists`] : []),
    `left out: ${plural(unreadable.length, 'record')} that cannot be read; nothing of such a record is given out or released (docs/operations/bad-record.md says how to mend it)`,
  ];
}
