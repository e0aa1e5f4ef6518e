import type { Command } from 'commander';
import { nodeAdopt, type NodeAdoptOptions } from '../commands/node-adopt.ts';
import { nodeDrain, nodeUndrain } from '../commands/node-drain.ts';
import { nodeRemove, type NodeRemoveOptions } from '../commands/node-remove.ts';
import { nodeShow } from '../commands/node-show.ts';
import { examples, type Act } from './act.ts';

/** `cnictl node show`, `node drain`, `node undrain`, `node adopt` and `node remove` */
export function addLifecycleCommands(node: Command, act: Act): void {
  node
    .command('show')
    .description("one node: its blocks, its addresses with their owners, and the API server's word")
    .argument('<name>')
    .addHelpText('after', examples('node show node-1'))
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => nodeShow(context, name)),
    );
  node
    .command('drain')
    .description('give out nothing new on a node and return its empty blocks; what is given out stays')
    .argument('<name>')
    .option('--dry-run', 'say what would be returned, change nothing')
    .option('--force', 'also a name that neither etcd nor the API server knows')
    .addHelpText('after', examples('node drain node-1 --dry-run'))
    .action((name: string, options: { dryRun?: boolean; force?: boolean }, command: Command) =>
      act(command, (context) => nodeDrain(context, name, options)),
    );
  node
    .command('undrain')
    .description('give out addresses on a node again')
    .argument('<name>')
    .addHelpText('after', examples('node undrain node-1'))
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => nodeUndrain(context, name)),
    );
  node
    .command('adopt')
    .description('let a machine that replaces another one take over its node name')
    .argument('<name>')
    .requiredOption('--machine <id>', 'the new machine, as its errors and its `cnictl doctor` name it')
    .option('--wait <duration>', 'longest wait until the old machine is silent, 1m to 24h', '2m')
    .option('--dry-run', 'say what would be done, change nothing')
    .option('--yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExit status: 0 the name is given to the machine, 2 refused: the old machine may live.\n\nExample:\n  cnictl node adopt node-7 --machine 3f2a9c41d0b7',
    )
    .action((name: string, options: NodeAdoptOptions, command: Command) =>
      act(command, (context) => nodeAdopt(context, name, options)),
    );
  node
    .command('remove')
    .description('free all addresses and blocks of a node that the API server has no more')
    .argument('<name>')
    .option('--grace <duration>', 'node and pods are looked at again after this time, 24h at most', '60s')
    .option('--wait <duration>', 'longest wait until freed addresses have rested, 24h at most', '5m')
    .option('--dry-run', 'say what would be freed, free nothing')
    .option('--yes', 'do not ask')
    .option(
      '--force',
      'also where no API server is known, or it has none of our nodes, or still has the pods; never a node that it has',
    )
    .option('--ignore-not-found', 'succeed for a name that neither etcd nor its history knows')
    .addHelpText(
      'after',
      '\nExit status: 0 all of it is freed, now or before; 2 refused, not known, or something is left.\n\nExample:\n  cnictl node remove node-7 --dry-run',
    )
    .action((name: string, options: NodeRemoveOptions, command: Command) =>
      act(command, (context) => nodeRemove(context, name, options)),
    );
}
