import { el } from './dom.ts';
import { formatPlace, type Place } from './location.ts';

export interface Link {
  readonly text: string;
  readonly place: Place;
}

/** Makes the list show these links. It changes only items whose text is another. */
export function showLinks(list: HTMLElement, links: readonly Link[]): void {
  const items = [...list.children];
  for (const [i, { text, place }] of links.entries()) {
    const item = items[i] ?? list.appendChild(el('li', {}, el('a', { tabindex: '-1' })));
    const link = item.firstElementChild;
    if (!link || link.textContent === text) continue;
    link.textContent = text;
    link.setAttribute('href', formatPlace(place));
  }
  for (const surplus of items.slice(links.length)) surplus.remove();
}
