import type { Followed } from '../../ipam/events/follow.ts';
import type { KnownState } from '../../ipam/events/state.ts';
import { overviewOf, type RangeOverview } from '../../ipam/map/map.ts';
import { mapSource, type MapSource } from '../../ipam/map/source.ts';
import type { Forecasts } from '../../ipam/query/forecasts.ts';
import type { Terminal, TerminalListener } from '../context/terminal.ts';
import { keysOf, keysOfRest, type Key } from './keys.ts';
import { newModel, type Facts, type Link, type Model, type Past, type View } from './model.ts';
import { press, settled, wantsPast } from './press.ts';
import { renderMap } from './screen.ts';
import { withEvents, type Trends } from './trend.ts';

export interface SessionOptions {
  readonly openTerminal: (listener: TerminalListener) => Terminal;
  readonly now: () => number;
  /** For durations, in milliseconds. */
  readonly monotonic: () => number;
  readonly pause: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Which ranges and blocks are shown. */
  readonly narrowed: (source: MapSource) => MapSource;
  readonly node?: string;
  /** Undefined until samples were read. */
  readonly forecasts: () => Forecasts | undefined;
  /** Reads the past owners of an address, a line for each. */
  readonly readPast: (address: string) => Promise<string[]>;
  readonly signal: AbortSignal;
}

/** How long a screen stays at least while only etcd changes, in milliseconds. */
const FRAME_MS = 100;
/** How often it is drawn though nothing happens: ages and rests go on. */
const TICK_MS = 1_000;
/** How long the rest of a key may take that sends several characters, over a slow line. */
const REST_MS = 100;
/** How long it stays while etcd is read, in milliseconds. */
const READING_MS = 1_000;
const NO_SOURCE: MapSource = {
  ranges: [],
  rules: [],
  unreadable: [],
  blocksOf: () => [],
  unreadableOf: () => [],
};

type Records = Pick<KnownState, 'records'>;

/** What there is, counted at a time. */
interface Seen {
  readonly at: number;
  /** By the monotonic clock. */
  readonly counted: number;
  readonly source: MapSource;
  readonly ranges: readonly RangeOverview[];
}

