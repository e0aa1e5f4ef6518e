import { ApiError, ask, serverNow } from './api.ts';
import { Changed } from './changed.ts';
import { el, fill, say } from './dom.ts';
import { Glow } from './glow.ts';
import { boxOf, gridHeight, gridOf, indexAt, visible, type Grid } from './grid.ts';
import { addressIn, indexIn } from './ip.ts';
import { legend, shareBar } from './legend.ts';
import { showLinks } from './links.ts';
import type { Place } from './location.ts';
import { holderText, stateOf, type MapEvent, type RangeAnswer, type RangeInfo, type Row } from './model.ts';
import { severityOf, fillOf } from './order.ts';
import { Panel } from './panel.ts';
import { cellAt, paintRow, ROW, rowWidth } from './range-paint.ts';
import { Refresher } from './refresher.ts';
import { step } from './step.ts';
import { Surface } from './surface.ts';
import { countText, fullText, numberText, percentText } from './time.ts';
import type { Page, View } from './view.ts';

type RangePlace = Extract<Place, { view: 'range' }>;

/** A range with more rows asks only for those that changed. */
const MANY_ROWS = 256;
const ANYWAY_MS = 10_000;

/** One range: each block a row, each address a cell. */
export class RangeView implements View {
  readonly element: HTMLElement;
  readonly #page: Page;
  readonly #name: string;
  #place: RangePlace;
  readonly #head = el('section', { class: 'head' });
  readonly #list = el('ul', { class: 'hidden', 'aria-label': 'Blocks' });
  readonly #surface: Surface;
  readonly #panel: Panel;
  readonly #glow = new Glow(() => this.#surface.redraw());
  readonly #refresher = new Refresher(() => this.#refresh());
  readonly #timer = window.setInterval(() => this.again(), ANYWAY_MS);
  #info: RangeInfo | undefined;
  #rows: Row[] = [];
  #hidden = 0;
  #row = 0;
  #cell = 0;
  #hovered: { readonly row: number; readonly cell: number | undefined } | undefined;
  readonly #changed = new Changed();

