import type { Command } from 'commander';
import { backup } from '../commands/backup.ts';
import { restore, type RestoreOptions } from '../commands/restore.ts';
import { examples, type Act } from './act.ts';

/** `cnictl backup` and `cnictl restore` */
export function addBackupCommands(program: Command, act: Act): void {
  program
    .command('backup')
    .description('write all keys of cellnet, as of one moment, to a file')
    .argument('<file>')
    .addHelpText('after', examples('backup /var/backups/cellnet.json'))
    .action((file: string, _options: object, command: Command) =>
      act(command, (context) => backup(context, file)),
    );
  program
    .command('restore')
    .description('put the keys of a backup back where nothing is; nothing is ever overwritten')
    .argument('<file>')
    .option('--merge', 'also where other keys are: what collides with nothing, and tell the rest')
    .option('--force', 'also where running pods have addresses that the backup lacks')
    .option('--dry-run', 'say what would be written, write nothing')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExit status: 0 all of it is there, 2 refused, or a key was not put back.')
    .addHelpText('after', examples('restore /var/backups/cellnet.json --dry-run'))
    .action((file: string, options: RestoreOptions, command: Command) =>
      act(command, (context) => restore(context, file, options)),
    );
}
