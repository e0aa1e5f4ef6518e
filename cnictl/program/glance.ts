import type { Command } from 'commander';
import { status } from '../commands/status.ts';
import { version, type VersionOptions } from '../commands/version.ts';
import type { Act } from './act.ts';

/** `cnictl status` and `cnictl version` */
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
}
