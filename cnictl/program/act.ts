import type { Command } from 'commander';
import type { Context } from '../context/context.ts';

/** Runs a command with its settings resolved. The work's result becomes the exit status. */
export type Act = (command: Command, work: (context: Context) => Promise<number>) => Promise<void>;

/** Collects an option that may be repeated. */
export const collect = (value: string, before: readonly string[] | undefined): string[] => [
  ...(before ?? []),
  value,
];

/**
 * Returns examples for `addHelpText('after', …)`: help and manual pages show them.
 * @param commands without `cnictl`
 */
export const examples = (...commands: readonly string[]): string =>
  `\n${commands.length === 1 ? 'Example' : 'Examples'}:\n${commands.map((each) => `  cnictl ${each}`).join('\n')}`;

/** Returns NAMESPACE/NAME of an argument that may be a NAME alone, as kubectl takes it. */
export const inNamespace = (name: string, namespace: string | undefined): string =>
  namespace === undefined || name.includes('/') ? name : `${namespace}/${name}`;
