import type { Command } from 'commander';
import { connectivityTest, type ConnectivityOptions } from '../commands/connectivity.ts';
import { collect, type Act } from './act.ts';

/** `cnictl connectivity test` */
export function addConnectivityCommands(program: Command, act: Act): void {
  program
    .command('connectivity')
    .description('whether pods, nodes and Services reach one another in the running cluster')
    .command('test')
    .description('try it with pods and Services in a namespace of its own, which is deleted afterwards')
    .option(
      '-n, --namespace <name>',
      'which must not exist, unless a test left it that is over',
      'cellnet-connectivity-test',
    )
    .option('--image <image>', "of the pods, with Node 20 or newer (default: that of cellnet's DaemonSet)")
    .option('--node <name>', 'run on this node first; twice for two (default: any two)', collect)
    .option('--external-ip <address>', 'an address that leads nowhere else: try external addresses with it')
    .option('--no-kube-proxy', 'leave out what kube-proxy serves: Services from the node, and NodePorts')
    .option(
      '--masquerade-forwarded',
      'the nodes have this key: NodePorts and hostPorts that need it must work',
    )
    .option(
      '--timeout <duration>',
      'longest of each wait: an earlier test goes, pods start, Services get endpoints, pods ask',
      '3m',
    )
    .option('--keep', 'leave the namespace and its pods, to look at them')
    .addHelpText(
      'after',
      '\nExit status: 0 all is well or skipped, 1 a check failed, 2 it could not be tried.\n\nExample:\n  cnictl connectivity test --node node-1 --node node-2',
    )
    .action((options: ConnectivityOptions, command: Command) =>
      act(command, (context) => connectivityTest(context, options)),
    );
}
