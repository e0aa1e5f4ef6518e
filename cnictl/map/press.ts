import { formatAddress } from '../../ipam/model/address.ts';
import type { Size } from '../render/frame.ts';
import { addressIn, blockList, cursorIn, indexIn, type BlockList } from './blocks.ts';
import type { Key } from './keys.ts';
import { addressLines } from './address.ts';
import { bodyRows } from './layout.ts';
import {
  BLOCK_ORDERS,
  newModel,
  opened,
  OVERVIEW_ORDERS,
  viewOf,
  withView,
  type Facts,
  type Model,
  type Order,
  type RangeView,
} from './model.ts';
import { overviewIndex, rangesInOrder } from './overview.ts';
import { placesOf } from './places.ts';

/** What a key asks for, whichever keyboard it came from. */
type Intent =
  | { readonly kind: 'move'; readonly rows: number; readonly cells: number }
  | { readonly kind: 'to'; readonly end: 'first' | 'last' }
  | {
      readonly kind:
        'enter' | 'back' | 'search' | 'next' | 'previous' | 'order' | 'reverse' | 'fold' | 'help' | 'quit';
    };

/** Returns the map as it is after a key. */
export function press(model: Model, key: Key, facts: Facts, size: Size): Model {
  const { message: _, ...quiet } = model;
  if (key.kind === 'named' && key.name === 'interrupt') return { ...quiet, done: true };
  if (quiet.prompt !== undefined) return settled(typed(quiet, quiet.prompt, key, facts), facts, size);
  if (quiet.help) return { ...quiet, help: false };
  const intent = intentOf(key, bodyRows(size));
  return intent ? settled(carryOut(quiet, intent, facts, size), facts, size) : quiet;
}

function intentOf(key: Key, page: number): Intent | undefined {
  const name = key.kind === 'named' ? key.name : key.character;
  const step = Math.max(1, page - 1);
  switch (name) {
    case 'up':
    case 'k':
      return { kind: 'move', rows: -1, cells: 0 };
    case 'down':
    case 'j':
      return { kind: 'move', rows: 1, cells: 0 };
    case 'left':
    case 'h':
      return { kind: 'move', rows: 0, cells: -1 };
    case 'right':
    case 'l':
      return { kind: 'move', rows: 0, cells: 1 };
    case 'page-up':
      return { kind: 'move', rows: -step, cells: 0 };
    case 'page-down':
    case ' ':
      return { kind: 'move', rows: step, cells: 0 };
    case 'home':
    case 'g':
      return { kind: 'to', end: 'first' };
    case 'end':
    case 'G':
      return { kind: 'to', end: 'last' };
    case 'enter':
      return { kind: 'enter' };
    case 'escape':
    case 'backspace':
      return { kind: 'back' };
    case '/':
      return { kind: 'search' };
    case 'n':
      return { kind: 'next' };
    case 'N':
      return { kind: 'previous' };
    case 's':
      return { kind: 'order' };
    case 'r':
      return { kind: 'reverse' };
    case 'u':
      return { kind: 'fold' };
    case '?':
      return { kind: 'help' };
    case 'q':
      return { kind: 'quit' };
    default:
      return undefined;
  }
}

function carryOut(model: Model, intent: Intent, facts: Facts, size: Size): Model {
  switch (intent.kind) {
    case 'move':
      return moved(model, intent.rows, intent.cells, facts, size);
    case 'to':
      return moved(model, intent.end === 'first' ? -Infinity : Infinity, 0, facts, size);
    case 'enter':
      return entered(model, facts, size);
    case 'back':
      return wentBack(model);
    case 'search':
      return { ...model, prompt: '' };
    case 'next':
      return found(model, 1, facts);
    case 'previous':
      return found(model, -1, facts);
    case 'order':
      return ordered(model);
    case 'reverse':
      return reversed(model);
    case 'fold': {
      const view = viewOf(model);
      return view.kind === 'range' ? withView(model, { ...view, unfolded: !view.unfolded }) : model;
    }
    case 'help':
      return { ...model, help: true };
    case 'quit':
      return { ...model, done: true };
  }
}

/** @param rows how far down; negative: up. Without end: to the last or first row */
function moved(model: Model, rows: number, cells: number, facts: Facts, size: Size): Model {
  const view = viewOf(model);
  if (view.kind === 'overview') {
    const ranges = rangesInOrder(facts, model.overviewOrder);
    const index = overviewIndex(model, facts, view.at) + rows;
    const range = ranges[clamp(index, ranges.length)];
    // Right opens what is under the cursor, as in lists of files.
    if (cells > 0) return entered(model, facts, size);
    return range ? withView(model, { kind: 'overview', at: range.range.name }) : model;
  }
  if (view.kind === 'address') {
    if (cells < 0) return wentBack(model);
    const top = (model.tops.at(-1) ?? 0) + rows;
    const last = addressLines(view, facts, size.columns).length - bodyRows(size);
    return withTop(model, Math.min(Math.max(0, top), Math.max(0, last)));
  }
  const list = blockList(view, model.blockOrder, facts, size.columns);
  return list ? movedInRange(model, view, list, rows, cells) : model;
}

function movedInRange(model: Model, view: RangeView, list: BlockList, rows: number, cells: number): Model {
  const { index, at } = cursorIn(view, list);
  const row = list.rows[index];
  if (!row || !at) return movedTo(model, view, list, index + rows, 0);
  const cell = row.kind === 'block' ? indexIn(row.block, at) - row.from : 0;
  if (rows !== 0) return movedTo(model, view, list, index + rows, cell);
  const length = row.kind === 'block' ? row.to - row.from : 1;
  // Beyond the end of a row is the beginning of the next one.
  if (cell + cells >= length)
    return index + 1 < list.rows.length ? movedTo(model, view, list, index + 1, 0) : model;
  if (cell + cells < 0) return index > 0 ? movedTo(model, view, list, index - 1, Infinity) : model;
  return movedTo(model, view, list, index, cell + cells);
}

