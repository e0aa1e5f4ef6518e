import { ask, serverNow } from './api.ts';
import { Changed } from './changed.ts';
import { el, fill, say } from './dom.ts';
import { Glow } from './glow.ts';
import { boxOf, gridHeight, gridOf, indexAt, moved, visible, type Grid } from './grid.ts';
import { legend, shareBar, summed } from './legend.ts';
import { showLinks } from './links.ts';
import type { Place } from './location.ts';
import type { MapEvent, RangeInfo, RangesAnswer } from './model.ts';
import { fillOf, ordered, ORDERS, type Order } from './order.ts';
import { paintTile, TILE } from './overview-paint.ts';
import { Refresher } from './refresher.ts';
import { Surface } from './surface.ts';
import { Ticker } from './ticker.ts';
import { countText, fullText, numberText, percentText } from './time.ts';
import type { Page, View } from './view.ts';

/** With more changed ranges all are asked for. */
const MOST_NAMES = 60;
/** What changes by time alone, such as addresses that have rested, is asked for so often. */
const ANYWAY_MS = 10_000;

/** All ranges, each as a tile. */
export class Overview implements View {
  readonly element: HTMLElement;
  readonly #page: Page;
  readonly #head = el('section', { class: 'head' });
  readonly #list = el('ul', { class: 'hidden', 'aria-label': 'Ranges' });
  readonly #surface: Surface;
  readonly #ticker = new Ticker();
  readonly #glow = new Glow(() => this.#surface.redraw());
  readonly #refresher = new Refresher(() => this.#refresh());
  readonly #timer = window.setInterval(() => this.again(), ANYWAY_MS);
  #ranges = new Map<string, RangeInfo>();
  #shown: RangeInfo[] = [];
  #unreadable: readonly string[] = [];
  #order: Order = 'name';
  #focused = 0;
  #hovered: number | undefined;
  readonly #changed = new Changed();
  #hasAnswer = false;

