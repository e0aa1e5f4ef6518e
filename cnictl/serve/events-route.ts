import type { ServerResponse } from 'node:http';
import type { EventFilter } from '../../ipam/events/filter.ts';
import { startBehind } from '../../ipam/events/follow.ts';
import { initialEvents } from '../../ipam/events/initial.ts';
import { after, parsePosition, type Position } from '../../ipam/events/position.ts';
import { replay } from '../../ipam/events/replay.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { OpenEvents } from '../context/world.ts';
import { CommandError } from '../context/errors.ts';
import { JSON_LINES, JSON_LINES_AND_BOOKMARKS, SSE, type Format } from './formats.ts';
import type { EventHub } from './hub.ts';
import { Listener, SERVER_ENDS } from './listener.ts';
import { refuse, type Asked, type Route } from './router.ts';

/**
 * How many listeners may read at once what is not kept any more: each reads the state of that time
 * from etcd.
 */
const MOST_READING_BACK = 4;

export interface EventSource {
  readonly hub: EventHub;
  readonly etcd: OpenEvents;
  /** Aborts when the server ends. */
  readonly signal: AbortSignal;
}

/** What a listener asks for. */
interface Wanted {
  readonly filter: EventFilter;
  readonly format: Format;
  readonly initial: boolean;
  /** Behind which position it begins; undefined: now. */
  readonly from: Position | undefined;
}

/** `/events` */
export class EventsRoute implements Route {
  readonly path = '/events';
  readonly #source: () => EventSource | undefined;
  readonly #listeners = new Set<Listener>();
  #readingBack = 0;

  /** @param source undefined until etcd was read for the first time */
  constructor(source: () => EventSource | undefined) {
    this.#source = source;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  async answer(asked: Asked, response: ServerResponse): Promise<void> {
    const wanted = wantedOf(asked);
    if (typeof wanted === 'string') {
      refuse(response, 400, wanted);
      return;
    }
    const source = this.#source();
    if (!source || this.#isTooMuch(wanted, source)) {
      const reason = source ? 'other listeners read back at this moment' : 'etcd has not been read yet';
      refuse(response, 503, reason, { 'retry-after': '5' });
      return;
    }
    const listener = new Listener(response, { ...wanted, signal: source.signal });
    this.#listeners.add(listener);
    try {
      await this.#serve(listener, wanted, source);
    } catch (error) {
      listener.fail(`etcd cannot be read back: ${messageOf(error)}`);
    } finally {
      if (source.signal.aborted) listener.fail(SERVER_ENDS);
      this.#listeners.delete(listener);
    }
  }

  #isTooMuch({ from }: Wanted, { hub }: EventSource): boolean {
    return from !== undefined && !isAtHand(from, hub) && this.#readingBack >= MOST_READING_BACK;
  }

  async #serve(listener: Listener, { initial, from }: Wanted, source: EventSource): Promise<void> {
    const { hub } = source;
    if (initial) {
      const [parts, end] = [initialEvents(hub.state), hub.end];
      listener.open(undefined);
      for (const part of parts) {
        if (listener.isGone) return;
        await listener.send(part);
      }
      await listener.follow(hub, end, undefined);
      return;
    }
    const begin = from ?? after(hub.state.revision);
    listener.open(begin);
    await this.#goOn(listener, begin, source);
  }

  /** Sends everything behind the position: what is not kept from etcd, the rest from the hub. */
  async #goOn(listener: Listener, begin: Position, source: EventSource): Promise<void> {
    const { hub } = source;
    let position = begin;
    let number = isAtHand(position, hub) ? hub.behind(position) : undefined;
    while (number === undefined) {
      // Counted before etcd is asked anything: others that come meanwhile see it.
      this.#readingBack += 1;
      try {
        number = (await isAhead(position, source)) ? undefined : hub.behind(position);
        if (number === undefined) position = await readBack(listener, position, source);
      } finally {
        this.#readingBack -= 1;
      }
      if (listener.isGone) return;
    }
    await listener.follow(hub, number, position);
  }
}

/** Whether the hub alone can tell what lies behind the position. */
const isAtHand = (position: Position, hub: EventHub): boolean =>
  position.revision <= hub.state.revision && hub.behind(position) !== undefined;

/**
 * Whether etcd has not come as far as the position: it is one of a history that etcd has lost. The
 * hub may be a moment behind etcd.
 */
async function isAhead({ revision }: Position, { hub, etcd }: EventSource): Promise<boolean> {
  return revision > hub.state.revision && revision > (await etcd.watches.newest());
}

/** Sends what happened from the position up to now. @returns behind which position it ended */
async function readBack(listener: Listener, from: Position, source: EventSource): Promise<Position> {
  const { hub, etcd, signal } = source;
  const until = hub.state.revision;
  const start = await startBehind(etcd.watches, from);
  let told = until;
  for await (const { events, revision } of replay(etcd.watches, start, until, {
    effects: etcd.effects,
    signal,
  })) {
    if (listener.isGone) break;
    await listener.send(events);
    told = Math.max(told, revision);
  }
  return after(told);
}

/** Returns what is wrong with the request, as a text. */
function wantedOf({ query, headers }: Asked): Wanted | string {
  const known = ['from', 'after', 'initial', 'namespace', 'range', 'node', 'format', 'bookmarks'];
  const unknown = [...query.keys()].find((key) => !known.includes(key));
  if (unknown !== undefined) return `unknown parameter '${unknown}': expected one of ${known.join(', ')}`;
  try {
    const initial = flagOf(query, 'initial');
    const from = positionOf(query, headers['last-event-id']);
    const filter = Object.fromEntries(
      ['namespace', 'range', 'node'].flatMap((key) => {
        const value = query.get(key);
        return value === null || value === '' ? [] : [[key, value]];
      }),
    );
    // A browser that connects again has had the beginning.
    return { filter, format: formatOf(query, headers.accept), initial: initial && from === undefined, from };
  } catch (error) {
    return messageOf(error);
  }
}

function flagOf(query: URLSearchParams, key: string): boolean {
  const value = query.get(key);
  if (value === null || value === '0') return false;
  if (value === '1') return true;
  throw new CommandError(`${key}=${value}: expected 1 or 0`);
}

/** The header of a browser that connects again is newer than the address that it began with. */
function positionOf(query: URLSearchParams, header: string | string[] | undefined): Position | undefined {
  if (typeof header === 'string' && header !== '') return parsePosition(header, 'Last-Event-ID');
  const [from, behind] = [query.get('from'), query.get('after')];
  if (from !== null && behind !== null) throw new CommandError('from and after: expected one of them');
  if (behind !== null) return parsePosition(behind, 'after');
  if (from === null) return undefined;
  if (!/^[1-9]\d{0,14}$/.test(from))
    throw new CommandError(`from=${from}: expected a revision of etcd, such as 912`);
  return after(Number(from) - 1);
}

function formatOf(query: URLSearchParams, accept = ''): Format {
  const asked = query.get('format') ?? (accept.includes('application/x-ndjson') ? 'json' : 'sse');
  const bookmarks = flagOf(query, 'bookmarks');
  if (asked === 'sse') return SSE;
  if (asked === 'json') return bookmarks ? JSON_LINES_AND_BOOKMARKS : JSON_LINES;
  throw new CommandError(`format=${asked}: expected sse or json`);
}
