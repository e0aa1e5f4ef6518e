import { Help, type Command, type OutputConfiguration } from 'commander';
import { printableLines } from '../render/printable.ts';
import type { World } from '../context/world.ts';

/**
 * What `cnictl --help` lists under which title. A command that is not named here stands under
 * `More`.
 */
const GROUPS: readonly (readonly [title: string, commands: readonly string[]])[] = [
  ['Addresses:', ['range', 'rule', 'block', 'ip', 'pod']],
  ['To look at:', ['status', 'map', 'events', 'serve', 'service', 'trace']],
  ['Finding faults:', ['doctor', 'check', 'release', 'connectivity', 'support-bundle']],
  ['Nodes and upkeep:', ['node', 'backup', 'restore']],
];
const MORE = 'More:';

/** The program's name as kubectl's plugin. */
export const PLUGIN = 'kubectl cellnet';

/**
 * Sets up the help of a command tree that is complete: groups, one line for the global options, and
 * output through the world. Commander throws instead of ending the process then.
 */
export function finishHelp(program: Command, world: World): void {
  for (const command of program.commands)
    command.helpGroup(GROUPS.find(([, names]) => names.includes(command.name()))?.[0] ?? MORE);
  const isPlugin = program.name() === PLUGIN;
  showHowToFindOut(program, program.name());
  finish(program, {
    writeOut: (text) => world.stdout(isPlugin ? asPlugin(text) : text),
    writeErr: (text) => world.stderr(printableLines(text).replace(/^error: /, 'cnictl: ')),
  });
}

/** The examples of help texts say `cnictl`. */
const asPlugin = (text: string): string => text.replaceAll(/\bcnictl (?=[a-z-])/g, `${PLUGIN} `);

/** A usage error ends with where to look it up. */
function showHowToFindOut(command: Command, path: string): void {
  const lists = command.commands.length > 0 ? 'lists the commands' : 'shows what it takes';
  const form = command.parent ? '' : `: a noun and a verb, such as \`${path} pod list\``;
  command.showHelpAfterError(`  \`${path} --help\` ${lists}${form}.`);
  for (const each of command.commands) showHowToFindOut(each, `${path} ${each.name()}`);
}

function finish(command: Command, output: OutputConfiguration): void {
  command
    .exitOverride()
    .configureOutput(output)
    .showSuggestionAfterError()
    .helpCommand(false)
    .configureHelp({ formatHelp: (shown, helper) => formatHelp(shown, helper) });
  command.commands.forEach((each) => finish(each, output));
}

function formatHelp(command: Command, helper: Help): string {
  const text = new Help().formatHelp.call(helper, sorted(command), helper);
  return command.parent ? `${text}\nGlobal options: cnictl --help\n` : text;
}

/** Commander lists groups by the first command of each. Within a group the order is that above. */
function sorted(command: Command): Command {
  if (command.parent) return command;
  const names = GROUPS.flatMap(([, commands]) => commands);
  const place = (each: Command): number =>
    names.includes(each.name()) ? names.indexOf(each.name()) : names.length;
  (command.commands as Command[]).sort((a, b) => place(a) - place(b));
  return command;
}
