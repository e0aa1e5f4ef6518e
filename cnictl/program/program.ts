import { Command, CommanderError } from 'commander';
import { didYouMean } from '../../ipam/model/nearest.ts';
import { VERSION } from '../../ipam/settings/version.ts';
import { Context, hasColours, type GlobalOptions } from '../context/context.ts';
import { CommandError, describeError } from '../context/errors.ts';
import { showWaiting } from '../context/waiting.ts';
import type { World } from '../context/world.ts';
import { printableLines, safeFor } from '../render/printable.ts';
import { examples, type Act } from './act.ts';
import { addBackupCommands } from './backup.ts';
import { addBlockCommands } from './block.ts';
import { addConnectivityCommands } from './connectivity.ts';
import { addCompletionCommand, completeWords } from './completion.ts';
import { addDoctorCommand } from './doctor.ts';
import { addEventCommands } from './events.ts';
import { addGlanceCommands } from './glance.ts';
import { addGlobalOptions } from './global-options.ts';
import { finishHelp } from './help.ts';
import { addIpCommands } from './ip.ts';
import { addLeakCommands } from './leak.ts';
import { isList } from './list.ts';
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
  if (argv[0] === '__complete') return await completeWords(argv.slice(1), outside, makeProgram);
  const screen = { colours: hasColours(outside) };
  const { world, end } = showWaiting(guarded(outside, screen));
  let exitStatus = 0;
  const act = async (command: Command, work: (context: Context) => Promise<number>): Promise<void> => {
    const options = command.optsWithGlobals<GlobalOptions>();
    screen.colours = hasColours(outside, options.color);
    const context = new Context(world, options);
    if (context.format.kind === 'name' && !isList(command))
      throw new CommandError(`-o name: '${commandPath(command)}' is no list: expected another format`);
    exitStatus = await work(context);
  };
  const program = makeProgram(act, world, argv[0]);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitStatus;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : TROUBLE;
    world.stderr(describeError(error));
    if (world.env['CELLNET_DEBUG'] && error instanceof Error)
      world.stderr(`${printableLines(error.stack ?? '')}\n`);
    return TROUBLE;
  } finally {
    end();
  }
}

/** Lets no control character out that cnictl does not write itself. */
function guarded(world: World, screen: { readonly colours: boolean }): World {
  const { showsProgress: clears } = world;
  return {
    ...world,
    stdout: (text) => world.stdout(safeFor({ colours: screen.colours, clears: false }, text)),
    stderr: (text) => world.stderr(safeFor({ colours: screen.colours, clears }, text)),
  };
}

/** Returns the words that name a command, such as `range add`. */
const commandPath = (command: Command): string =>
  command.parent?.parent ? `${commandPath(command.parent)} ${command.name()}` : command.name();

/**
 * The names of commands with the function that adds them, in the order of the help. Those without
 * names need the whole tree: they print or search it.
 */
const PARTS: readonly (readonly [names: readonly string[], add: (program: Command, act: Act) => void])[] = [
  [['range'], addRangeCommands],
  [['rule'], addRuleCommands],
  [['block'], addBlockCommands],
  [['ip'], addIpCommands],
  [['events', 'serve'], addEventCommands],
  [['map'], addMapCommand],
  [['pod'], addPodCommands],
  [['service', 'trace'], addServiceCommands],
  [['connectivity'], addConnectivityCommands],
  [['check', 'release'], addLeakCommands],
  [['node'], addNodeCommands],
  [['backup', 'restore'], addBackupCommands],
  [['doctor'], addDoctorCommand],
  [['status', 'version', 'support-bundle'], addGlanceCommands],
  [[], addHelpCommand],
  [[], addCompletionCommand],
];

/**
 * Makes the tree of all commands: to run one, to complete words, and to write the manual.
 * @param first the first word of a call: where it names a command, only its part of the tree is
 *   made, a tenth of the whole
 */
export function makeProgram(act: Act, world: World, first?: string): Command {
  const program = new Command(world.program ?? 'cnictl')
    .description('Address ranges of cellnet: who has what, what is leaked, and freeing it.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpCommand(false)
    .addHelpText(
      'after',
      `${examples('status', 'range list', 'pod list -n shop', 'ip show 10.20.0.17', 'map', 'events --follow')}\n\nExit status: 0 done or nothing found, 1 found (check, connectivity test, doctor, node reconcile), 2 trouble.`,
    );
  addGlobalOptions(program);
  const named = PARTS.filter(([names]) => names.includes(first ?? ''));
  for (const [, add] of named.length > 0 ? named : PARTS) add(program, act);
  finishHelp(program, world);
  return program;
}

function addHelpCommand(program: Command): void {
  program
    .command('help')
    .description('help for a command')
    .argument('[command...]', 'such as range add')
    .addHelpText('after', examples('help range add'))
    .action((words: string[]) => findCommand(program, words).help());
}

/**
 * Returns the command of that name, word by word.
 * @throws CommandError
 */
function findCommand(program: Command, words: readonly string[]): Command {
  return words.reduce((command, word) => {
    const found = command.commands.find((each) => each.name() === word);
    if (found) return found;
    const known = command.commands.map((each) => each.name());
    throw new CommandError(
      `'${command.name()}' has no command '${word}': expected ${known.join(', ') || 'none'}`,
      didYouMean(word, known).trim(),
    );
  }, program);
}
