import type { Command, Option } from 'commander';
import { afterHelp, shownCommands } from './after-help.ts';
import { item, paragraph, section, subsection, text, title, verbatim } from './roff.ts';

/** Of the manual pages. It stands here because a build must not depend on its day. */
const DATE = '2026-11-30';

const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ['CELLNET_CONFIG', 'The shared configuration, as --config.'],
  ['CELLNET_ETCD_…', 'As the options of etcd, such as CELLNET_ETCD_ENDPOINTS.'],
  ['CELLNET_NODE', 'The name of this node.'],
  ['CELLNET_OVSDB', 'As --ovsdb.'],
  ['CELLNET_DEBUG', 'With any value: errors with their stack traces, and deprecation warnings of Node.'],
  ['KUBECONFIG', "The API server's configuration."],
  ['NO_COLOR', 'With any value: no colours.'],
];

/** Returns the manual pages by their file names: cnictl.1, and one for each command of it. */
export function manualPages(program: Command, version: string): Map<string, string> {
  const commands = shownCommands(program);
  const pages = new Map([['cnictl.1', mainPage(program, commands, version)]]);
  for (const command of commands) pages.set(`cnictl-${command.name()}.1`, commandPage(command, version));
  return pages;
}

function mainPage(program: Command, commands: readonly Command[], version: string): string {
  return [
    title('cnictl', version, DATE),
    section('NAME'),
    text("cnictl - the operator's tool of cellnet"),
    section('SYNOPSIS'),
    text('cnictl [options] command [arguments]'),
    section('DESCRIPTION'),
    text(program.description()),
    paragraph('kubectl runs it as a plugin: kubectl cellnet command.'),
    section('COMMANDS'),
    ...commands.map((each) =>
      item(`cnictl ${each.name()}`, sentence(`${each.description()}: cnictl-${each.name()}(1)`)),
    ),
    section('OPTIONS'),
    text('Every command takes these options.'),
    ...optionItems(program),
    exitSection(program),
    section('ENVIRONMENT'),
    ...ENVIRONMENT.map(([name, meaning]) => item(name, meaning)),
    section('FILES'),
    item('/etc/cellnet/config.json', 'The shared configuration.'),
    section('SEE ALSO'),
    text(commands.map((each) => `cnictl-${each.name()}(1)`).join(', ')),
  ].join('');
}

function commandPage(command: Command, version: string): string {
  const name = command.name();
  const below = shownCommands(command);
  return [
    title(`cnictl-${name}`, version, DATE),
    section('NAME'),
    text(`cnictl-${name} - ${command.description()}`),
    section('SYNOPSIS'),
    ...(below.length > 0 ? below : [command]).map((each, i) => (i === 0 ? text : paragraph)(usageOf(each))),
    section('DESCRIPTION'),
    text(sentence(command.description())),
    ...(below.length > 0 ? [section('COMMANDS'), ...below.map(commandPart)] : [onlyPart(command)]),
    section('SEE ALSO'),
    text('cnictl(1) has the options of every command.'),
  ].join('');
}

/** A command below that of the page. */
function commandPart(command: Command): string {
  const { examples, exitStatus, notes } = afterHelp(command);
  return [
    subsection(usageOf(command)),
    text(sentence(command.description())),
    ...notes.map(paragraph),
    ...argumentItems(command),
    ...optionItems(command),
    ...(exitStatus === undefined ? [] : [paragraph(`Exit status: ${exitStatus}`)]),
    ...(examples.length > 0 ? [paragraph('Examples:'), verbatim(examples)] : []),
  ].join('');
}

/** The only command of the page. */
function onlyPart(command: Command): string {
  const { examples, notes } = afterHelp(command);
  const options = [...argumentItems(command), ...optionItems(command)];
  return [
    ...notes.map(paragraph),
    ...(options.length > 0 ? [section('OPTIONS'), ...options] : []),
    exitSection(command),
    ...(examples.length > 0 ? [section('EXAMPLES'), verbatim(examples)] : []),
  ].join('');
}

function exitSection(command: Command): string {
  const { exitStatus } = afterHelp(command);
  return exitStatus === undefined ? '' : section('EXIT STATUS') + text(exitStatus);
}

function usageOf(command: Command): string {
  const path = (each: Command): string => (each.parent ? `${path(each.parent)} ${each.name()}` : 'cnictl');
  return `${path(command)} ${command.usage()}`.trim();
}

/** Descriptions begin with a small letter and have no full stop. */
const sentence = (words: string): string => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;

const argumentItems = (command: Command): string[] =>
  command.registeredArguments
    .filter(({ description }) => description !== '')
    .map((argument) => item(`<${argument.name()}>`, sentence(argument.description)));

const optionItems = (command: Command): string[] =>
  command.options.filter(({ hidden }) => !hidden).map((option) => item(option.flags, descriptionOf(option)));

function descriptionOf({ description, argChoices, defaultValue }: Option): string {
  const isTold = typeof defaultValue === 'string';
  const more = [
    ...(argChoices ? [`one of ${argChoices.join(', ')}`] : []),
    ...(isTold ? [`default: ${defaultValue}`] : []),
  ];
  return sentence(`${description}${more.length > 0 ? ` (${more.join('; ')})` : ''}`);
}
