import { ApiError, ask } from './api.ts';
import type { MapEvent, StatusAnswer } from './model.ts';
import { spanText } from './time.ts';

export interface LiveEvents {
  readonly event: (event: MapEvent) => void;
  /** Events may have been missed: everything is to be asked again. */
  readonly again: () => void;
  /** How the page stands to the server and to etcd. */
  readonly state: (state: LinkState) => void;
  readonly signIn: () => void;
}

export interface LinkState {
  readonly isLive: boolean;
  /** A few words, for the head of the page. */
  readonly text: string;
  /** What is wrong, in a sentence. */
  readonly trouble: string | undefined;
}

const STATUS_EVERY_MS = 3_000;
const AGAIN_MS = 2_000;

/**
 * Follows `/events`, and asks now and then whether the server follows etcd. A page that nobody sees
 * rests: a browser has few connections to a server for all its pages.
 */
export class Live {
  readonly #on: LiveEvents;
  #source: EventSource | undefined;
  #position = '';
  /** Since when the server did not answer, in milliseconds of performance.now(). */
  #lostAt: number | undefined;
  #lastSeen = new Date();
  #status: StatusAnswer | undefined;
  #timer: number | undefined;
  #isStopped = true;

  constructor(on: LiveEvents) {
    this.#on = on;
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#rest();
      else if (!this.#isStopped) this.#begin();
    });
  }

  start(): void {
    this.#isStopped = false;
    this.#begin();
  }

  stop(): void {
    this.#isStopped = true;
    this.#rest();
  }

  #rest(): void {
    this.#source?.close();
    this.#source = undefined;
    window.clearTimeout(this.#timer);
  }

  #begin(): void {
    this.#rest();
    this.#listen();
    void this.#look();
  }

  #listen(): void {
    const after = this.#position === '' ? '' : `?after=${encodeURIComponent(this.#position)}`;
    const source = new EventSource(`events${after}`);
    this.#source = source;
    let hadError = after !== '';
    source.addEventListener('open', () => {
      if (hadError) this.#on.again();
      hadError = false;
    });
    source.addEventListener('message', (message: MessageEvent<string>) => {
      if (message.lastEventId !== '') this.#position = message.lastEventId;
      const event = JSON.parse(message.data) as MapEvent;
      if (event.type === 'gap' || event.type === 'set-back') this.#on.again();
      if (event.type !== 'cut-off') this.#on.event(event);
    });
    source.addEventListener('error', () => {
      hadError = true;
      // The browser connects again by itself, unless the server refused.
      if (source.readyState !== EventSource.CLOSED || this.#source !== source) return;
      this.#position = '';
      this.#source = undefined;
      window.setTimeout(() => {
        if (!this.#source && !this.#isStopped && !document.hidden) this.#listen();
        this.#on.again();
      }, AGAIN_MS);
    });
  }

  async #look(): Promise<void> {
    try {
      this.#status = await ask<StatusAnswer>('status');
      if (this.#lostAt !== undefined) this.#on.again();
      this.#lostAt = undefined;
      this.#lastSeen = new Date();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.stop();
        this.#on.signIn();
        return;
      }
      this.#lostAt ??= performance.now();
    }
    this.#on.state(this.#state());
    window.clearTimeout(this.#timer);
    if (!this.#isStopped && !document.hidden)
      this.#timer = window.setTimeout(() => void this.#look(), STATUS_EVERY_MS);
  }

  #state(): LinkState {
    if (this.#lostAt !== undefined) {
      const seen = this.#lastSeen.toLocaleTimeString();
      const span = spanText(performance.now() - this.#lostAt);
      const trouble = `No connection to cnictl serve for ${span}. What is shown is of ${seen}.`;
      return { isLive: false, text: 'no connection', trouble };
    }
    const { revision = null, trouble } = this.#status ?? {};
    if (trouble) {
      const span = spanText(trouble.forMs);
      const of = revision === null ? 'Nothing has been read yet' : `What is shown is of revision ${revision}`;
      return {
        isLive: false,
        text: 'etcd away',
        trouble: `etcd cannot be followed for ${span}: ${trouble.reason}. ${of}.`,
      };
    }
    if (revision === null) return { isLive: false, text: 'reading etcd', trouble: undefined };
    return { isLive: true, text: `live, revision ${revision}`, trouble: undefined };
  }
}
