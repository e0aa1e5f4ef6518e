import { follow, startNow, type Start } from '../../ipam/events/follow.ts';
import type { KnownState } from '../../ipam/events/state.ts';
import { parseAddress } from '../../ipam/model/address.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { MapForecasts } from '../../ipam/map/forecasts.ts';
import { mapSource, type MapSource } from '../../ipam/map/source.ts';
import { readForecasts } from '../../ipam/query/forecasts.ts';
import { readHistory } from '../../ipam/query/history.ts';
import { decodeAhead } from '../../ipam/records/lazy-block.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { hasColours, type Context } from '../context/context.ts';
import { formatAge } from '../context/durations.ts';
import type { OpenEvents } from '../context/world.ts';
import type { View } from '../map/model.ts';
import { Session } from '../map/session.ts';
import { checkFilter, narrowed, viewsOf, whereOf, type MapFilter } from '../map/where.ts';
import { podText } from '../render/pod.ts';
import { ProgressLine } from '../render/progress.ts';
import { causeText, lifetimeRow, secondsText } from './ip-history.ts';
import { printMap } from './map-print.ts';

export interface MapOptions extends MapFilter {
  readonly once?: boolean;
}

/** Pause after a reading of etcd that failed, in milliseconds. */
const AGAIN_MS = 2_000;

/**
 * `map`: shows ranges, blocks and addresses, live in a terminal; elsewhere it prints them once.
 * @param where what to open: a range, an address, a pod, a node; undefined: the overview
 * @throws CommandError for a place, a range or a node that nothing knows
 */
export async function map(context: Context, where: string | undefined, options: MapOptions): Promise<number> {
  const { world } = context;
  const isPlain = context.format.kind !== 'table' || options.once === true || world.env['TERM'] === 'dumb';
  const etcd = await world.openEvents(etcdSettings(context.settings.etcd));
  try {
    if (world.isTerminal && !isPlain) await new LiveMap(context, etcd, options).run(where);
    else await printOnce(context, etcd, where, options);
    return 0;
  } finally {
    etcd.close();
  }
}

async function printOnce(
  context: Context,
  { watches }: OpenEvents,
  where: string | undefined,
  filter: MapFilter,
): Promise<void> {
  const { world, paint } = context;
  const progress = new ProgressLine({ ...world, now: world.monotonic }, paint);
  const { state } = await startNow(watches, ({ size }) => progress.update('records read', size, 0));
  progress.clear();
  const source = mapSource(state);
  checkFilter(source, nodesOf(state), filter);
  const forecasts = forecastsOf(context, () => source);
  // Only the overview tells them.
  if (where === undefined)
    await forecasts.refresh().catch((error: unknown) => {
      context.warn(`until when ranges last is not known: ${messageOf(error)}`);
    });
  printMap(context, { source: narrowed(source, filter), forecasts: forecasts.current }, where, filter);
  for (const key of source.unreadable) context.warn(`the record '${key}' cannot be read`);
}

/** The map in a terminal, from etcd's first record to the key that ends it. */
class LiveMap {
  readonly #context: Context;
  readonly #etcd: OpenEvents;
  readonly #filter: MapFilter;
  readonly #stop = new AbortController();
  readonly #forecasts: MapForecasts;
  #state: KnownState | undefined;

  constructor(context: Context, etcd: OpenEvents, filter: MapFilter) {
    this.#context = context;
    this.#etcd = etcd;
    this.#filter = filter;
    this.#forecasts = forecastsOf(context, () => this.#state && mapSource(this.#state));
    const stopped = context.world.untilStopped();
    stopped.addEventListener('abort', () => this.#stop.abort());
    if (stopped.aborted) this.#stop.abort();
  }

  async run(where: string | undefined): Promise<void> {
    const { world, options } = this.#context;
    const filter = this.#filter;
    const session = new Session({
      openTerminal: (listener) => world.openTerminal(listener, hasColours(world, options.color)),
      now: world.now,
      monotonic: world.monotonic,
      pause: world.pause,
      narrowed: (source) => narrowed(source, filter),
      ...(filter.node !== undefined && { node: filter.node }),
      forecasts: () => this.#forecasts.current,
      readPast: (address) => readPast(this.#context, address),
      signal: this.#stop.signal,
    });
    const following = this.#follow(session, where);
    try {
      await Promise.race([session.run(), following]);
    } finally {
      session.close();
      this.#stop.abort();
      // The operator has ended the map: nobody asks for a failure of etcd any more.
      await following.catch(() => undefined);
    }
  }

  async #follow(session: Session, where: string | undefined): Promise<void> {
    const { watches, effects } = this.#etcd;
    const { signal } = this.#stop;
    const start = await this.#start(session);
    if (!start) return;
    checkFilter(mapSource(start.state), nodesOf(start.state), this.#filter);
    session.begin(start.state, (source) => this.#viewsFor(source, where));
    this.#state = start.state;
    const { pause } = this.#context.world;
    void this.#forecasts.keep(pause, signal);
    void decodeAhead(start.state.blocks(), pause, signal);
    const onTrouble = (error: unknown): void =>
      session.trouble(error === undefined ? undefined : messageOf(error));
    for await (const followed of follow(watches, start, { effects, signal, onTrouble }))
      session.take(followed);
  }

  #viewsFor(source: MapSource, where: string | undefined): View[] {
    const now = this.#context.world.now();
    return where === undefined ? [] : viewsOf(source, whereOf(source, where, now), now);
  }

  /** Reads etcd, again and again until it succeeds. */
  async #start(session: Session): Promise<Start | undefined> {
    const { signal } = this.#stop;
    while (!signal.aborted)
      try {
        return await startNow(this.#etcd.watches, (records) => session.reading({ records }));
      } catch (error) {
        session.trouble(messageOf(error));
        await this.#context.world.pause(AGAIN_MS, signal);
      }
    return undefined;
  }
}

const forecastsOf = (context: Context, source: () => MapSource | undefined): MapForecasts =>
  new MapForecasts({
    source,
    now: context.world.now,
    read: (usages) => context.withIpam((ipam) => readForecasts(ipam, usages)),
  });

/** Nodes that may have no blocks: by their agents, and by what was written under their names. */
const nodesOf = (state: KnownState): Set<string> =>
  new Set([...state.records.values()].flatMap(({ known }) => (known && 'node' in known ? [known.node] : [])));

/** Returns the past owners of an address, the newest first, a line for each. */
async function readPast(context: Context, ip: string): Promise<string[]> {
  const history = await context.withIpam((ipam) => readHistory(ipam, parseAddress(ip)));
  const lines = history.past.map(lifetimeRow).map(({ from, until = from, node, owner, cause }) => {
    const when = `${secondsText(from)} to ${secondsText(until)} (${formatAge(until - from)})`;
    return `${when}  ${podText(owner)}  ${node}  ${causeText(cause)}`;
  });
  const { completeSince, unreadable } = history;
  return [
    ...(lines.length === 0 ? ['nobody, as far as is recorded'] : lines),
    ...(completeSince === undefined
      ? []
      : [`before ${secondsText(completeSince)}, records may have been overwritten`]),
    ...(unreadable.length === 0 ? [] : [`${unreadable.length} of its records cannot be read`]),
  ];
}
