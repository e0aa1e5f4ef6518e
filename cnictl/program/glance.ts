import type { Command } from 'commander';
import { status } from '../commands/status.ts';
import type { SupportBundleOptions } from '../commands/support-bundle.ts';
import { version, type VersionOptions } from '../commands/version.ts';
import { collect, type Act } from './act.ts';

/** `cnictl status`, `cnictl version` and `cnictl support-bundle` */
export function addGlanceCommands(program: Command, act: Act): void {
  program
    .command('status')
    .description('the cluster at a glance: etcd, API server, agents, nodes, ranges, and what is amiss')
    .addHelpText(
      'after',
      '\nExit status: 0 etcd takes writes and the API server answers, if one is configured; 2 otherwise.\n\nExample:\n  cnictl status -o json',
    )
    .action((_options: object, command: Command) => act(command, status));
  program
    .command('version')
    .description("versions of this program, of this node's agent and plugin, of all agents and of etcd")
    .option('--client', 'only this program: nothing else is asked')
    .addHelpText(
      'after',
      '\nExit status: 0 done, also where versions differ; 2 etcd does not answer.\n\nExamples:\n  cnictl version\n  cnictl version --client',
    )
    .action((options: VersionOptions, command: Command) =>
      act(command, (context) => version(context, options)),
    );
  program
    .command('support-bundle')
    .description(
      'gather what somebody needs who helps, of etcd, the API server and each node, without secrets',
    )
    .argument('[file]', 'the archive to write, such as support.tar.gz')
    .option('--node <name>', "only this node beside the cluster's part; may be repeated", collect)
    .option('--this-node', 'only this node; without a file, print its part as JSON')
    .option('--timeout <duration>', 'longest time for all nodes together, 24h at most', '3m')
    .addHelpText(
      'after',
      "\nExit status: 0 nothing is missing; 2 something is, which the bundle's README names.\n\nExamples:\n  cnictl support-bundle support.tar.gz\n  cnictl support-bundle support.tar.gz --node node-7",
    )
    .action((file: string | undefined, options: SupportBundleOptions, command: Command) =>
      act(command, async (context) => {
        const { supportBundle } = await import('../commands/support-bundle.ts');
        return await supportBundle(context, file, options);
      }),
    );
}