  constructor(page: Page, place: RangePlace) {
    this.#page = page;
    this.#name = place.range;
    this.#place = place;
    this.#panel = new Panel(page, place.range);
    this.#surface = new Surface(
      { height: (width) => gridHeight(this.#grid(width)), paint: (...rest) => this.#paint(...rest) },
      `Map of range ${place.range}. Arrow keys move from address to address, Enter shows one, Escape goes back.`,
      {
        move: (x, y) => this.#hover(this.#at(x, y)),
        leave: () => this.#hover(undefined),
        click: (x, y) => this.#click(this.#at(x, y)),
        key: (event) => this.#key(event),
      },
    );
    this.element = el(
      'div',
      { class: 'view range' },
      this.#head,
      el('div', { class: 'split' }, this.#surface.element, this.#panel.element),
      this.#list,
    );
    fill(this.#head, el('h1', {}, `Reading ${place.range}…`));
    this.#refresher.want();
    this.#panel.show(place);
  }

  show(place: Place): boolean {
    if (place.view !== 'range' || place.range !== this.#name) return false;
    this.#place = place;
    this.#toPlace();
    this.#panel.show(place);
    this.#surface.redraw();
    return true;
  }

  event(event: MapEvent): void {
    if (event.range !== this.#name) return;
    if (event.block === null) this.#changed.all();
    else this.#changed.add(event.block);
    if (event.ip !== null) this.#glow.add(event.ip);
    this.#refresher.want();
    this.#panel.event(event);
  }

  again(): void {
    this.#changed.all();
    this.#refresher.want();
    this.#panel.again();
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
    this.#panel.close();
  }

  async #refresh(): Promise<void> {
    const changed = this.#changed.take(MANY_ROWS);
    const blocks = this.#rows.length <= MANY_ROWS ? undefined : changed;
    const isFirst = !this.#info;
    try {
      const answer = await ask<RangeAnswer>('range', { name: this.#name, ...(blocks && { block: blocks }) });
      this.#info = answer.range;
      this.#hidden = answer.hidden;
      if (blocks) this.#replace(answer.rows, blocks);
      else this.#rows = [...answer.rows];
      this.#row = Math.max(0, Math.min(this.#row, this.#rows.length - 1));
      if (isFirst) this.#toPlace();
      this.#showHead(this.#info);
      this.#showList();
      this.#surface.redraw();
    } catch (error) {
      this.#changed.all();
      if (error instanceof ApiError && error.status === 404)
        fill(
          this.#head,
          el('h1', {}, `There is no range ${this.#name}`),
          el('a', { href: '#/' }, 'All ranges'),
        );
      else this.#page.failed(error);
    }
  }

  #replace(rows: readonly Row[], asked: readonly string[]): void {
    const fresh = new Map(rows.map((row) => [row.cidr, row]));
    // A row that came or went moves the others.
    if (asked.some((cidr) => fresh.has(cidr) !== this.#rows.some((row) => row.cidr === cidr))) this.again();
    this.#rows = this.#rows.map((row) => fresh.get(row.cidr) ?? row);
  }

  /** Moves the focus to where the address of the page says. */
  #toPlace(): void {
    const { ip, block } = this.#place;
    const row = this.#rows.findIndex(({ cidr }) =>
      ip === undefined ? cidr === block : indexIn(cidr, ip) >= 0,
    );
    const found = this.#rows[row];
    if (!found) return;
    const cell = ip === undefined ? 0 : indexIn(found.cidr, ip);
    if (row === this.#row && cell === this.#cell && this.#info) return;
    this.#row = row;
    this.#cell = cell;
    this.#reveal();
  }

  #showHead(info: RangeInfo): void {
    const { counts, capacity, blocks, holders, gateway, vlan, state, namedOnly, forecast } = info;
    const facts = [
      `gateway ${gateway ?? 'none'}`,
      vlan === null ? 'untagged' : `VLAN ${vlan}`,
      `${numberText(blocks.claimed)} of ${numberText(blocks.total)} blocks by ${countText(holders, 'holder')}`,
      ...(state === 'draining' ? ['draining: gives no address out'] : []),
      ...(namedOnly ? ['serves only who names it'] : []),
    ];
    const severity = severityOf(info);
    const full = fullText(forecast, serverNow());
    fill(
      this.#head,
      el(
        'h1',
        {},
        info.name,
        ' ',
        el('span', { class: 'mono dim' }, info.cidr),
        el('b', { class: `percent ${severity ?? ''}` }, percentText(Math.round(fillOf(info) * 1e6), 1e6)),
        full === undefined ? null : el('span', { class: 'full' }, full),
      ),
      el('p', { class: 'facts' }, `${numberText(capacity)} addresses for pods · ${facts.join(' · ')}`),
      shareBar(counts),
      legend(counts),
      this.#hidden > 0
        ? el(
            'p',
            { class: 'notice' },
            `Only claimed blocks are shown: ${numberText(this.#hidden)} others are unclaimed.`,
          )
        : null,
    );
  }

  /** The same as links, for those who hear the page. */
  #showList(): void {
    const claimed = this.#rows.filter(({ holder }) => holder !== null);
    showLinks(
      this.#list,
      claimed.map(({ cidr, holder, cells }) => {
        const used = cells.replaceAll(/[^#]/g, '').length;
        return {
          text: `Block ${cidr}, ${holderText(holder)}, ${used} of ${cells.length} used`,
          place: { view: 'range', range: this.#name, block: cidr },
        };
      }),
    );
  }

  #grid(width = this.#surface.width): Grid {
    const minWidth = rowWidth(this.#info?.blockSize ?? 16);
    const { height: boxHeight, gap } = ROW;
    return gridOf({ count: this.#rows.length, width, minWidth, boxHeight, gap, isDown: true });
  }

  #paint(context: CanvasRenderingContext2D, width: number, top: number, bottom: number): void {
    const grid = this.#grid(width);
    const palette = this.#page.palette();
    const marked = this.#place.ip === undefined ? this.#place.block : undefined;
    for (const index of visible(grid, top, bottom)) {
      const row = this.#rows[index];
      if (!row) continue;
      const isHere = index === this.#row && (this.#surface.hasFocus || this.#place.ip !== undefined);
      paintRow(context, palette, row, boxOf(grid, index), {
        focused: isHere ? this.#cell : undefined,
        isRowHovered: this.#hovered?.row === index,
        hovered: this.#hovered?.row === index ? this.#hovered.cell : undefined,
        isMarked: row.cidr === marked,
        glow: (cell) => this.#glow.of(addressIn(row.cidr, cell)),
      });
    }
    this.#glow.goOn();
  }

  #at(x: number, y: number): { row: number; cell: number | undefined } | undefined {
    const grid = this.#grid();
    const index = indexAt(grid, x, y);
    const row = index === undefined ? undefined : this.#rows[index];
    return index === undefined || !row
      ? undefined
      : { row: index, cell: cellAt(row, x - boxOf(grid, index).x) };
  }

  #hover(at: { row: number; cell: number | undefined } | undefined): void {
    if (at?.row === this.#hovered?.row && at?.cell === this.#hovered?.cell) return;
    this.#hovered = at;
    this.#surface.pointer = at !== undefined;
    this.#surface.redraw();
  }

  #click(at: { row: number; cell: number | undefined } | undefined): void {
    const row = at && this.#rows[at.row];
    if (!row) return;
    this.#row = at.row;
    this.#cell = at.cell ?? 0;
    const inside = at.cell === undefined ? { block: row.cidr } : { ip: addressIn(row.cidr, at.cell) };
    this.#page.go(
      { view: 'range', range: this.#name, ...inside },
      (this.#place.ip ?? this.#place.block) !== undefined,
    );
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = this.#rows[this.#row];
    if (!row) return;
    if (event.key === 'Enter') {
      this.#click({ row: this.#row, cell: this.#cell });
      return;
    }
    const page = Math.max(1, Math.floor(this.#surface.seen / (ROW.height + ROW.gap)));
    const next = step(event.key, {
      row: this.#row,
      cell: this.#cell,
      cells: row.cells.length,
      rows: this.#rows.length,
      page,
    });
    if (!next) return;
    event.preventDefault();
    [this.#row, this.#cell] = next;
    this.#reveal();
    this.#say();
    // With the panel open it goes along.
    if (this.#place.ip !== undefined) this.#click({ row: this.#row, cell: this.#cell });
  }

  #reveal(): void {
    const { y, height } = boxOf(this.#grid(), this.#row);
    this.#surface.reveal(y - height, y + 2 * height);
  }

  #say(): void {
    const row = this.#rows[this.#row];
    if (!row) return;
    const state = stateOf(row.cells[this.#cell]);
    const of = row.holder === null ? 'a block that nobody has claimed' : `block of ${holderText(row.holder)}`;
    say(`${addressIn(row.cidr, this.#cell)}, ${state}, ${of}`);
  }
}