/** A map on a terminal: takes keys and events, and draws what they change. */
export class Session {
  readonly #options: SessionOptions;
  readonly #terminal: Terminal;
  #model: Model;
  #state: Records = { records: new Map() };
  #seen: Seen = { at: 0, counted: -Infinity, source: NO_SOURCE, ranges: [] };
  #isStale = false;
  #trends: Trends = new Map();
  #link: Link = { kind: 'reading', records: 0 };
  readonly #past = new Map<string, Past>();
  #keys: Key[] = [];
  #rest = '';
  /** Whether something is to be drawn without waiting. */
  #isDue = false;
  #wake = new AbortController();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#model = newModel();
    this.#terminal = options.openTerminal({
      input: (text) => this.#takeInput(text),
      resized: () => {
        this.#terminal.forget();
        this.#stir();
      },
    });
    options.signal.addEventListener('abort', () => this.#stir());
  }

  /** Draws until the operator ends the map, or the signal does. */
  async run(): Promise<void> {
    while (!this.#model.done && !this.#options.signal.aborted) {
      this.#draw();
      await this.#terminal.flushed();
      await this.#untilNext();
      this.#pressKeys();
    }
  }

  close(): void {
    this.#terminal.close();
  }

  /** Shows what has been read so far. */
  reading(state: Records): void {
    this.#state = state;
    this.#link = { kind: 'reading', records: state.records.size };
    this.#isStale = true;
  }

  /**
   * Shows a state from now on.
   * @param views where the map opens, by what there is; none: where the operator is by now
   */
  begin(state: KnownState, views: (source: MapSource) => readonly View[]): void {
    this.#state = state;
    this.#link = { kind: 'live' };
    this.#isStale = true;
    this.#seen = { ...this.#seen, counted: -Infinity };
    const opens = views(this.#options.narrowed(mapSource(state)));
    if (opens.length > 0) this.#model = newModel(...opens);
    this.#stir();
  }

  /** Takes what happened. The state has it already. */
  take({ events }: Followed): void {
    if (events.length === 0) return;
    this.#trends = withEvents(this.#trends, events);
    for (const { ip } of events) if (ip !== null) this.#past.delete(ip);
    this.#isStale = true;
  }

  /** @param reason why etcd cannot be followed; undefined: it is followed again */
  trouble(reason: string | undefined): void {
    const since = this.#link.kind === 'away' ? this.#link.since : this.#options.now();
    if (reason !== undefined) this.#link = { kind: 'away', since, reason };
    else this.#link = { kind: 'live' };
    this.#stir();
  }

  #facts(): Facts {
    const { node } = this.#options;
    const { at, source, ranges } = this.#look();
    return {
      ...{ now: at, source, ranges, link: this.#link, trends: this.#trends, past: this.#past },
      ...(node !== undefined && { node }),
      forecasts: this.#options.forecasts(),
    };
  }

  /** A large cluster is counted once for what is drawn and for the keys until the next drawing. */
  #look(): Seen {
    const { now, monotonic, narrowed, node } = this.#options;
    const isFresh = monotonic() - this.#seen.counted < (this.#isStale ? this.#frameMs() : TICK_MS - FRAME_MS);
    if (isFresh) return this.#seen;
    const at = now();
    const source = this.#isStale ? narrowed(mapSource(this.#state)) : this.#seen.source;
    this.#isStale = false;
    const ranges = overviewOf(source, at).filter(({ blocks }) => node === undefined || blocks.claimed > 0);
    this.#seen = { at, counted: monotonic(), source, ranges };
    return this.#seen;
  }

  /** Reading needs the processor more than drawing does. */
  #frameMs(): number {
    return this.#link.kind === 'reading' && this.#seen.ranges.length > 0 ? READING_MS : FRAME_MS;
  }

  #draw(): void {
    const [facts, size] = [this.#facts(), this.#terminal.size()];
    this.#model = settled(this.#model, facts, size);
    this.#terminal.show(renderMap(this.#model, facts, size));
    this.#askPast();
  }

  #pressKeys(): void {
    const keys = this.#keys.splice(0);
    if (keys.length === 0) return;
    const [facts, size] = [this.#facts(), this.#terminal.size()];
    for (const key of keys) {
      if (key.kind === 'named' && key.name === 'redraw') this.#terminal.forget();
      else if (key.kind === 'named' && key.name === 'suspend') this.#terminal.suspend();
      else this.#model = press(this.#model, key, facts, size);
    }
  }

  /** Waits for a key, for a change that may be drawn, or for a second to pass. */
  async #untilNext(): Promise<void> {
    const { pause, signal } = this.#options;
    for (let waited = 0; waited < TICK_MS && !this.#isDue && !signal.aborted; waited += FRAME_MS) {
      this.#wake = new AbortController();
      await pause(FRAME_MS, this.#wake.signal);
      if (this.#isStale && waited + FRAME_MS >= this.#frameMs()) break;
    }
    this.#isDue = false;
  }

  /** Has the map drawn now. */
  #stir(): void {
    this.#isDue = true;
    this.#wake.abort();
  }

  #takeInput(text: string): void {
    const { keys, rest } = keysOf(this.#rest + text);
    this.#rest = rest;
    this.#keys.push(...keys);
    if (keys.length > 0) this.#stir();
    if (rest === '') return;
    void this.#options.pause(REST_MS).then(() => {
      if (this.#rest !== rest) return;
      this.#rest = '';
      this.#keys.push(...keysOfRest(rest));
      this.#stir();
    });
  }

  #askPast(): void {
    const ip = wantsPast(this.#model);
    if (ip === undefined || this.#past.has(ip)) return;
    this.#past.set(ip, { kind: 'reading' });
    void this.#options
      .readPast(ip)
      .then(
        (lines): Past => ({ kind: 'read', lines }),
        (error: unknown): Past => ({
          kind: 'failed',
          reason: error instanceof Error ? error.message : String(error),
        }),
      )
      .then((past) => {
        this.#past.set(ip, past);
        this.#stir();
      });
  }
}