  constructor(page: Page) {
    this.#page = page;
    this.#surface = new Surface(
      { height: (width) => gridHeight(this.#grid(width)), paint: (...rest) => this.#paint(...rest) },
      'Map of all ranges. Arrow keys move, Enter opens a range.',
      {
        move: (x, y) => this.#hover(indexAt(this.#grid(), x, y)),
        leave: () => this.#hover(undefined),
        click: (x, y) => this.#open(indexAt(this.#grid(), x, y)),
        key: (event) => this.#key(event),
      },
    );
    this.element = el(
      'div',
      { class: 'view overview' },
      this.#head,
      el('div', { class: 'split' }, this.#surface.element, this.#ticker.element),
      this.#list,
    );
    this.#showHead();
    this.#refresher.want();
  }

  show(place: Place): boolean {
    return place.view === 'overview';
  }

  event(event: MapEvent): void {
    this.#ticker.add(event);
    if (event.type === 'range-added' || event.type === 'range-removed') this.#changed.all();
    if (event.range === null) return;
    this.#changed.add(event.range);
    this.#glow.add(event.range);
    this.#refresher.want();
  }

  again(): void {
    this.#changed.all();
    this.#refresher.want();
  }

  repaint(): void {
    this.#surface.redraw();
  }

  focus(): void {
    this.#surface.element.focus({ preventScroll: true });
  }

  close(): void {
    window.clearInterval(this.#timer);
    this.#refresher.stop();
  }

  async #refresh(): Promise<void> {
    const names = this.#changed.take(MOST_NAMES);
    try {
      const answer = await ask<RangesAnswer>('ranges', names ? { name: names } : {});
      if (!names) this.#ranges = new Map();
      for (const range of answer.ranges) this.#ranges.set(range.name, range);
      this.#unreadable = answer.unreadable;
      this.#hasAnswer = true;
      this.#arrange();
    } catch (error) {
      this.#changed.all();
      this.#page.failed(error);
    }
  }

  #arrange(): void {
    const focused = this.#shown[this.#focused]?.name;
    this.#shown = ordered([...this.#ranges.values()], this.#order);
    const at = this.#shown.findIndex(({ name }) => name === focused);
    this.#focused = Math.max(0, at < 0 ? Math.min(this.#focused, this.#shown.length - 1) : at);
    this.#showHead();
    this.#showList();
    this.#surface.redraw();
  }

  #showHead(): void {
    const counts = summed(this.#shown.map((range) => range.counts));
    const capacity = this.#shown.reduce((sum, range) => sum + range.capacity, 0);
    const taken = capacity - counts.free;
    const select = el(
      'select',
      { 'aria-label': 'Order of ranges', id: 'order' },
      ...ORDERS.map(({ order, text }) =>
        el('option', { value: order, selected: order === this.#order }, text),
      ),
    );
    select.addEventListener('change', () => {
      this.#order = ORDERS.find(({ order }) => order === select.value)?.order ?? 'name';
      this.#arrange();
    });
    const title = this.#hasAnswer
      ? `${countText(this.#shown.length, 'range')} · ${numberText(capacity)} addresses · ${percentText(taken, capacity)} taken`
      : 'Reading ranges…';
    const isOpen = document.activeElement?.id === 'order';
    if (isOpen) return;
    fill(
      this.#head,
      el('h1', {}, title),
      shareBar(counts),
      legend(counts),
      el('label', { class: 'order' }, select),
      this.#hasAnswer && this.#shown.length === 0
        ? el(
            'p',
            { class: 'empty' },
            'No ranges yet. Add one: cnictl range add 10.20.0.0/22 --gateway 10.20.0.1',
          )
        : null,
      this.#unreadable.length > 0
        ? el(
            'p',
            { class: 'notice' },
            `Records that cannot be read: ${this.#unreadable.slice(0, 5).join(', ')}${this.#unreadable.length > 5 ? ', …' : ''}. See cnictl check.`,
          )
        : null,
    );
  }

  /** The same as links, for those who hear the page. */
  #showList(): void {
    showLinks(
      this.#list,
      this.#shown.map((range) => ({
        text: spoken(range),
        place: { view: 'range', range: range.name },
      })),
    );
  }

  #grid(width = this.#surface.width): Grid {
    const { minWidth, height: boxHeight, gap } = TILE;
    return gridOf({ count: this.#shown.length, width, minWidth, boxHeight, gap });
  }

  #paint(context: CanvasRenderingContext2D, width: number, top: number, bottom: number): void {
    const grid = this.#grid(width);
    const palette = this.#page.palette();
    const nowMs = serverNow();
    for (const index of visible(grid, top, bottom)) {
      const range = this.#shown[index];
      if (!range) continue;
      paintTile(context, palette, range, boxOf(grid, index), {
        isFocused: index === this.#focused && this.#surface.hasFocus,
        isHovered: index === this.#hovered,
        glow: this.#glow.of(range.name),
        nowMs,
      });
    }
    this.#glow.goOn();
  }

  #hover(index: number | undefined): void {
    if (index === this.#hovered) return;
    this.#hovered = index;
    this.#surface.pointer = index !== undefined;
    this.#surface.redraw();
  }

  #open(index: number | undefined): void {
    const range = index === undefined ? undefined : this.#shown[index];
    if (range) this.#page.go({ view: 'range', range: range.name });
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Enter') {
      this.#open(this.#focused);
      return;
    }
    const grid = this.#grid();
    const next = moved(
      grid,
      this.#focused,
      event.key,
      Math.max(1, Math.floor(this.#surface.seen / (TILE.height + TILE.gap))),
    );
    if (next === undefined) return;
    event.preventDefault();
    this.#focused = next;
    const { y, height } = boxOf(grid, next);
    this.#surface.reveal(y - TILE.gap, y + height + TILE.gap);
    const range = this.#shown[next];
    if (range) say(spoken(range));
  }
}

function spoken(range: RangeInfo): string {
  const { name, cidr, counts, blocks, holders, state } = range;
  const trouble = counts.conflict > 0 ? `, ${counts.conflict} conflicts` : '';
  const full = fullText(range.forecast, serverNow());
  return (
    `Range ${name}, ${cidr}, ${percentText(Math.round(fillOf(range) * 1e6), 1e6)} taken, ${numberText(counts.free)} free, ` +
    `${blocks.claimed} of ${numberText(blocks.total)} blocks by ${holders} holders` +
    `${state === 'draining' ? ', draining' : ''}${trouble}${full === undefined ? '' : `, ${full}`}`
  );
}
