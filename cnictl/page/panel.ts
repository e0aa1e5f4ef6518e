import { ApiError, ask, serverNow } from './api.ts';
import { el, fill, say } from './dom.ts';
import { formatPlace, type Place } from './location.ts';
import { holderText, podText } from './model.ts';
import type { AddressAnswer, AddressInfo, BlockAnswer, MapEvent } from './model.ts';
import { atForm, historyOf } from './panel-history.ts';
import { Refresher } from './refresher.ts';
import { clockText, spanText } from './time.ts';
import type { Page } from './view.ts';

type RangePlace = Extract<Place, { view: 'range' }>;

/** Beside the map: one address with its owners, or one block. */
export class Panel {
  readonly element = el('aside', { class: 'panel', 'aria-label': 'Details' });
  readonly #page: Page;
  readonly #refresher = new Refresher(() => this.#refresh());
  #place: RangePlace;
  #shown = '';

  constructor(page: Page, range: string) {
    this.#page = page;
    this.#place = { view: 'range', range };
    this.#showNothing();
  }

  show(place: RangePlace): void {
    this.#place = place;
    if ((place.ip ?? place.block) === undefined) this.#showNothing();
    else this.#refresher.want();
  }

  event(event: MapEvent): void {
    const { ip, block } = this.#place;
    if ((ip !== undefined && event.ip === ip) || (block !== undefined && event.block === block))
      this.#refresher.want();
  }

  again(): void {
    if ((this.#place.ip ?? this.#place.block) !== undefined) this.#refresher.want();
  }

  close(): void {
    this.#refresher.stop();
  }

  async #refresh(): Promise<void> {
    const place = this.#place;
    const isStill = (): boolean => place === this.#place;
    try {
      if (place.ip !== undefined) {
        const answer = await ask<AddressAnswer>('address', { ip: place.ip, at: place.at });
        if (isStill()) this.#showAddress(answer);
        else this.#refresher.want();
      } else if (place.block !== undefined) {
        const answer = await ask<BlockAnswer>('block', { cidr: place.block });
        if (isStill()) this.#showBlock(answer);
        else this.#refresher.want();
      }
    } catch (error) {
      if (!isStill()) this.#refresher.want();
      else if (error instanceof ApiError && (error.status === 404 || error.status === 400))
        fill(this.element, el('p', { class: 'notice' }, error.message));
      else this.#page.failed(error);
    }
  }

  #showNothing(): void {
    this.#shown = '';
    fill(
      this.element,
      el(
        'p',
        { class: 'dim' },
        'Choose an address to see its owner, and who had it before. Choose a row’s name to see its block.',
      ),
    );
  }

  #showAddress(answer: AddressAnswer): void {
    const { address, at } = answer;
    const key = `${address.ip} ${address.state} ${podText(address.pod)}`;
    if (key !== this.#shown) say(spokenAddress(address));
    this.#shown = key;
    // What somebody types is not taken away by a refresh.
    if (
      this.element.contains(document.activeElement) &&
      document.activeElement instanceof HTMLInputElement &&
      !at
    ) {
      const facts = this.element.querySelector('.address');
      facts?.replaceWith(addressFacts(address));
      return;
    }
    fill(
      this.element,
      addressFacts(address),
      atForm(answer, (time) =>
        this.#page.go(
          { view: 'range', range: address.range, ip: address.ip, ...(time !== undefined && { at: time }) },
          true,
        ),
      ),
      historyOf(answer),
    );
  }

  #showBlock({ cidr, addresses }: BlockAnswer): void {
    const [first] = addresses;
    fill(
      this.element,
      el('h2', { class: 'mono' }, cidr),
      el(
        'p',
        { class: 'dim' },
        first?.holder ? `Held by ${holderText(first.holder)}` : 'Nobody has claimed this block.',
      ),
      el(
        'table',
        { class: 'slots' },
        el(
          'tbody',
          {},
          ...addresses.map((each) =>
            el(
              'tr',
              {},
              el(
                'td',
                {},
                el(
                  'a',
                  { class: 'mono', href: formatPlace({ view: 'range', range: each.range, ip: each.ip }) },
                  each.ip,
                ),
              ),
              el(
                'td',
                {},
                el('i', { class: `swatch ${each.state}`, 'aria-hidden': 'true' }),
                each.reservedAs ?? each.state,
              ),
              el('td', { class: 'who' }, podText(each.pod)),
            ),
          ),
        ),
      ),
    );
  }
}

function addressFacts(address: AddressInfo): HTMLElement {
  const { ip, state, pod, node, since, holder, block, range, mac, keep, condemned, reservedAs } = address;
  const nowMs = serverNow();
  const link = (text: string): HTMLElement =>
    el('a', { href: formatPlace({ view: 'search', text }) }, text.slice(text.indexOf(':') + 1));
  const blockLink = el('a', { class: 'mono', href: formatPlace({ view: 'range', range, block }) }, block);
  const sinceNames: Readonly<Record<string, string>> = {
    used: 'Since',
    kept: 'Pod gone',
    cooling: 'Released',
    conflict: 'Set aside',
  };
  const rows: readonly (readonly [string, Node | string | null | undefined])[] = [
    ['Pod', podText(pod)],
    ['Namespace', typeof pod?.namespace !== 'string' ? null : link(`ns:${pod.namespace}`)],
    ['Node', node === null ? null : link(`node:${node}`)],
    [
      sinceNames[state] ?? 'Since',
      since === undefined ? null : `${clockText(since)} (${spanText(nowMs - Date.parse(since))})`,
    ],
    [
      'Kept by',
      keep
        ? `rule ${keep.rule}${keep.forMs === null ? ', for ever' : `, for ${spanText(keep.forMs)}`}`
        : null,
    ],
    ['Why', reservedAs],
    ['Used by', address.conflictMac === undefined ? null : `another host, ${address.conflictMac}`],
    ['To be ended', condemned ? `${condemned.reason}, by ${condemned.by}` : null],
    ['MAC', mac],
    ['Interface', address.ifname],
    ['Network', address.network],
    ['Container', address.containerId?.slice(0, 12)],
    ['Block', blockLink],
    ['Block of', holder === null ? 'nobody' : link(`${holder.kind}:${holder.name}`)],
  ];
  return el(
    'div',
    { class: 'address' },
    el('h2', {}, el('span', { class: 'mono ip' }, ip), el('span', { class: `badge ${state}` }, state)),
    el(
      'dl',
      {},
      ...rows.flatMap(([name, value]) =>
        value === null || value === undefined || value === ''
          ? []
          : [el('dt', {}, name), el('dd', {}, value)],
      ),
    ),
  );
}

function spokenAddress({ ip, state, pod, node, holder, reservedAs }: AddressInfo): string {
  const parts = [
    ip,
    reservedAs === null ? state : `reserved: ${reservedAs}`,
    podText(pod),
    node === null ? '' : `on ${node}`,
  ];
  const of = holder === null ? 'block of nobody' : `block of ${holderText(holder)}`;
  return [...parts, of].filter((part) => part !== '').join(', ');
}
