import { ask } from './api.ts';
import { el, fill, say } from './dom.ts';
import { formatPlace, type Place } from './location.ts';
import type { MapEvent, SearchAnswer } from './model.ts';
import { Refresher } from './refresher.ts';
import { aboutText, placeOf } from './search-box.ts';
import type { Page, View } from './view.ts';

const LIMIT = '200';
const ANYWAY_MS = 10_000;

/** All that a search finds, as a list that can be sent. */
export class SearchView implements View {
  readonly element = el('div', { class: 'view results' });
  readonly #page: Page;
  #text: string;
  #isSaid = false;
  readonly #refresher = new Refresher(() => this.#refresh());
  readonly #timer = window.setInterval(() => this.again(), ANYWAY_MS);

  constructor(page: Page, text: string) {
    this.#page = page;
    this.#text = text;
    this.#refresher.want();
  }

  show(place: Place): boolean {
    if (place.view !== 'search') return false;
    this.#text = place.text;
    this.#isSaid = false;
    this.#refresher.want();
    return true;
  }

  event(event: MapEvent): void {
    if (event.ip !== null || event.block !== null) this.#refresher.want();
  }

  again(): void {
    this.#refresher.want();
  }

  repaint(): void {
    // Elements have their colours from page.css.
  }

  focus(): void {
    this.element.querySelector<HTMLElement>('a')?.focus();
  }

  close(): void {
    window.clearInterval(this.#timer);
    this.#refresher.stop();
  }

  async #refresh(): Promise<void> {
    const text = this.#text;
    try {
      const answer = await ask<SearchAnswer>('search', { q: text, limit: LIMIT });
      if (text === this.#text) this.#show(answer);
    } catch (error) {
      this.#page.failed(error);
    }
  }

  #show({ found, more }: SearchAnswer): void {
    const focused = document.activeElement?.getAttribute('href');
    const count = `${found.length}${more ? ' or more' : ''} found for “${this.#text}”`;
    if (!this.#isSaid) say(count);
    this.#isSaid = true;
    fill(
      this.element,
      el('h1', {}, count),
      el(
        'table',
        {},
        el(
          'thead',
          {},
          el('tr', {}, ...['What', 'Name', 'Where'].map((each) => el('th', { scope: 'col' }, each))),
        ),
        el(
          'tbody',
          {},
          ...found.map((each) =>
            el(
              'tr',
              {},
              el('td', { class: 'dim' }, each.kind),
              el('td', {}, el('a', { href: formatPlace(placeOf(each)) }, each.text)),
              el(
                'td',
                { class: 'dim' },
                el('i', { class: `swatch ${each.state ?? 'none'}`, 'aria-hidden': 'true' }),
                aboutText(each),
              ),
            ),
          ),
        ),
      ),
      more ? el('p', { class: 'dim' }, `Only the first ${LIMIT} are shown.`) : null,
    );
    if (typeof focused === 'string')
      for (const link of this.element.querySelectorAll('a'))
        if (link.getAttribute('href') === focused) link.focus();
  }
}
