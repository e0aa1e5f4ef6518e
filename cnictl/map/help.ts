import { LEGEND } from './cells.ts';
import type { Line } from '../render/frame.ts';

const KEYS: readonly (readonly [keys: string, what: string])[] = [
  ['arrows, h j k l', 'move'],
  ['PgUp PgDn Home End', 'by the screen; to the first, the last (also space, g, G)'],
  ['Enter', 'open the range, the address; once more: who had it before'],
  ['Esc, Backspace', 'back'],
  ['/', 'search: address, subnet, pod, namespace, node, rule, range'],
  ['n N', 'next, previous place found'],
  ['s', 'sort by something else'],
  ['r', 'the other way round'],
  ['u', 'show or fold blocks that nobody has claimed'],
  ['ctrl-L', 'draw the screen again'],
  ['q, ctrl-C', 'end'],
];

export const HELP: readonly Line[] = [
  ...KEYS.map(([keys, what]): Line => [{ text: `  ${keys.padEnd(20)}`, style: 'title' }, { text: what }]),
  [],
  [{ text: '  ' }, ...LEGEND],
  [{ text: '  Search ns:shop, node:node-1 or rule:web for all addresses of it.', style: 'dim' }],
];

/** The most needed keys, for the last line of a screen. */
export const HINTS = '? help  / search  Enter open  Esc back  s sort  r reverse  q quit';
