import type { Command } from 'commander';
import { ipList, ipShow } from '../commands/ip.ts';
import type { Act } from './act.ts';

/** `cnictl ip …` */
export function addIpCommands(program: Command, act: Act): void {
  const ip = program.command('ip').description('single addresses');
  ip.command('list')
    .description('addresses that are used or cooling, with their owners (reserved ones too in JSON and YAML)')
    .option('--node <name>', 'only of this node')
    .option('--range <name>', 'only of this range')
    .action((options: { node?: string; range?: string }, command: Command) =>
      act(command, (context) => ipList(context, options)),
    );
  ip.command('show')
    .description('who has an address')
    .argument('<address>')
    .action((address: string, _options: object, command: Command) =>
      act(command, (context) => ipShow(context, address)),
    );
}
