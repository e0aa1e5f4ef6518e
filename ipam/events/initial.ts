import { happening, type CellEvent } from './event.ts';
import { withMacs } from './block-events.ts';
import { eventsOf, TOLD_PREFIXES, type Known } from './known.ts';
import { after, formatPosition } from './position.ts';
import type { KnownState } from './state.ts';

/**
 * Returns the state as events, in parts: ranges first, then blocks with their addresses, rules and
 * nodes, and `synced` last. Only the last has a position: a reader that is cut off before it begins
 * again. The parts are made as they are asked for, of the state at the time of the call.
 */
export function initialEvents(state: KnownState): Iterable<readonly CellEvent[]> {
  const { revision } = state;
  const known = [...state.records].flatMap(([key, record]) =>
    record.known ? [[key, record.known] as const] : [],
  );
  return partsOf(known, revision);
}

function* partsOf(
  known: readonly (readonly [string, Known])[],
  revision: number,
): Iterable<readonly CellEvent[]> {
  for (const prefix of TOLD_PREFIXES)
    for (const [key, record] of known) {
      if (!key.startsWith(prefix)) continue;
      const events = withMacs(eventsOf(undefined, record));
      yield events.map((event) => ({ revision, position: null, ...event, initial: true }));
    }
  const synced = happening('synced', undefined, {});
  yield [{ revision, position: formatPosition(after(revision)), ...synced }];
}
