import { table } from './figures.ts';

/** One measured figure, and what it is to be. */
export interface Row {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  /** Undefined: there is no target. */
  readonly isMet?: boolean;
}

export const atMost = (what: string, target: number, measured: number, digits: number): Row => ({
  what,
  target: `<= ${target}`,
  measured: measured.toFixed(digits),
  isMet: measured <= target,
});

export const atLeast = (what: string, target: number, measured: number, digits: number): Row => ({
  what,
  target: `>= ${target}`,
  measured: measured.toFixed(digits),
  isMet: measured >= target,
});

export const told = (what: string, measured: number, digits: number): Row => ({
  what,
  target: '',
  measured: measured.toFixed(digits),
});

export const rowsTable = (rows: readonly Row[]): string =>
  table([
    ['', 'target', 'measured', ''],
    ...rows.map(({ what, target, measured, isMet }) => [
      what,
      target,
      measured,
      isMet === undefined ? '' : isMet ? 'met' : 'MISSED',
    ]),
  ]);
