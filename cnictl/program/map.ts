import type { Command } from 'commander';
import type { MapOptions } from '../commands/map.ts';
import { examples, type Act } from './act.ts';

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
      '\nKeys: arrows move, Enter opens, Esc goes back, / searches, ? tells the others, q ends.',
    )
    .addHelpText(
      'after',
      examples(
        'map',
        'map blue',
        'map 10.20.3.17',
        'map shop/web-1',
        'map --node node-7',
        `map blue -o json | jq -r '.rows[] | "\\(.cidr) \\(.cells) \\(.holder)"'`,
      ),
    )
    .action((where: string | undefined, options: MapOptions, command: Command) =>
      act(command, async (context) => {
        const { map } = await import('../commands/map.ts');
        return await map(context, where, options);
      }),
    );
}
