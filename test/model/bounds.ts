import { ASSUMPTION, type Rule } from './rules.ts';
import type { Bounds } from './state.ts';

type Limits = Omit<Bounds, 'without'>;

const NOTHING: Limits = {
  pods: 2,
  checkers: 0,
  crashes: 0,
  late: 0,
  setBacks: 0,
  processes: 1,
  returns: false,
};

/** The explorations of a whole run. Each ends by itself: it is complete within its bounds. */
export const EXPLORATIONS = {
  crash: { ...NOTHING, pods: 3, crashes: 1, returns: true },
  checks: { ...NOTHING, checkers: 2, crashes: 1 },
  late: { ...NOTHING, late: 1, crashes: 1 },
  'set-back': { ...NOTHING, setBacks: 1 },
  'set-back-three': { ...NOTHING, pods: 3, setBacks: 1 },
  'set-back-return': { ...NOTHING, setBacks: 1, returns: true },
  'set-back-checks': { ...NOTHING, checkers: 2, setBacks: 1 },
  'set-back-late': { ...NOTHING, late: 1, setBacks: 1 },
  processes: { ...NOTHING, processes: 2, setBacks: 1 },
} as const satisfies Readonly<Record<string, Limits>>;
export type ExplorationName = keyof typeof EXPLORATIONS;

/** Rules that are left out, and the exploration that sees it. */
export interface LeftOut {
  readonly without: readonly Rule[];
  readonly within: ExplorationName;
}

/** Each breaks something, by a way that the exploration finds. */
export const LEFT_OUT: readonly LeftOut[] = [
  { without: ['compare'], within: 'late' },
  { without: ['fence', 'write-back'], within: 'set-back' },
  { without: ['write-back', 'local-use'], within: 'set-back' },
  { without: ['probe'], within: 'set-back-return' },
  { without: ['carry'], within: 'processes' },
  { without: ['addresses-first'], within: 'processes' },
  { without: ['fencing'], within: 'late' },
  { without: ['owner'], within: 'checks' },
  { without: ['pods-second'], within: 'checks' },
  { without: [ASSUMPTION], within: 'set-back' },
];
