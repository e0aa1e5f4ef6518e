import type { Command } from 'commander';
import { rangeAdd, type RangeAddOptions } from '../commands/range-add.ts';
import { rangeDrain, rangeUndrain, type RangeDrainOptions } from '../commands/range-drain.ts';
import { rangeList, rangeRemove, rangeShow, type RangeRemoveOptions } from '../commands/range.ts';
import { rangeSet, type RangeSetOptions } from '../commands/range-set.ts';
import type { ListOptions } from '../commands/list.ts';
import { collect, examples, type Act } from './act.ts';
import { asList } from './list.ts';

/** `cnictl range …` */
export function addRangeCommands(program: Command, act: Act): void {
  const range = program.command('range').description('subnets that pods get addresses from');
  range
    .command('add')
    .description('add a range')
    .argument('<subnet>', 'in CIDR notation, such as 10.20.0.0/22')
    .option(
      '--gateway <address>',
      "the pods' default gateway, inside the subnet or link-local (fe80::1); without it they get no default route",
    )
    .option('--name <name>', 'name of the range (default: from the subnet)')
    .option('--vlan <id>', 'VLAN ID 1 to 4094 (default: untagged)')
    .option(
      '--exclude <addresses>',
      'ADDRESS, FIRST-LAST or a subnet that pods never get; may be repeated',
      collect,
    )
    .option('--route <route>', "'SUBNET via ADDRESS' that pods get too; may be repeated", collect)
    .option('--cooldown <duration>', 'how long a released address rests, 24h at most (default: 30s)')
    .option('--block-size <n>', 'addresses that a node claims at once: 4, 8, 16, 32 or 64 (default: 16)')
    .option('--named-only', 'only a rule, or a network whose ipam.ranges names it, draws from it')
    .option('--recover', 'add it although pods live in it, for an etcd that forgot and has no backup')
    .option('--dry-run', 'check everything, add nothing')
    .addHelpText(
      'after',
      '\nExample:\n  cnictl range add 10.20.0.0/22 --gateway 10.20.0.1 --vlan 120 --exclude 10.20.0.2-10.20.0.9',
    )
    .action((subnet: string, options: RangeAddOptions, command: Command) =>
      act(command, (context) => rangeAdd(context, subnet, options)),
    );
  asList(range.command('list'))
    .description('all ranges, how full they are, and until when they last')
    .addHelpText(
      'after',
      `\nFULL IN is at the present pace: addresses, or blocks where these end first; -: not at this pace.\nAgents and check --watch sample the usage hourly.\n${examples('range list', 'range list --sort-by free', 'range list -o name')}`,
    )
    .action((options: ListOptions, command: Command) =>
      act(command, (context) => rangeList(context, options)),
    );
  range
    .command('show')
    .description('one range in full, and until when it lasts')
    .argument('<name>')
    .addHelpText('after', examples('range show blue'))
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => rangeShow(context, name)),
    );
  range
    .command('set')
    .description('change a range; pods that live keep their addresses, gateway and routes')
    .argument('<name>')
    .option(
      '--exclude <addresses>',
      'ADDRESS, FIRST-LAST or a subnet that pods never get from now on; may be repeated',
      collect,
    )
    .option('--include <addresses>', 'as --exclude: takes such exclusions away; may be repeated', collect)
    .option('--gateway <address>', 'default gateway of pods that are made from now on')
    .option('--no-gateway', 'they get no default route')
    .option(
      '--route <route>',
      "'SUBNET via ADDRESS' that they get too, in place of a route to that subnet; may be repeated",
      collect,
    )
    .option('--remove-route <subnet>', 'they get no route to it any more; may be repeated', collect)
    .option('--named-only', 'only a rule, or a network whose ipam.ranges names it, draws from it')
    .option('--for-all', 'every pod may draw from it again')
    .option('--cooldown <duration>', 'how long a released address rests, 24h at most')
    .option('--dry-run', 'check and tell everything, change nothing')
    .addHelpText(
      'after',
      '\nAn address that a pod has cannot be excluded. A former gateway stays excluded until --include.\n\nExamples:\n  cnictl range set blue --exclude 10.20.0.2-10.20.0.9\n  cnictl range set blue --gateway 10.20.0.2 --dry-run',
    )
    .action((name: string, options: RangeSetOptions, command: Command) =>
      act(command, (context) => rangeSet(context, name, options)),
    );
  range
    .command('remove')
    .description('remove a range of which no address is given out')
    .argument('<name>')
    .option('--dry-run', 'say what would be removed, remove nothing')
    .option('--yes', 'do not ask')
    .option('--ignore-not-found', 'succeed for a name that etcd does not have')
    .addHelpText('after', examples('range remove blue --dry-run'))
    .action((name: string, options: RangeRemoveOptions, command: Command) =>
      act(command, (context) => rangeRemove(context, name, options)),
    );
  range
    .command('drain')
    .description('give out nothing new of a range and return its empty blocks; what is given out stays')
    .argument('<name>')
    .option('--dry-run', 'say what would be returned, change nothing')
    .addHelpText('after', examples('range drain blue --dry-run'))
    .action((name: string, options: RangeDrainOptions, command: Command) =>
      act(command, (context) => rangeDrain(context, name, options)),
    );
  range
    .command('undrain')
    .description('give out addresses of a range again')
    .argument('<name>')
    .addHelpText('after', examples('range undrain blue'))
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => rangeUndrain(context, name)),
    );
}