function movedTo(model: Model, view: RangeView, list: BlockList, index: number, cell: number): Model {
  const at = addressIn(list.rows[clamp(index, list.rows.length)], cell);
  return at ? withView(model, { ...view, at }) : model;
}

function entered(model: Model, facts: Facts, size: Size): Model {
  const view = viewOf(model);
  if (view.kind === 'overview') {
    const range = rangesInOrder(facts, model.overviewOrder)[overviewIndex(model, facts, view.at)];
    return range ? opened(model, { kind: 'range', range: range.range.name, unfolded: false }) : model;
  }
  if (view.kind === 'address') return withView(model, { ...view, past: true });
  const list = blockList(view, model.blockOrder, facts, size.columns);
  if (!list) return model;
  const { index, at } = cursorIn(view, list);
  const row = list.rows[index];
  if (row?.kind === 'fold') return withView(model, { ...view, ...(at && { at }), unfolded: true });
  return at ? opened(withView(model, { ...view, at }), { kind: 'address', address: at, past: false }) : model;
}

/** Going back from the overview ends nothing: a key too many is common. */
function wentBack(model: Model): Model {
  if (model.views.length === 1) return { ...model, message: 'q ends the map' };
  return { ...model, views: model.views.slice(0, -1), tops: model.tops.slice(0, -1) };
}

function ordered(model: Model): Model {
  const view = viewOf(model);
  if (view.kind === 'overview') {
    const by = following(OVERVIEW_ORDERS, model.overviewOrder.by);
    return { ...model, overviewOrder: { by, reversed: false }, message: `sorted by ${by}` };
  }
  if (view.kind === 'address') return model;
  const by = following(BLOCK_ORDERS, model.blockOrder.by);
  return { ...model, blockOrder: { by, reversed: false }, message: `sorted by ${by}` };
}

const following = <T>(all: readonly T[], one: T): T => all[(all.indexOf(one) + 1) % all.length] ?? one;

function reversed(model: Model): Model {
  const view = viewOf(model);
  const turn = <By>(order: Order<By>): Order<By> => ({ ...order, reversed: !order.reversed });
  if (view.kind === 'overview') return { ...model, overviewOrder: turn(model.overviewOrder) };
  return view.kind === 'range' ? { ...model, blockOrder: turn(model.blockOrder) } : model;
}

/** A key while the text of a search is typed. */
function typed(model: Model, prompt: string, key: Key, facts: Facts): Model {
  const { prompt: _, ...without } = model;
  if (key.kind === 'character') return { ...model, prompt: prompt + key.character };
  if (key.name === 'escape') return without;
  if (key.name === 'delete-line') return { ...model, prompt: '' };
  if (key.name === 'backspace')
    return prompt === '' ? without : { ...model, prompt: Array.from(prompt).slice(0, -1).join('') };
  if (key.name !== 'enter') return model;
  const text = prompt.trim();
  return text === '' ? without : found({ ...without, search: { text, nth: -1 } }, 1, facts);
}

/** Goes on to another place that the last search found. @param step 1, or -1 for back */
function found(model: Model, step: number, facts: Facts): Model {
  if (!model.search) return { ...model, message: 'nothing was searched: / begins' };
  const { text } = model.search;
  const places = placesOf(facts.source, text, facts.now);
  if (places.length === 0) return { ...model, message: `nothing found: ${text}` };
  const nth = (model.search.nth + step + places.length) % places.length;
  const place = places[nth];
  if (!place) return model;
  return {
    ...model,
    ...showing(model, place),
    search: { text, nth },
    message: `${nth + 1} of ${places.length}: ${place.what}`,
  };
}

/** Returns the views that show a place, from the overview on. */
function showing(
  { views }: Model,
  { range, address }: ReturnType<typeof placesOf>[number],
): Pick<Model, 'views' | 'tops'> {
  const before = views.find((view) => view.kind === 'range' && view.range === range);
  const unfolded = before?.kind === 'range' && before.unfolded;
  const shown = newModel({ kind: 'range', range, unfolded, ...(address && { at: address }) });
  return { views: [{ kind: 'overview', at: range }, ...shown.views.slice(1)], tops: shown.tops };
}

/** Scrolls so that the cursor is on the screen: after a key, and when what is shown has changed. */
export function settled(model: Model, facts: Facts, size: Size): Model {
  const view = viewOf(model);
  const index = cursorRow(model, facts, size);
  const rows = bodyRows(size);
  const top = model.tops.at(-1) ?? 0;
  if (view.kind === 'address') return model;
  if (index < top) return withTop(model, index);
  return index >= top + rows ? withTop(model, index - rows + 1) : model;
}

function cursorRow(model: Model, facts: Facts, size: Size): number {
  const view = viewOf(model);
  if (view.kind === 'overview') return overviewIndex(model, facts, view.at);
  if (view.kind === 'address') return 0;
  const list = blockList(view, model.blockOrder, facts, size.columns);
  return list ? cursorIn(view, list).index : 0;
}

const withTop = (model: Model, top: number): Model => ({ ...model, tops: model.tops.with(-1, top) });

const clamp = (index: number, length: number): number =>
  Math.min(Math.max(0, index), Math.max(0, length - 1));

/** Returns the address whose past owners are to be read, if they are to be shown. */
export function wantsPast(model: Model): string | undefined {
  const view = viewOf(model);
  return view.kind === 'address' && view.past ? formatAddress(view.address) : undefined;
}
