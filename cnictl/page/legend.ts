import { el } from './dom.ts';
import { STATES, type Counts } from './model.ts';
import { numberText } from './time.ts';

/** Each state with its letter, its colour and how many addresses are so. */
export function legend(counts: Counts): HTMLElement {
  return el(
    'ul',
    { class: 'legend', 'aria-label': 'Addresses by state' },
    ...STATES.filter(({ state }) => counts[state] > 0 || state === 'free' || state === 'used').map(
      ({ state, letter }) =>
        el(
          'li',
          {},
          el(
            'i',
            { class: `swatch ${state}`, 'aria-hidden': 'true' },
            state === 'free' || state === 'used' ? '' : letter,
          ),
          `${state} `,
          el('b', {}, numberText(counts[state])),
        ),
    ),
  );
}

/** How addresses divide among the states, as one bar. */
export function shareBar(counts: Counts): HTMLElement {
  const bar = el('div', { class: 'share', 'aria-hidden': 'true' });
  for (const { state } of [...STATES.slice(1), ...STATES.slice(0, 1)]) {
    if (counts[state] === 0 || state === 'reserved') continue;
    const part = el('span', { class: state });
    part.style.flexGrow = String(counts[state]);
    bar.append(part);
  }
  return bar;
}

export function summed(all: readonly Counts[]): Counts {
  const sum = { free: 0, used: 0, cooling: 0, kept: 0, reserved: 0, conflict: 0, unknown: 0 };
  for (const counts of all) for (const { state } of STATES) sum[state] += counts[state];
  return sum;
}
