import type { Command } from 'commander';
import { check, type CheckOptions } from '../commands/check.ts';
import { release, type ReleaseOptions } from '../commands/release.ts';
import { collect, examples, type Act } from './act.ts';

const WAIT = 'wait so long for agents of living nodes to clear away what was condemned there';

/** `cnictl check` and `cnictl release` */
export function addLeakCommands(program: Command, act: Act): void {
  program
    .command('check')
    .description("compare etcd with the API server's pods: find leaked and missing addresses")
    .option('--grace <duration>', 'what is suspected is looked at again after this time, 24h at most', '60s')
    .option('--release', 'release what is leaked, after one more look at each')
    .option('--wait <duration>', WAIT, '2m')
    .option('--repair', 'make the keys that follow from blocks agree with them')
    .option('--save <file>', 'write the report as JSON, for release --from-report')
    .option('--log <file>', 'add a line of JSON for each release')
    .option('--yes', 'do not ask before a release or repair')
    .option('--even-if-no-pods', 'release also where the API server has no pod at all')
    .option(
      '--scaled-down-after <duration>',
      "release what is kept for a pod that has been beyond its StatefulSet's replicas for so long",
      '24h',
    )
    .option(
      '--orphaned',
      'release also what has been kept so long for a pod of which there is no StatefulSet',
    )
    .option(
      '--other-subnet <subnet>',
      'from which another network gives addresses to pods: they are in no range of ours; may be repeated',
      collect,
    )
    .option(
      '--trust-cluster <uid>',
      'etcd belongs to this cluster from now on: UID of its namespace kube-system',
    )
    .option('--watch [interval]', 'check again and again until SIGTERM, at this interval (default: 5m)')
    .option('--metrics-listen <address>', 'with --watch: serve metrics there, such as 127.0.0.1:9462')
    .addHelpText(
      'after',
      '\nExit status: 0 nothing found (or all of it put right, or --watch was stopped), 1 found, 2 could not be checked.',
    )
    .addHelpText('after', examples('check', 'check --release --log /var/log/cellnet-check.log'))
    .action((options: CheckOptions, command: Command) => act(command, (context) => check(context, options)));
  program
    .command('release')
    .description('free addresses; one whose pod lives stays')
    .argument('[addresses...]')
    .option(
      '--from-report <file>',
      'those that a saved report names, if they are still the same allocations; given again: those that all reports name',
      collect,
    )
    .option('--dry-run', 'say what would be released, release nothing')
    .option('--wait <duration>', WAIT, '2m')
    .option('--log <file>', 'add a line of JSON for each release')
    .option('--yes', 'do not ask')
    .option('--even-if-no-pods', 'release also where the API server has no pod at all')
    .option('--force', 'release also an address whose pod lives, or of which nothing tells whether it does')
    .addHelpText('after', '\nExample:\n  cnictl release 10.20.0.17 10.20.0.18')
    .action((addresses: string[], options: ReleaseOptions, command: Command) =>
      act(command, (context) => release(context, addresses, options)),
    );
}
