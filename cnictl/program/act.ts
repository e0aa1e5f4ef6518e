import type { Command } from 'commander';
import type { Context } from '../context/context.ts';

/** Runs a command with its settings resolved. The work's result becomes the exit status. */
export type Act = (command: Command, work: (context: Context) => Promise<number>) => Promise<void>;

/** Collects an option that may be repeated. */
export const collect = (value: string, before: readonly string[] | undefined): string[] => [
  ...(before ?? []),
  value,
];
