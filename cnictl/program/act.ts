import type { Command } from 'commander';
import type { Context } from '../context/context.ts';

/** Does the work of a command with its settings resolved; what it returns becomes the exit status. */
export type Act = (command: Command, work: (context: Context) => Promise<number>) => Promise<void>;

/** For an option that may be repeated. */
export const collect = (value: string, before: readonly string[] | undefined): string[] => [
  ...(before ?? []),
  value,
];
