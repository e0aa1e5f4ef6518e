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

/** kubectl's -A: what a list does anyway, and more than `-n` where both stand. */
export const ALL_NAMESPACES = ['-A, --all-namespaces', 'of every namespace, as without -n'] as const;

/** What ALL_NAMESPACES gives an action. */
export interface OfAllNamespaces {
  readonly allNamespaces?: boolean;
}

/** Returns the options without a namespace where `-A` is given. */
export function inNamespaces<Options extends OfAllNamespaces & { readonly namespace?: string }>(
  options: Options,
): Options {
  if (!options.allNamespaces) return options;
  const { namespace: _, ...others } = options;
  return others as Options;
}

/** Returns NAMESPACE/NAME of an argument that may be a NAME alone, as kubectl takes it. */
export const inNamespace = (name: string, namespace: string | undefined): string =>
  namespace === undefined || name.includes('/') ? name : `${namespace}/${name}`;
