import { Option, type Command } from 'commander';
import { nodeInit, type NodeInitOptions } from '../commands/node-init.ts';
import { nodeList } from '../commands/node.ts';
import type { ListOptions } from '../commands/list.ts';
import { examples, type Act } from './act.ts';
import { asList } from './list.ts';
import { addInstallCommands } from './install.ts';
import { addLifecycleCommands } from './node-lifecycle.ts';
import { nodeReconcile, type ReconcileOptions } from '../commands/reconcile.ts';

/** `cnictl node …` */
export function addNodeCommands(program: Command, act: Act): void {
  const node = program.command('node').description('the nodes and their blocks');
  asList(node.command('list'))
    .description('the nodes: agent, readiness in Kubernetes, blocks, what is amiss')
    .addHelpText('after', examples('node list', 'node list --sort-by -used', 'node list -o wide'))
    .action((options: ListOptions, command: Command) =>
      act(command, (context) => nodeList(context, options)),
    );
  node
    .command('init')
    .description('make the bridge on this node and attach its uplink, as far as they are not there')
    .option('--bridge <name>', 'name of the bridge (CELLNET_BRIDGE; default br-cell)')
    .option('--uplink <device>', 'device that leads to the switch, usually a bond')
    .addOption(
      new Option('--fail-mode <mode>', 'standalone: the bridge learns by itself')
        .choices(['standalone', 'secure'])
        .default('standalone'),
    )
    .addOption(
      new Option('--datapath <type>', 'netdev: the userspace datapath (default: system)').choices([
        'system',
        'netdev',
      ]),
    )
    .option(
      '--take-addresses',
      "move the uplink's addresses and routes to the bridge, and back where etcd or the API server is lost",
    )
    .option(
      '--confirm-timeout <duration>',
      'longest time until etcd and the API server are reached again after that, 24h at most',
      '1m',
    )
    .option('--dry-run', 'say what would be done, do nothing')
    .addHelpText(
      'after',
      '\nExample:\n  cnictl node init --bridge br-cell --uplink bond1\n\nExit status: 0 done, 1 addresses moved and moved back again, 2 trouble; nothing was changed then.',
    )
    .action((options: NodeInitOptions, command: Command) =>
      act(command, (context) => nodeInit(context, options)),
    );
  node
    .command('reconcile')
    .description('clear away what is left of containers that are gone, as the agent does by itself')
    .option(
      '--grace <duration>',
      'what is suspected is looked at again after this time, 24h at most (CELLNET_RECONCILE_GRACE_MS; default 30s)',
    )
    .option('--dry-run', 'say what would be cleared away, change nothing')
    .addHelpText(
      'after',
      '\nExit status: 0 nothing found (or all of it put right), 1 found and not put right, 2 not everything could be looked at.',
    )
    .addHelpText('after', examples('node reconcile --dry-run'))
    .action((options: ReconcileOptions, command: Command) =>
      act(command, (context) => nodeReconcile(context, options)),
    );
  addLifecycleCommands(node, act);
  addInstallCommands(node, act);
}
