import type { Command } from 'commander';

const LISTS = new WeakSet<Command>();

/** Whether the command prints a list, so that `-o name` has a line for each. */
export const isList = (command: Command): boolean => LISTS.has(command);

/**
 * Gives a command what every list has: `--sort-by`, `--watch` and `-o name`. Its action passes the
 * options to `showList`.
 */
export function asList(command: Command): Command {
  LISTS.add(command);
  return command
    .option(
      '--sort-by <column>',
      'a title of the table, or a JSONPath such as .pod.name; with a minus before it, backwards',
    )
    .option('-w, --watch', 'go on: print what changes, until it is stopped')
    .option('--output-watch-events', 'with --watch: say of each whether it is ADDED, MODIFIED or DELETED');
}
