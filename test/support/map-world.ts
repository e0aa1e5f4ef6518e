import { setTimeout as sleep } from 'node:timers/promises';
import type { Terminal, TerminalListener } from '../../cnictl/context/terminal.ts';
import type { Key } from '../../cnictl/map/keys.ts';
import { keysOf, keysOfRest } from '../../cnictl/map/keys.ts';
import { newModel, type Facts, type Model, type View } from '../../cnictl/map/model.ts';
import { press, settled } from '../../cnictl/map/press.ts';
import { renderMap } from '../../cnictl/map/screen.ts';
import { lineText, redraw, type Drawn, type Line, type Size } from '../../cnictl/render/frame.ts';
import { readState, type KnownState } from '../../ipam/events/state.ts';
import { overviewOf } from '../../ipam/map/map.ts';
import { mapSource } from '../../ipam/map/source.ts';
import { put } from '../../ipam/records/transaction.ts';
import { CliWorld } from '../golden/world.ts';
import { Screen } from './screen.ts';
import { WatchedMemory } from './watched-memory.ts';

/** Longest pause of the map itself, in milliseconds. */
const LONGEST_MS = 10_000;

export const USUAL: Size = { columns: 80, rows: 24 };

/** The usual cluster of the tests, in a store that remembers its revisions. */
export async function watchedWorld(made?: CliWorld): Promise<{ world: CliWorld; store: WatchedMemory }> {
  const world = made ?? (await CliWorld.make());
  const store = new WatchedMemory();
  // What waits for minutes does so beyond the test; the others let go on what else there is.
  world.meanwhile = (ms) => (ms > LONGEST_MS ? new Promise(() => undefined) : sleep(0));
  for (const { key, value } of world.ipam.store.entries.values()) await store.commit([], [put(key, value)]);
  world.openEvents = () =>
    Promise.resolve({ watches: store.watches, effects: world.ipam.effects, close: () => undefined });
  return { world, store };
}

/** Returns what the map shows of the store. */
export async function factsOf({ world, store }: { world: CliWorld; store: WatchedMemory }): Promise<Facts> {
  return factsAt(await readState(store.watches, Number(store.revision)), world.ipam.now);
}

export function factsAt(state: Pick<KnownState, 'records'>, now: number): Facts {
  const source = mapSource(state);
  const ranges = overviewOf(source, now);
  return { now, source, ranges, link: { kind: 'live' }, trends: new Map(), past: new Map() };
}

/** A map without a terminal: keys in, a screen out. */
export class PureMap {
  model: Model;
  facts: Facts;
  size: Size;

  constructor(facts: Facts, size: Size = USUAL, ...views: readonly View[]) {
    this.facts = facts;
    this.size = size;
    this.model = newModel(...views);
  }

  /** @param keys as a keyboard sends them */
  press(keys: string): this {
    const { keys: whole, rest } = keysOf(keys);
    for (const key of [...whole, ...keysOfRest(rest)]) this.pressKey(key);
    return this;
  }

  pressKey(key: Key): this {
    this.model = press(this.model, key, this.facts, this.size);
    return this;
  }

  render(): Line[] {
    this.model = settled(this.model, this.facts, this.size);
    return renderMap(this.model, this.facts, this.size);
  }

  get lines(): string[] {
    return this.render().map((line) => lineText(line).slice(0, this.size.columns).trimEnd());
  }

  get text(): string {
    return this.lines.join('\n');
  }
}

/** A terminal of values, for `cnictl map` in the process of the test. */
export class FakeTerminal implements Terminal {
  readonly screen: Screen;
  readonly colours: boolean;
  isOpen = true;
  bytes = 0;
  readonly #listener: TerminalListener;
  #drawn: Drawn | undefined;

  constructor(listener: TerminalListener, colours: boolean, { columns, rows }: Size = USUAL) {
    this.#listener = listener;
    this.colours = colours;
    this.screen = Screen.taken(columns, rows);
  }

  press(keys: string): void {
    this.#listener.input(keys);
  }

  resize(columns: number, rows: number): void {
    this.screen.resize(columns, rows);
    this.#listener.resized();
  }

  size = (): Size => this.screen;
  show = (lines: readonly Line[]): void => {
    const { columns, rows } = this.screen;
    const { drawn, text } = redraw(this.#drawn, lines, { columns, rows }, this.colours);
    this.#drawn = drawn;
    this.bytes += text.length;
    this.screen.write(text);
  };
  // Other work of the process goes on, as with a terminal.
  flushed = (): Promise<void> => sleep(1);
  forget = (): void => (this.#drawn = undefined);
  suspend = (): void => undefined;
  close = (): void => {
    this.isOpen = false;
  };
}
