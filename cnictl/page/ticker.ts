import { el } from './dom.ts';
import { formatPlace } from './location.ts';
import { podText, type MapEvent } from './model.ts';
import { clockText } from './time.ts';

const MOST = 60;
/** With many events a second nobody reads each: then some are left out. */
const SHOW_EVERY_MS = 250;
const MOST_AT_ONCE = 12;

/** What has just happened, the newest first. */
export class Ticker {
  readonly element: HTMLElement;
  readonly #list = el('ol', { class: 'events' });
  readonly #empty = el('p', { class: 'dim' }, 'Nothing has happened since this page was opened.');
  #waiting: MapEvent[] = [];
  #leftOut = 0;
  #timer: number | undefined;

  constructor() {
    this.element = el(
      'aside',
      { class: 'ticker', 'aria-label': 'What happens' },
      el('h2', {}, 'What happens'),
      this.#empty,
      this.#list,
    );
  }

  add(event: MapEvent): void {
    this.#waiting.push(event);
    if (this.#waiting.length > MOST_AT_ONCE) {
      this.#waiting.shift();
      this.#leftOut += 1;
    }
    this.#timer ??= window.setTimeout(() => this.#show(), SHOW_EVERY_MS);
  }

  #show(): void {
    this.#timer = undefined;
    this.#empty.hidden = true;
    if (this.#leftOut > 0) this.#list.prepend(el('li', { class: 'dim' }, `${this.#leftOut} more events`));
    for (const event of this.#waiting) this.#list.prepend(itemOf(event));
    this.#waiting = [];
    this.#leftOut = 0;
    while (this.#list.children.length > MOST) this.#list.lastElementChild?.remove();
  }
}

function itemOf(event: MapEvent): HTMLElement {
  const { type, at, ip, range, block, node, rule } = event;
  const inside = ip ?? block;
  const place =
    range === null
      ? undefined
      : { view: 'range' as const, range, ...(ip !== null ? { ip } : block !== null && { block }) };
  const who = podText(event.pod) || rule || node || event.reason || '';
  return el(
    'li',
    { class: `event ${type}` },
    el('time', at === null ? {} : { datetime: at }, at === null ? '' : clockText(at).slice(11)),
    el('span', { class: 'type' }, type),
    place
      ? el('a', { href: formatPlace(place), class: 'mono' }, inside ?? place.range)
      : el('span', {}, inside ?? ''),
    el('span', { class: 'who', title: who }, who),
  );
}
