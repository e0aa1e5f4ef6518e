import type { Command } from 'commander';
import { podShow } from '../commands/pod.ts';
import type { Act } from './act.ts';

/** `cnictl pod …` */
export function addPodCommands(program: Command, act: Act): void {
  const pod = program.command('pod').description('single pods');
  pod
    .command('show')
    .description('the addresses that a pod has and had, and what the API server says of it')
    .argument('<pod>', 'as NAMESPACE/NAME')
    .addHelpText('after', '\nExample:\n  cnictl pod show default/web-1')
    .action((name: string, _options: object, command: Command) =>
      act(command, (context) => podShow(context, name)),
    );
}
