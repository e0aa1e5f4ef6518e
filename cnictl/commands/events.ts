import type { CellEvent } from '../../ipam/events/event.ts';
import { isWanted, type EventFilter } from '../../ipam/events/filter.ts';
import { follow, startBehind, startNow, type Followed, type Start } from '../../ipam/events/follow.ts';
import { initialEvents } from '../../ipam/events/initial.ts';
import { after, formatPosition, parsePosition } from '../../ipam/events/position.ts';
import { replay } from '../../ipam/events/replay.ts';
import { isSince, startSince } from '../../ipam/events/since.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { didYouMean } from '../../ipam/model/nearest.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Context } from '../context/context.ts';
import { parseDuration } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import type { OpenEvents } from '../context/world.ts';
import { eventLine } from '../render/event.ts';

export interface EventsOptions extends EventFilter {
  readonly follow?: boolean;
  readonly since?: string;
  readonly fromRevision?: string;
  readonly after?: string;
  readonly initial?: boolean;
  readonly bookmarks?: boolean;
}

const USUAL_SINCE = '1h';
/** How often a bookmark tells how far it is, while nothing is printed, in milliseconds. */
const BOOKMARK_MS = 15_000;

/**
 * `events`: prints what happens to addresses, blocks, ranges, rules and nodes, one event after
 * another, up to now or until it is stopped.
 * @throws CommandError for options that exclude one another
 */
export async function events(context: Context, options: EventsOptions): Promise<number> {
  checkOptions(options);
  if (options.bookmarks && context.printsTable)
    throw new CommandError('--bookmarks is for programs: expected -o json or yaml with it');
  const signal = context.world.untilStopped();
  const open = await context.world.openEvents(etcdSettings(context.settings.etcd));
  try {
    await new Printing(context, options, open, signal).run();
    return 0;
  } catch (error) {
    if (signal.aborted) return 0;
    throw error;
  } finally {
    open.close();
  }
}

function checkOptions({ since, fromRevision, after: position, initial }: EventsOptions): void {
  const given = [
    since !== undefined && '--since',
    fromRevision !== undefined && '--from-revision',
    position !== undefined && '--after',
    initial === true && '--initial',
  ].filter((each) => each !== false);
  if (given.length > 1)
    throw new CommandError(`${given.join(' and ')}: expected one of them, each says where to begin`);
  if (fromRevision !== undefined && !/^[1-9]\d{0,14}$/.test(fromRevision))
    throw new CommandError(`--from-revision '${fromRevision}': expected a revision of etcd, such as 912`);
}

class Printing {
  readonly #context: Context;
  readonly #options: EventsOptions;
  readonly #open: OpenEvents;
  readonly #signal: AbortSignal;
  /** Milliseconds since 1970; earlier events are not shown. */
  readonly #since: number | undefined;
  #printed = 0;
  /** By the monotonic clock. */
  #printedAt = -Infinity;

  constructor(context: Context, options: EventsOptions, open: OpenEvents, signal: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#open = open;
    this.#signal = signal;
    this.#since = sinceOf(options, context.world.now());
  }

  async run(): Promise<void> {
    const newest = await this.#open.watches.newest();
    const start = await this.#start(newest);
    const beginsNow = this.#since === undefined && start.state.revision >= newest;
    if (this.#options.follow && beginsNow) this.#warnUnknown(start);
    if (this.#options.initial) for (const part of initialEvents(start.state)) await this.#print(part);
    this.#bookmark(start.events.length > 0 ? undefined : start);
    for await (const { events: told, revision } of this.#stream(start, newest)) {
      await this.#print(told);
      this.#bookmark({ state: { revision }, skip: 0 });
    }
    if (!this.#options.follow) this.#warnUnknown(start);
    if (this.#printed === 0 && this.#context.printsTable && !this.#options.follow)
      this.#context.world.stdout('No events.\n');
  }

  async #start(newest: number): Promise<Start> {
    const { watches, effects } = this.#open;
    const { after: position, fromRevision } = this.#options;
    if (position !== undefined) return await startBehind(watches, parsePosition(position, '--after'));
    if (fromRevision !== undefined) {
      const first = Number(fromRevision);
      if (first > newest + 1)
        throw new CommandError(`--from-revision '${fromRevision}': etcd is at revision ${newest}`);
      return await startBehind(watches, after(first - 1));
    }
    if (this.#since === undefined) return await startNow(watches);
    return await startSince(watches, this.#since, effects);
  }

  /** Tells how far it is, for a reader that stores it. */
  #bookmark(at: { readonly state: { readonly revision: number }; readonly skip: number } | undefined): void {
    const { world } = this.#context;
    if (!this.#options.bookmarks || !at || world.monotonic() - this.#printedAt < BOOKMARK_MS) return;
    this.#printedAt = world.monotonic();
    const bookmark = {
      type: 'bookmark',
      position: formatPosition({ revision: at.state.revision, further: at.skip }),
    };
    world.stdout(this.#context.textOfNext(bookmark, () => ''));
  }

  #stream(start: Start, newest: number): AsyncIterable<Followed> {
    const { watches, effects } = this.#open;
    const shared = { effects, signal: this.#signal };
    if (!this.#options.follow) return replay(watches, start, newest, shared);
    return follow(watches, start, { ...shared, onTrouble: (error) => this.#tellTrouble(error) });
  }

  #tellTrouble(error: unknown): void {
    this.#context.warn(
      error === undefined
        ? 'following etcd again'
        : `etcd cannot be followed, trying again: ${messageOf(error)}`,
    );
  }

  /** A name that nothing has is mostly misspelt; but what is gone has events, too. */
  #warnUnknown({ state }: Start): void {
    const { range, node } = this.#options;
    const known = [...state.records.values()].map((record) => record.known);
    if (range !== undefined && !known.some((each) => each?.kind === 'range' && each.range.name === range)) {
      const names = known.flatMap((each) => (each?.kind === 'range' ? [each.range.name] : []));
      const what = `there is no range '${range}' at revision ${state.revision}`;
      this.#context.warn([what, didYouMean(range, names).trim()].filter((each) => each !== '').join('. '));
    }
    const isOf = (name: string): boolean =>
      known.some(
        (each) => each && ('node' in each ? each.node : each.kind === 'block' && each.block.node) === name,
      );
    if (node !== undefined && !isOf(node)) {
      const names = known.flatMap((each) => (each?.kind === 'block' ? [each.block.node] : []));
      const what = `nothing is known of a node '${node}' at revision ${state.revision}`;
      this.#context.warn([what, didYouMean(node, names).trim()].filter((each) => each !== '').join('. '));
    }
  }

  async #print(told: readonly CellEvent[]): Promise<void> {
    const since = this.#since;
    const shown = told
      .filter((event) => isWanted(event, this.#options))
      .filter((event) => since === undefined || isSince(event, since));
    if (shown.length === 0) return;
    this.#printed += shown.length;
    this.#printedAt = this.#context.world.monotonic();
    const { world, paint } = this.#context;
    const context = this.#context;
    world.stdout(shown.map((event) => context.textOfNext(event, () => eventLine(event, paint))).join(''));
    // A reader that takes its time must not fill the memory of this process.
    await world.flushed();
  }
}

function sinceOf(options: EventsOptions, now: number): number | undefined {
  const { since, follow: follows, fromRevision, after: position, initial } = options;
  const text = since ?? (follows || fromRevision || position || initial ? undefined : USUAL_SINCE);
  return text === undefined ? undefined : now - parseDuration(text, '--since', Infinity);
}
