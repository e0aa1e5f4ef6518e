import type { ServerResponse } from 'node:http';
import type { CellEvent } from '../../ipam/events/event.ts';
import { isWanted, type EventFilter } from '../../ipam/events/filter.ts';
import { after, comparePositions, formatPosition, type Position } from '../../ipam/events/position.ts';
import { jsonText } from '../render/data.ts';
import type { Format } from './formats.ts';
import type { EventHub } from './hub.ts';

/** How often a quiet listener gets a sign of life, in milliseconds. */
const IDLE_MS = 15_000;
/** Longest time that a listener may take nothing, in milliseconds. */
const STUCK_MS = 60_000;
/** How often it is looked whether a listener that takes nothing is too late, in milliseconds. */
const LOOK_MS = 250;
/** How long a listener that was cut off may take for its last lines, in milliseconds. */
const LAST_MS = 60_000;

export const SERVER_ENDS = 'the server ends';
const TOO_SLOW = 'it took events too slowly: what comes next is not kept any more';

export interface ListenerOptions {
  readonly filter: EventFilter;
  readonly format: Format;
  /** Aborts when the server ends. */
  readonly signal: AbortSignal;
}

/** One client that listens to events. */
export class Listener {
  readonly #response: ServerResponse;
  readonly #options: ListenerOptions;
  /** Behind the last event that it got, or that was not for it; undefined before the first. */
  #position: string | undefined;
  #ended = false;

  constructor(response: ServerResponse, options: ListenerOptions) {
    this.#response = response;
    this.#options = options;
    response.once('close', () => (this.#ended = true));
    response.on('error', () => (this.#ended = true));
  }

  /** Whether nothing more is to be sent to it. */
  get isGone(): boolean {
    return this.#ended || this.#options.signal.aborted;
  }

  open(position: Position | undefined): void {
    const { format } = this.#options;
    this.#position = position && formatPosition(position);
    // Lines of JSON have no sign of life: nothing may happen for hours.
    this.#response.setTimeout(0);
    this.#response.writeHead(200, {
      'content-type': format.type,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // A proxy such as nginx hands each event on at once.
      'x-accel-buffering': 'no',
    });
    this.#response.flushHeaders();
    this.#response.write(format.open(this.#position));
  }

  /** Sends events that no hub keeps, at the listener's pace. */
  async send(events: readonly CellEvent[]): Promise<void> {
    for (const event of events) {
      if (this.isGone) return;
      this.#write(event, jsonText(event));
      await this.#taken(() => false);
    }
  }

  /**
   * Sends everything that the hub has from a number on, until the listener or the server ends.
   * @param floor what lies before it is not sent
   */
  async follow(hub: EventHub, from: number, floor: Position | undefined): Promise<void> {
    let next = from;
    let idleSince = performance.now();
    while (!this.#ended) {
      if (next < hub.first || this.#options.signal.aborted) {
        this.#cutOff(next < hub.first ? TOO_SLOW : SERVER_ENDS);
        return;
      }
      const found = hub.at(next);
      if (found) {
        next += 1;
        if (floor && comparePositions(found.place, floor) <= 0) continue;
        this.#write(found.event, found.text);
        idleSince = performance.now();
        const number = next;
        await this.#taken(() => number < hub.first);
        continue;
      }
      await this.#wait(hub);
      if (hub.end > next || performance.now() - idleSince < IDLE_MS) continue;
      idleSince = performance.now();
      this.#response.write(this.#options.format.idle(formatPosition(after(hub.state.revision))));
    }
  }

  /** Ends it with an error that its client can read. */
  fail(reason: string): void {
    this.#cutOff(reason);
  }

  #write(event: CellEvent, text: string): void {
    const { filter, format } = this.#options;
    if (event.position !== null) this.#position = event.position;
    if (isWanted(event, filter)) this.#response.write(format.event(event, text));
  }

  /** Waits for more, at most until the next sign of life. */
  #wait(hub: EventHub): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        takeBack();
        this.#response.off('close', done);
        resolve();
      };
      const timer = setTimeout(done, IDLE_MS);
      const takeBack = hub.onMore(done);
      this.#response.once('close', done);
    });
  }

  /** Waits while the listener takes nothing. Returns early when it is too late for it. */
  async #taken(isTooLate: () => boolean): Promise<void> {
    const until = performance.now() + STUCK_MS;
    while (this.#response.writableNeedDrain && !this.#ended) {
      if (isTooLate() || this.#options.signal.aborted) return;
      if (performance.now() > until) this.#cutOff(`it took nothing for ${STUCK_MS / 1000} s`);
      await this.#drained();
    }
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#response.off('drain', done).off('close', done);
        resolve();
      };
      const timer = setTimeout(done, LOOK_MS);
      this.#response.once('drain', done).once('close', done);
    });
  }

  /** Tells the listener why it ends, and from where it can go on. */
  #cutOff(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const event = { type: 'cut-off', reason, position: this.#position ?? null };
    this.#response.end(this.#options.format.event(event, `${JSON.stringify(event)}\n`));
    const timer = setTimeout(() => this.#response.destroy(), LAST_MS);
    timer.unref();
    this.#response.once('close', () => clearTimeout(timer));
  }
}
