import type { Command } from 'commander';
import { check, type CheckOptions } from '../commands/check.ts';
import { release, type ReleaseOptions } from '../commands/release.ts';
import type { Act } from './act.ts';

/** `cnictl check` and `cnictl release` */
export function addLeakCommands(program: Command, act: Act): void {
  program
    .command('check')
    .description("compare etcd with the API server's pods: find leaked and missing addresses")
    .option('--grace <duration>', 'what is suspected is looked at again after this time, 24h at most', '60s')
    .option('--release', 'release what is leaked, after one more look at each')
    .option('--save <file>', 'write the report as JSON, for release --from-report')
    .option('--yes', 'do not ask before a release')
    .option('--even-if-no-pods', 'release also where the API server has no pod at all')
    .addHelpText(
      'after',
      '\nExit status: 0 nothing found (or all of it released), 1 found, 2 could not be checked.',
    )
    .action((options: CheckOptions, command: Command) => act(command, (context) => check(context, options)));
  program
    .command('release')
    .description('free addresses; one whose pod lives stays')
    .argument('[addresses...]')
    .option('--from-report <file>', 'those that a saved report names, if they are still the same allocations')
    .option('--dry-run', 'say what would be released, release nothing')
    .option('--yes', 'do not ask')
    .option('--force', 'release also an address whose pod lives, or of which nothing tells whether it does')
    .addHelpText('after', '\nExample:\n  cnictl release 10.20.0.17 10.20.0.18')
    .action((addresses: string[], options: ReleaseOptions, command: Command) =>
      act(command, (context) => release(context, addresses, options)),
    );
}
