import type { CellEvent } from '../../ipam/events/event.ts';
import type { Followed } from '../../ipam/events/follow.ts';
import { after, comparePositions, parsePosition, type Position } from '../../ipam/events/position.ts';
import type { KnownState } from '../../ipam/events/state.ts';
import { jsonText } from '../render/data.ts';

/** An event as listeners get it. */
export interface HubEvent {
  readonly event: CellEvent;
  /** One line of JSON, with its end. Made once for all listeners. */
  readonly text: string;
  /** Where it stands in the stream. */
  readonly place: Position;
}

/** How many events a listener may lag behind. */
export const KEPT_EVENTS = 32_768;

/**
 * The newest events, for any number of listeners, each of which takes them at its own pace. A slow
 * one costs no memory: when what it needs next is not kept any more, it is too late.
 */
export class EventHub {
  readonly #state: KnownState;
  readonly #kept: number;
  readonly #events: HubEvent[] = [];
  /** Number of the first event that is kept. */
  #first = 0;
  /** Behind which position everything is kept. */
  #begin: Position;
  readonly #waiting = new Set<() => void>();

  /** @param state as the stream keeps it: it is of what was last taken in */
  constructor(state: KnownState, kept = KEPT_EVENTS) {
    this.#state = state;
    this.#begin = after(state.revision);
    this.#kept = kept;
  }

  get state(): KnownState {
    return this.#state;
  }

  /** Number of the next event that will come. */
  get end(): number {
    return this.#first + this.#events.length;
  }

  /** Number of the first event that is kept. */
  get first(): number {
    return this.#first;
  }

  take({ events }: Followed): void {
    for (const event of events) this.#append(event);
    const surplus = this.#events.length - this.#kept;
    // In parts, because each moves what stays.
    if (surplus > this.#kept / 8) this.#drop(surplus);
    if (events.length > 0) this.wake();
  }

  /** Wakes everybody who waits for more. */
  wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** How many wait for more. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Calls back once, when there is more or somebody calls {@link wake}.
   * @returns takes that back: a quiet hub must not collect those who have gone on
   */
  onMore(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => void this.#waiting.delete(wake);
  }

  at(number: number): HubEvent | undefined {
    return this.#events[number - this.#first];
  }

  /** Returns the number of the first event behind the position; undefined if it is not kept. */
  behind(position: Position): number | undefined {
    if (comparePositions(position, this.#begin) < 0) return undefined;
    let number = this.end;
    while (number > this.#first && comparePositions(this.#placeOf(number - 1), position) > 0) number -= 1;
    return number;
  }

  #placeOf(number: number): Position {
    return this.at(number)?.place ?? this.#begin;
  }

  #append(event: CellEvent): void {
    const isGap = event.type === 'gap';
    if (isGap && event.reason === 'set-back') this.#forget(event.to ?? 0);
    this.#events.push({ event, text: jsonText(event), place: placeOf(event) });
  }

  /** Positions of before do not count in the history that etcd has now. */
  #forget(revision: number): void {
    this.#first = this.end;
    this.#events.length = 0;
    this.#begin = after(Math.max(0, revision - 1));
  }

  #drop(count: number): void {
    this.#begin = this.#placeOf(this.#first + count - 1);
    this.#events.splice(0, count);
    this.#first += count;
  }
}

/**
 * The events of a gap come behind what was before it, although a reader that is cut off among them
 * goes on from there.
 */
function placeOf({ type, recorded, position, revision }: CellEvent): Position {
  const place = position === null ? after(revision) : parsePosition(position, 'position');
  const isWithin = (type === 'gap' || recorded === true) && place.revision < revision;
  return isWithin ? { ...place, further: place.further + 0.5 } : place;
}
