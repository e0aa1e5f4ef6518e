import type { Command } from 'commander';
import type { MapOptions } from '../commands/map.ts';
import type { Act } from './act.ts';

/** `cnictl map` */
export function addMapCommand(program: Command, act: Act): void {
  program
    .command('map')
    .description('ranges, blocks and addresses as a map: live in a terminal, else printed once')
    .argument(
      '[where]',
      'opens here: a range, address, subnet, pod (NAMESPACE/NAME), node, rule or namespace',
    )
    .option('--once', 'print it once, also in a terminal')
    .option('--range <name>', 'only this range')
    .option('--node <name>', 'only blocks of this node, or with addresses of it')
    .addHelpText(
      'after',
      `
Keys: arrows move, Enter opens, Esc goes back, / searches, ? tells the others, q ends.

Examples:
  cnictl map
  cnictl map blue
  cnictl map 10.20.3.17
  cnictl map shop/web-1
  cnictl map --node node-7
  cnictl map blue -o json | jq -r '.rows[] | "\\(.cidr) \\(.cells) \\(.holder)"'`,
    )
    .action((where: string | undefined, options: MapOptions, command: Command) =>
      act(command, async (context) => {
        const { map } = await import('../commands/map.ts');
        return await map(context, where, options);
      }),
    );
}
