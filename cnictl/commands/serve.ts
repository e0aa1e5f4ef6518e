import { follow, startNow, type Start } from '../../ipam/events/follow.ts';
import { MapForecasts } from '../../ipam/map/forecasts.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { readForecasts } from '../../ipam/query/forecasts.ts';
import { readHistory } from '../../ipam/query/history.ts';
import { decodeAhead } from '../../ipam/records/lazy-block.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Context } from '../context/context.ts';
import type { OpenEvents, OpenIpam } from '../context/world.ts';
import type { AccessOptions } from '../serve/access.ts';
import { EventsRoute, type EventSource } from '../serve/events-route.ts';
import { healthRoute, type Health } from '../serve/health-route.ts';
import { EventHub } from '../serve/hub.ts';
import { MapData } from '../serve/map-data.ts';
import { mapRoutes } from '../serve/map-routes.ts';
import { pageRoutes } from '../serve/page-routes.ts';
import { statusRoute, type Status } from '../serve/status-route.ts';
import { forecastJson } from '../render/forecast.ts';
import { serveRoutes } from '../serve/server.ts';

export type ServeOptions = AccessOptions;

/** How long etcd may be away before the server calls itself unwell, in milliseconds. */
const UNWELL_MS = 10_000;
/** Pause after a first reading of etcd that failed, in milliseconds. */
const AGAIN_MS = 2_000;
/** How long listeners may take for their last lines when the server ends, in milliseconds. */
const LAST_MS = 1_000;

/**
 * `serve`: follows etcd, and serves the page and the events over HTTP until it is stopped.
 * @returns 0, because a stop is the normal end
 * @throws CommandError for wrong options, and when the address cannot be bound
 */
export async function serve(context: Context, options: ServeOptions): Promise<number> {
  const { world } = context;
  const signal = world.untilStopped();
  const etcd = await world.openEvents(etcdSettings(context.settings.etcd));
  try {
    const ipam = await world.openIpam(etcdSettings(context.settings.etcd));
    try {
      return await serveFrom(context, options, { etcd, ipam, signal });
    } finally {
      ipam.close();
    }
  } finally {
    etcd.close();
  }
}

interface Sources {
  readonly etcd: OpenEvents;
  /** For what is not followed: the history. */
  readonly ipam: OpenIpam;
  readonly signal: AbortSignal;
}

async function serveFrom(context: Context, options: ServeOptions, sources: Sources): Promise<number> {
  const { world } = context;
  const served = new Serving(context, sources);
  const server = await serveRoutes(options, served.routes, (text) => context.warn(text));
  context.warn(`the map at ${server.url}/, events at ${server.url}/events`);
  await served.run();
  await world.pause(served.listeners > 0 ? LAST_MS : 0);
  server.close();
  return 0;
}

class Serving {
  readonly routes;
  readonly #context: Context;
  readonly #etcd: OpenEvents;
  readonly #signal: AbortSignal;
  readonly #events = new EventsRoute(() => this.#source);
  readonly #forecasts: MapForecasts;
  #source: EventSource | undefined;
  #trouble: { readonly reason: string; readonly since: number } | undefined;

  constructor(context: Context, { etcd, ipam, signal }: Sources) {
    const { world } = context;
    this.#context = context;
    this.#etcd = etcd;
    this.#signal = signal;
    const data = new MapData(() => this.#source?.hub.state);
    this.#forecasts = new MapForecasts({
      source: () => data.now()?.source,
      now: world.now,
      read: (usages) => readForecasts(ipam, usages),
    });
    this.routes = [
      ...pageRoutes(world.dist, world.readFile),
      this.#events,
      ...mapRoutes({
        data,
        now: world.now,
        history: (address) => readHistory(ipam, address),
        extras: (range) => this.#forecastOf(range),
      }),
      statusRoute(() => this.#status()),
      healthRoute(() => this.#health()),
    ];
  }

  get listeners(): number {
    return this.#events.listeners;
  }

  async run(): Promise<void> {
    const [signal, etcd] = [this.#signal, this.#etcd];
    const start = await this.#start();
    if (!start) return;
    const hub = new EventHub(start.state);
    this.#source = { hub, etcd, signal };
    const onTrouble = (error: unknown): void => this.#tell(error);
    signal.addEventListener('abort', () => hub.wake());
    const { pause } = this.#context.world;
    void this.#forecasts.keep(pause, signal);
    void decodeAhead(start.state.blocks(), pause, signal);
    for await (const followed of follow(etcd.watches, start, { effects: etcd.effects, signal, onTrouble }))
      hub.take(followed);
    hub.wake();
  }

  /** What is told of a range; nothing until samples were read. */
  #forecastOf(range: string): { readonly forecast?: object | null } {
    const { current } = this.#forecasts;
    if (!current) return {};
    return { forecast: forecastJson(current, current.ranges.get(range), this.#context.world.now()) };
  }

  /** Reads etcd, again and again until it succeeds. */
  async #start(): Promise<Start | undefined> {
    while (!this.#signal.aborted)
      try {
        const start = await startNow(this.#etcd.watches);
        this.#tell(undefined);
        return start;
      } catch (error) {
        this.#tell(error);
        await this.#context.world.pause(AGAIN_MS, this.#signal);
      }
    return undefined;
  }

  #tell(error: unknown): void {
    const { world } = this.#context;
    const reason = error === undefined ? undefined : messageOf(error);
    if (reason === undefined && this.#trouble) this.#context.warn('following etcd again');
    if (reason !== undefined && reason !== this.#trouble?.reason)
      this.#context.warn(`etcd cannot be followed, trying again: ${reason}`);
    const since = this.#trouble?.since ?? world.monotonic();
    this.#trouble = reason === undefined ? undefined : { reason, since };
  }

  #health(): Health {
    const revision = this.#source?.hub.state.revision ?? null;
    const about = { revision, listeners: this.listeners };
    const trouble = this.#trouble;
    const isLong = trouble && this.#context.world.monotonic() - trouble.since >= UNWELL_MS;
    if (this.#source && !isLong) return { ok: true, ...about };
    return { ok: false, reason: trouble?.reason ?? 'etcd has not been read yet', ...about };
  }

  #status(): Status {
    const { world, settings } = this.#context;
    const trouble = this.#trouble;
    return {
      now: world.now(),
      revision: this.#source?.hub.state.revision ?? null,
      trouble: trouble && { reason: trouble.reason, forMs: world.monotonic() - trouble.since },
      prefix: settings.etcd?.prefix ?? null,
    };
  }
}
