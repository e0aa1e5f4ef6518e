import type { Command } from 'commander';
import { blockList } from '../commands/block.ts';
import type { Act } from './act.ts';

/** `cnictl block …` */
export function addBlockCommands(program: Command, act: Act): void {
  const block = program.command('block').description('the consecutive addresses that a node claimed');
  block
    .command('list')
    .description('claimed blocks')
    .option('--node <name>', 'only of this node')
    .option('--range <name>', 'only of this range')
    .action((options: { node?: string; range?: string }, command: Command) =>
      act(command, (context) => blockList(context, options)),
    );
}
