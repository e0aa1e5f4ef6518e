import type { Effects, Timer } from '../../ipam/model/effects.ts';
import type { CollectionSink, Reflection, WatchObserver } from './watches.ts';
import { Backoff } from './backoff.ts';
import { KubeError, reasonOf } from './errors.ts';
import type { Change, Source } from './source.ts';
import type { Entry } from './watch-event.ts';

export type ReflectorEffects = Pick<Effects, 'monotonic' | 'random' | 'schedule'>;

/** client-go has the same shortest life; the longest is twice that. */
const WATCH_MS = 300_000;
/** A watch that ends earlier and without an event counts as a failure, as in client-go. */
const SHORTEST_WATCH_MS = 1000;

/** Lists a collection, then follows its changes, until it is closed. */
export function reflect<T extends { readonly uid: string }>(
  source: Source<T>,
  sink: CollectionSink<T>,
  observer: WatchObserver,
  effects: ReflectorEffects,
): Reflection {
  const reflector = new Reflector(source, sink, observer, effects);
  void reflector.run();
  return {
    close: () => reflector.close(),
    synced: () => reflector.synced,
    lastHeardAt: () => reflector.lastHeardAt,
  };
}

class Reflector<T extends { readonly uid: string }> {
  readonly #source: Source<T>;
  readonly #sink: CollectionSink<T>;
  readonly #observer: WatchObserver;
  readonly #effects: ReflectorEffects;
  readonly #backoff: Backoff;
  readonly #closing = new AbortController();
  /** What the sink has. The items are the same objects. */
  #held = new Map<string, T>();
  /** The sink has everything up to this version. Undefined: the collection must be listed. */
  #version: string | undefined;
  #isWell = false;
  /** The trouble that the observer was last told of, since it was last well. */
  #problem: string | undefined;
  synced = false;
  lastHeardAt: number | undefined;

  constructor(
    source: Source<T>,
    sink: CollectionSink<T>,
    observer: WatchObserver,
    effects: ReflectorEffects,
  ) {
    this.#source = source;
    this.#sink = sink;
    this.#observer = observer;
    this.#effects = effects;
    this.#backoff = new Backoff(effects);
  }

  close(): void {
    this.#closing.abort();
  }

  #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async run(): Promise<void> {
    while (!this.#isClosed()) {
      try {
        this.#version ??= await this.#list();
        await this.#watch(this.#version);
      } catch (error) {
        if (!this.#isClosed()) await this.#recover(error);
      }
    }
  }

  async #list(): Promise<string> {
    const { signal } = this.#closing;
    const { version, entries } = await this.#source.list(signal);
    signal.throwIfAborted();
    this.#heard();
    const items = new Map<string, T>();
    for (const entry of entries) {
      const item = 'item' in entry ? entry.item : this.#formerOf(entry);
      if (item !== undefined) items.set(entry.key, item);
    }
    this.#held = items;
    this.#sink.replaceAll(new Map(items));
    this.synced = true;
    return version;
  }

  /** Reports a bad object. Returns its former state, unless that is of another object. */
  #formerOf({ key, uid, bad }: Extract<Entry<T>, { bad: string }>): T | undefined {
    this.#observer.onBad(key, bad);
    const former = this.#held.get(key);
    return uid === undefined || former?.uid === uid ? former : undefined;
  }

  async #watch(version: string): Promise<void> {
    const { monotonic, random, schedule } = this.#effects;
    const beganAt = monotonic();
    let events = 0;
    let settled: Timer | undefined;
    try {
      const end = await this.#source.watch({
        version,
        lifeMs: WATCH_MS * (1 + random()),
        signal: this.#closing.signal,
        onOpen: () => {
          this.#heard();
          settled = schedule(SHORTEST_WATCH_MS, () => this.#well());
        },
        onHeard: () => this.#heard(),
        onEvent: (event) => {
          if (this.#isClosed()) return;
          events++;
          this.#apply(event);
          this.#well();
        },
      });
      if (end === 'ended' && events === 0 && monotonic() - beganAt < SHORTEST_WATCH_MS)
        throw new KubeError('unreachable', `the watch of ${this.#source.name} ended as soon as it began`);
    } finally {
      settled?.cancel();
    }
  }

  #apply(event: Change<T>): void {
    if (event.kind === 'put') this.#put(event.entry);
    else if (event.kind === 'remove') this.#remove(event.key);
    this.#version = event.version;
  }

  #put(entry: Entry<T>): void {
    if ('item' in entry) {
      this.#held.set(entry.key, entry.item);
      this.#sink.put(entry.key, entry.item);
    } else if (this.#formerOf(entry) === undefined) this.#remove(entry.key);
  }

  #remove(key: string): void {
    if (this.#held.delete(key)) this.#sink.remove(key);
  }

  #heard(): void {
    this.lastHeardAt = this.#effects.monotonic();
  }

  #well(): void {
    if (this.#isWell || this.#isClosed()) return;
    this.#isWell = true;
    this.#problem = undefined;
    this.#observer.onWell();
  }

  #tell(problem: string): void {
    if (problem !== this.#problem) this.#observer.onTrouble(problem);
    this.#problem = problem;
  }

  async #recover(error: unknown): Promise<void> {
    const code = error instanceof KubeError ? error.code : undefined;
    // A watch that begins at a version too old for the server is no trouble: the list will do.
    if (this.#version === undefined || code !== 'expired') {
      this.#isWell = false;
      this.#tell(reasonOf(error));
    }
    if (!canResume(error)) this.#version = undefined;
    await this.#pause(this.#backoff.nextMs(error));
  }

  /** Waits, at most until the reflector is closed. */
  #pause(ms: number): Promise<void> {
    const { signal } = this.#closing;
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.#effects.schedule(ms, end);
      signal.addEventListener('abort', end);
    });
  }
}

/**
 * Tells whether the next watch can begin where this one ended. After an answer that violates the
 * API it cannot: the same answer could come again, and a list passes over it.
 */
function canResume(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false;
  return !['expired', 'malformed', 'refused'].includes(error.code);
}
