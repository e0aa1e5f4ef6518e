import { Option, type Command } from 'commander';
import { doctor, type DoctorOptions } from '../commands/doctor.ts';
import { examples, type Act } from './act.ts';

/** `cnictl doctor` */
export function addDoctorCommand(program: Command, act: Act): void {
  program
    .command('doctor')
    .description('look at etcd, the API server, and this node: what is wrong, and what to do about it')
    .option('--cluster', 'only what is not of this node')
    .option('--conf-dir <folder>', 'where the runtime looks for networks (default: as node install knows it)')
    .option('--bin-dir <folder>', 'where the runtime looks for plugins (default: likewise)')
    .option('--bundle <file>', 'write a support archive (tar.gz) without secrets')
    .addOption(
      new Option('--fail-on <level>', 'what makes the exit status 1: with fail, a warning does not')
        .choices(['warn', 'fail'])
        .default('warn'),
    )
    .addHelpText(
      'after',
      '\nExit status: 0 all is well, 1 warnings or failures were found (advice is neither), 2 it could not look.',
    )
    .addHelpText('after', examples('doctor', 'doctor --cluster', 'doctor --bundle /tmp/support.tar.gz'))
    .action((options: DoctorOptions, command: Command) =>
      act(command, (context) => doctor(context, options)),
    );
}
