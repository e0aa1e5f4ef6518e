import { ApiError, ask, post } from './api.ts';
import { byId, el, fill } from './dom.ts';
import { Live } from './live.ts';
import { above, formatPlace, parsePlace, type Place } from './location.ts';
import type { AddressAnswer } from './model.ts';
import { Overview } from './overview.ts';
import { readPalette, type Palette } from './palette.ts';
import { RangeView } from './range-view.ts';
import { SearchBox } from './search-box.ts';
import { SearchView } from './search-view.ts';
import { showSignIn } from './sign-in.ts';
import { ThemeSwitch } from './theme.ts';
import type { Page, View } from './view.ts';

let palette: Palette | undefined;
let view: View | undefined;
let place: Place = parsePlace(location.hash);

const page: Page = {
  palette: () => (palette ??= readPalette()),
  go: (to, isQuiet = false) => {
    const hash = formatPlace(to);
    if (isQuiet) history.replaceState(null, '', hash);
    else history.pushState(null, '', hash);
    show();
  },
  failed: (error) => {
    if (error instanceof ApiError && error.status === 401) signIn();
    else if (error instanceof ApiError && error.status !== 0) trouble(error.message);
  },
  focus: () => view?.focus(),
};

/** Shows what the address of the page names. */
function show(): void {
  place = parsePlace(location.hash);
  showCrumbs(place);
  searchBox.text = place.view === 'search' ? place.text : '';
  if (place.view === 'address') {
    void toRange(place.ip, place.at);
    return;
  }
  if (view?.show(place) === true) return;
  view?.close();
  const made: View =
    place.view === 'range'
      ? new RangeView(page, place)
      : place.view === 'search'
        ? new SearchView(page, place.text)
        : new Overview(page);
  view = made;
  fill(byId('main'), made.element);
  made.focus();
}

/** An address alone is looked for in all ranges. */
async function toRange(ip: string, at: string | undefined): Promise<void> {
  try {
    const { address } = await ask<AddressAnswer>('address', { ip });
    page.go({ view: 'range', range: address.range, ip, ...(at !== undefined && { at }) }, true);
  } catch (error) {
    page.failed(error);
    if (error instanceof ApiError && error.status === 404) page.go({ view: 'search', text: ip }, true);
  }
}

function showCrumbs(of: Place): void {
  const crumbs: [string, Place][] = [['Ranges', { view: 'overview' }]];
  if (of.view === 'search') crumbs.push(['Search', of]);
  if (of.view === 'range') {
    const { range, ip, block } = of;
    crumbs.push([range, { view: 'range', range }]);
    const inside = ip ?? block;
    if (inside !== undefined) crumbs.push([inside, of]);
  }
  const links = crumbs.map(([text, to], i) =>
    el('a', { href: formatPlace(to), ...(i === crumbs.length - 1 && { 'aria-current': 'page' }) }, text),
  );
  fill(byId('crumbs'), ...links);
  document.title = of.view === 'overview' ? 'cellnet map' : `${crumbs.at(-1)?.[0] ?? ''} - cellnet map`;
}

function trouble(text: string | undefined): void {
  const bar = byId('trouble');
  if (bar.textContent !== (text ?? '')) bar.textContent = text ?? '';
  bar.hidden = text === undefined;
}

function signIn(): void {
  live.stop();
  view?.close();
  view = undefined;
  trouble(undefined);
  byId('link').textContent = 'signed out';
  byId('sign-out').hidden = true;
  if (document.getElementById('token')) return;
  showSignIn(() => {
    show();
    live.start();
  });
}

const searchBox = new SearchBox(page);
const live = new Live({
  event: (event) => view?.event(event),
  again: () => view?.again(),
  signIn,
  state: ({ isLive, text, trouble: reason }) => {
    const link = byId('link');
    link.classList.toggle('live', isLive);
    if (link.textContent !== text) link.textContent = text;
    trouble(reason);
  },
});
new ThemeSwitch(() => {
  palette = undefined;
  view?.repaint();
});

const KEYS: readonly (readonly [string, string])[] = [
  ['Arrows', 'move from range to range, from address to address'],
  ['Page Up, Page Down, Home, End', 'move further'],
  ['Enter', 'open the range, show the address'],
  ['Escape', 'back: address, range, all ranges'],
  ['/', 'search'],
  ['?', 'these keys'],
];

function showKeys(): void {
  const dialog = el(
    'dialog',
    { class: 'keys', 'aria-label': 'Keys' },
    el('h2', {}, 'Keys'),
    el('dl', {}, ...KEYS.flatMap(([key, what]) => [el('dt', {}, el('kbd', {}, key)), el('dd', {}, what)])),
    el('form', { method: 'dialog' }, el('button', { type: 'submit' }, 'Close')),
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    view?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener('keydown', (event) => {
  const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.key === 'Escape') {
    if (isTyping) view?.focus();
    else if (place.view !== 'overview') page.go(above(place));
  }
  if (isTyping) return;
  if (event.key === '/') {
    event.preventDefault();
    searchBox.focus();
  } else if (event.key === '?') showKeys();
});
byId('keys').addEventListener('click', showKeys);
byId('sign-out').addEventListener('click', () => void post('sign-out', '').then(signIn, signIn));
addEventListener('hashchange', show);
addEventListener('popstate', show);
show();
live.start();
