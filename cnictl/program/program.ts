import { Command, CommanderError, Option } from 'commander';
import { VERSION } from '../../ipam/settings/version.ts';
import { Context, hasColours, type GlobalOptions } from '../context/context.ts';
import { CommandError, describeError } from '../context/errors.ts';
import type { World } from '../context/world.ts';
import { printableLines, safeFor } from '../render/printable.ts';
import type { Act } from './act.ts';
import { addBackupCommands } from './backup.ts';
import { addBlockCommands } from './block.ts';
import { addConnectivityCommands } from './connectivity.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEventCommands } from './events.ts';
import { addGlanceCommands } from './glance.ts';
import { addIpCommands } from './ip.ts';
import { addLeakCommands } from './leak.ts';
import { addMapCommand } from './map.ts';
import { addNodeCommands } from './node.ts';
import { addPodCommands } from './pod.ts';
import { addRangeCommands } from './range.ts';
import { addRuleCommands } from './rule.ts';
import { addServiceCommands } from './service.ts';

/** The exit status that diff also uses for trouble. */
export const TROUBLE = 2;

/**
 * Runs cnictl once. Never throws.
 * @returns the exit status: 0 done or nothing found, 1 found (`check`, `connectivity test`,
 *   `doctor`, `node reconcile`), 2 trouble
 */
export async function run(argv: readonly string[], outside: World): Promise<number> {
  const world = guarded(outside);
  let exitStatus = 0;
  const act = async (command: Command, work: (context: Context) => Promise<number>): Promise<void> => {
    exitStatus = await work(new Context(world, command.optsWithGlobals<GlobalOptions>()));
  };
  const program = makeProgram(act, world);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitStatus;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : TROUBLE;
    world.stderr(describeError(error));
    if (world.env['CELLNET_DEBUG'] && error instanceof Error)
      world.stderr(`${printableLines(error.stack ?? '')}\n`);
    return TROUBLE;
  }
}

/** Lets no control character out that cnictl does not write itself. */
function guarded(world: World): World {
  const colours = hasColours(world);
  const [out, err] = [
    { colours, clears: false },
    { colours, clears: world.showsProgress },
  ];
  return {
    ...world,
    stdout: (text) => world.stdout(safeFor(out, text)),
    stderr: (text) => world.stderr(safeFor(err, text)),
  };
}

function makeProgram(act: Act, world: World): Command {
  const program = new Command('cnictl')
    .description('Address ranges of cellnet: who has what, what is leaked, and freeing it.')
    .version(VERSION, '-V, --version', 'print the version')
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(['table', 'json', 'yaml']).default('table'),
    )
    .option('--config <file>', 'shared configuration (CELLNET_CONFIG; default /etc/cellnet/config.json)')
    .option(
      '--etcd-endpoints <urls>',
      'comma-separated (CELLNET_ETCD_ENDPOINTS; default http://127.0.0.1:2379)',
    )
    .option('--etcd-prefix <prefix>', 'part of the keys before /v1/ (CELLNET_ETCD_PREFIX; default /cellnet)')
    .option('--etcd-ca-file <file>', 'CA of etcd (CELLNET_ETCD_CA_FILE)')
    .option('--etcd-cert-file <file>', 'client certificate (CELLNET_ETCD_CERT_FILE)')
    .option('--etcd-key-file <file>', "client certificate's key (CELLNET_ETCD_KEY_FILE)")
    .option('--etcd-username <name>', 'user of etcd (CELLNET_ETCD_USERNAME)')
    .option('--etcd-password-file <file>', 'file with its password (CELLNET_ETCD_PASSWORD_FILE)')
    .option(
      '--kubeconfig <file>',
      "the API server's configuration (KUBECONFIG; else that of the shared configuration, in-cluster, ~/.kube/config)",
    )
    .option(
      '--request-timeout <duration>',
      'longest wait for an answer of the API server; a list of all pods may take 5m (default: 10s)',
    )
    .option('--ovsdb <remote>', 'database of Open vSwitch (CELLNET_OVSDB)')
    .configureHelp({ showGlobalOptions: true })
    .helpCommand(false)
    .addHelpText(
      'after',
      '\nExit status: 0 done or nothing found, 1 found (check, connectivity test, doctor, node reconcile), 2 trouble.',
    );
  addRangeCommands(program, act);
  addRuleCommands(program, act);
  addBlockCommands(program, act);
  addIpCommands(program, act);
  addEventCommands(program, act);
  addMapCommand(program, act);
  addPodCommands(program, act);
  addServiceCommands(program, act);
  addConnectivityCommands(program, act);
  addLeakCommands(program, act);
  addNodeCommands(program, act);
  addBackupCommands(program, act);
  addDoctorCommand(program, act);
  addGlanceCommands(program, act);
  program
    .command('help')
    .description('help for a command')
    .argument('[command...]', 'such as range add')
    .action((words: string[]) => findCommand(program, words).help());
  makeSilent(program, world);
  return program;
}

/**
 * Returns the command of that name, word by word.
 * @throws CommandError
 */
function findCommand(program: Command, words: readonly string[]): Command {
  return words.reduce((command, word) => {
    const found = command.commands.find((each) => each.name() === word);
    if (found) return found;
    const known = command.commands.map((each) => each.name()).join(', ') || 'none';
    throw new CommandError(`'${command.name()}' has no command '${word}': expected ${known}`);
  }, program);
}

/**
 * Makes commander print through the world, and throw instead of ending the process, in every
 * subcommand.
 */
function makeSilent(command: Command, world: World): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: world.stdout,
      writeErr: (text) => world.stderr(printableLines(text).replace(/^error: /, 'cnictl: ')),
    })
    .showSuggestionAfterError();
  command.commands.forEach((each) => makeSilent(each, world));
}
