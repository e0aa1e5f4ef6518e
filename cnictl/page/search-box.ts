import { ApiError, ask } from './api.ts';
import { byId, el, fill } from './dom.ts';
import { formatPlace, parsePlace, type Place } from './location.ts';
import { holderText, type Found, type SearchAnswer } from './model.ts';
import { numberText } from './time.ts';
import type { Page } from './view.ts';

const AFTER_MS = 120;
const SHOWN = '12';

/** The field in the head of the page, with what is found while somebody types. */
export class SearchBox {
  readonly #page: Page;
  readonly #input = byId('search') as HTMLInputElement;
  readonly #list = byId('found');
  #places: Place[] = [];
  #active = -1;
  #timer: number | undefined;
  #asking: AbortController | undefined;

  constructor(page: Page) {
    this.#page = page;
    this.#input.addEventListener('input', () => this.#later());
    this.#input.addEventListener('focus', () => this.#later());
    this.#input.addEventListener('keydown', (event) => this.#key(event));
    this.#input.addEventListener('blur', () =>
      window.setTimeout(() => {
        if (document.activeElement !== this.#input) this.#hide();
      }, 150),
    );
  }

  focus(): void {
    this.#input.focus();
    this.#input.select();
  }

  set text(text: string) {
    if (document.activeElement !== this.#input) this.#input.value = text;
  }

  #later(): void {
    window.clearTimeout(this.#timer);
    if (this.#input.value.trim() === '') this.#hide();
    else this.#timer = window.setTimeout(() => void this.#ask(), AFTER_MS);
  }

  async #ask(): Promise<SearchAnswer | undefined> {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const answer = await ask<SearchAnswer>(
        'search',
        { q: this.#input.value.trim(), limit: SHOWN },
        asking.signal,
      );
      if (document.activeElement === this.#input) this.#show(answer);
      return answer;
    } catch (error) {
      if (error instanceof ApiError) this.#page.failed(error);
      return undefined;
    }
  }

  #show({ found, more }: SearchAnswer): void {
    this.#places = found.map(placeOf);
    this.#active = -1;
    const options = found.map((each, i) => optionOf(each, i));
    for (const [i, option] of options.entries())
      option.addEventListener('mousedown', (event) => {
        event.preventDefault();
        this.#go(this.#places[i]);
      });
    const rest = more ? 'Enter shows more' : found.length === 0 ? 'Nothing fits' : '';
    fill(this.#list, ...options, rest === '' ? null : el('p', { class: 'dim' }, rest));
    this.#list.hidden = false;
    this.#input.setAttribute('aria-expanded', 'true');
    this.#mark();
  }

  #hide(): void {
    window.clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#list.hidden = true;
    this.#active = -1;
    this.#input.setAttribute('aria-expanded', 'false');
    this.#input.removeAttribute('aria-activedescendant');
  }

  #key(event: KeyboardEvent): void {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0 && this.#places.length > 0) {
      event.preventDefault();
      const count = this.#places.length;
      this.#active = this.#active < 0 && step < 0 ? count - 1 : (this.#active + step + count) % count;
      this.#mark();
    } else if (event.key === 'Enter') void this.#enter();
    else if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      this.#hide();
      this.#input.blur();
      this.#page.focus();
    }
  }

  /** Goes to what is marked, else to what alone fits wholly, else to all that was found. */
  async #enter(): Promise<void> {
    const text = this.#input.value.trim();
    if (text === '') return;
    const marked = this.#places[this.#active];
    if (marked) {
      this.#go(marked);
      return;
    }
    window.clearTimeout(this.#timer);
    const exact = (await this.#ask())?.found.filter(({ fit }) => fit === 0) ?? [];
    const [only] = exact;
    this.#go(exact.length === 1 && only ? placeOf(only) : { view: 'search', text });
  }

  #go(place: Place | undefined): void {
    if (!place) return;
    this.#hide();
    this.#input.blur();
    this.#page.go(place);
    this.#page.focus();
  }

  #mark(): void {
    for (const [i, option] of [...this.#list.querySelectorAll('[role=option]')].entries()) {
      option.setAttribute('aria-selected', String(i === this.#active));
      if (i === this.#active) this.#input.setAttribute('aria-activedescendant', option.id);
    }
  }
}

function optionOf(found: Found, index: number): HTMLElement {
  return el(
    'a',
    {
      class: 'option',
      role: 'option',
      id: `found-${index}`,
      'aria-selected': 'false',
      tabindex: '-1',
      href: formatPlace(placeOf(found)),
    },
    el('span', { class: 'kind' }, found.kind),
    el('span', { class: 'name' }, found.text),
    el('span', { class: 'dim' }, aboutText(found)),
  );
}

/** Returns where something found leads: names that many addresses have, to all of these. */
export function placeOf({ kind, text, range, block, ip }: Found): Place {
  if (kind === 'namespace') return { view: 'search', text: `ns:${text}` };
  if (kind === 'node' || kind === 'rule') return { view: 'search', text: `${kind}:${text}` };
  if (range === undefined) return parsePlace('');
  if (ip !== undefined) return { view: 'range', range, ip };
  return { view: 'range', range, ...(block !== undefined && { block }) };
}

export function aboutText({ kind, ip, range, state, holder, addresses, blocks }: Found): string {
  const counted = addresses === undefined ? '' : `${numberText(addresses)} addresses`;
  const held = blocks === undefined ? '' : `${numberText(blocks)} blocks`;
  const parts = [kind === 'address' ? '' : (ip ?? ''), state ?? '', kind === 'range' ? '' : (range ?? '')];
  return [...parts, holder ? holderText(holder) : '', counted, held]
    .filter((part) => part !== '')
    .join(' · ');
}
