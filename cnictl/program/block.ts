import type { Command } from 'commander';
import { blockList } from '../commands/block.ts';
import { blockReturn, type BlockReturnOptions } from '../commands/block-return.ts';
import type { ListOptions } from '../commands/list.ts';
import { examples, type Act } from './act.ts';
import { asList } from './list.ts';

/** `cnictl block …` */
export function addBlockCommands(program: Command, act: Act): void {
  const block = program.command('block').description('the consecutive addresses that a node claimed');
  asList(block.command('list'))
    .description('claimed blocks')
    .option('--node <name>', 'only of this node')
    .option('--range <name>', 'only of this range')
    .addHelpText('after', examples('block list --node node-1', 'block list --sort-by -used'))
    .action((options: ListOptions & { node?: string; range?: string }, command: Command) =>
      act(command, (context) => blockList(context, options)),
    );
  block
    .command('return')
    .description(
      'give back blocks that nodes hold and do not use; nothing that is used or cooling is touched',
    )
    .option('--node <name>', 'only of this node')
    .option('--range <name>', 'only of this range')
    .option('--idle <duration>', 'only what has been unused for so long, 24h at most', '5m')
    .option('--all', 'also the last idle block of a node; else it keeps one for its next pods')
    .option('--dry-run', 'say what would be returned, return nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  cnictl block return --range blue --dry-run')
    .action((options: BlockReturnOptions, command: Command) =>
      act(command, (context) => blockReturn(context, options)),
    );
}
