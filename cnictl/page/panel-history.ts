import { serverNow } from './api.ts';
import { el } from './dom.ts';
import { podText, type AddressAnswer, type Lifetime, type OwnerAt } from './model.ts';
import { clockText, inputText, lastNight, spanText } from './time.ts';

/** A form that asks who had the address at a time, and the answer. */
export function atForm(
  { at, completeSince }: AddressAnswer,
  go: (time: string | undefined) => void,
): HTMLElement {
  const input = el('input', {
    type: 'datetime-local',
    step: '1',
    id: 'at',
    value: at ? inputText(at.time) : '',
    'aria-label': 'Time, of this browser’s zone',
  });
  const form = el(
    'form',
    { class: 'at' },
    el('label', { for: 'at' }, 'Who had it at'),
    input,
    el('button', { type: 'submit' }, 'Ask'),
    preset('1 h ago', () => new Date(serverNow() - 3_600_000)),
    preset('last night, 03:00', () => lastNight(serverNow())),
    at ? clear() : null,
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const time = new Date(input.value);
    if (!Number.isNaN(time.getTime())) go(isoText(time));
  });
  return el(
    'section',
    {},
    form,
    at ? el('p', { class: 'had', role: 'status' }, hadText(at, completeSince)) : null,
  );

  function preset(text: string, time: () => Date): HTMLElement {
    const button = el('button', { type: 'button', class: 'quiet' }, text);
    button.addEventListener('click', () => go(isoText(time())));
    return button;
  }
  function clear(): HTMLElement {
    const button = el('button', { type: 'button', class: 'quiet' }, 'Now');
    button.addEventListener('click', () => go(undefined));
    return button;
  }
}

const isoText = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z');

function hadText({ time, owner, isCertain }: OwnerAt, completeSince: string | null): string {
  const at = clockText(time);
  if (owner)
    return `At ${at}: ${whoText(owner)}${owner.node === null ? '' : ` on ${owner.node}`}, ${spanOf(owner)}.`;
  if (isCertain) return `At ${at}: nobody.`;
  const since = completeSince === null ? '' : ` All releases are recorded since ${clockText(completeSince)}.`;
  return `At ${at}: not known, the record may have been overwritten.${since}`;
}

const whoText = ({ pod, containerId }: Lifetime): string =>
  podText(pod) || `container ${containerId.slice(0, 12)}`;

const spanOf = ({ from, until }: Lifetime): string =>
  until === null ? `since ${clockText(from)}` : `from ${clockText(from)} until ${clockText(until)}`;

/** Past owners, the newest first. */
export function historyOf({ past, completeSince, keptReleases, unreadable }: AddressAnswer): HTMLElement {
  const bound =
    completeSince === null
      ? ''
      : `The block keeps its last ${keptReleases} releases, the oldest of ${clockText(completeSince)}: earlier ones may have been overwritten.`;
  return el(
    'section',
    {},
    el('h3', {}, 'Past owners'),
    past.length === 0 ? el('p', { class: 'dim' }, 'No release of this address is recorded.') : null,
    el(
      'ol',
      { class: 'past' },
      ...past.map((each) =>
        el(
          'li',
          {},
          el('b', {}, whoText(each)),
          each.node === null ? null : ` on ${each.node}`,
          el('span', { class: 'dim' }, `${spanOf(each)} (${lasted(each)}), ${whyText(each)}`),
        ),
      ),
    ),
    bound === '' ? null : el('p', { class: 'dim small' }, bound),
    ...unreadable.map((reason) => el('p', { class: 'notice' }, reason)),
  );
}

const lasted = ({ from, until }: Lifetime): string =>
  until === null ? 'still' : spanText(Math.max(0, Date.parse(until) - Date.parse(from)));

const whyText = ({ why = 'released', detail, by }: Lifetime): string =>
  `${why}${detail === undefined ? '' : ` (${detail})`}${by === undefined ? '' : `, by ${by}`}`;
