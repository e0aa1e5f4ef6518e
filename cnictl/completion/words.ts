import type { Argument, Command, Option } from 'commander';

/** What the cursor stands at. */
export type Wanted =
  | { readonly kind: 'command' }
  | { readonly kind: 'option' }
  | { readonly kind: 'value'; readonly option: Option; readonly prefix: string }
  | { readonly kind: 'argument'; readonly argument: Argument };

export interface Place {
  readonly command: Command;
  readonly wanted: Wanted | undefined;
  /** The beginning of what is wanted, as far as it is written. */
  readonly begun: string;
  /** Values of the options before it, by their names as attributes: `etcdPrefix`. */
  readonly values: Readonly<Record<string, string>>;
  /** The options that stand there already. */
  readonly given: ReadonlySet<Option>;
}

const optionsOf = (command: Command | null): Option[] =>
  command === null ? [] : [...command.options, ...optionsOf(command.parent)];

/** Returns the options that a command takes: its own, and those of every command. */
export const allOptions = (command: Command): readonly Option[] => optionsOf(command);

/** Finds what the last of the words begins. @param words those behind `cnictl` */
export function placeOf(program: Command, words: readonly string[]): Place {
  const begun = words.at(-1) ?? '';
  const values: Record<string, string> = {};
  const given = new Set<Option>();
  let command = program;
  let passed = 0;
  let onlyArguments = false;
  let pending: Option | undefined;
  const take = (option: Option, value: string): void => {
    values[option.attributeName()] = value;
  };
  for (const word of words.slice(0, -1)) {
    if (pending) {
      take(pending, word);
      pending = undefined;
    } else if (!onlyArguments && word === '--') onlyArguments = true;
    else if (!onlyArguments && word.startsWith('-') && word !== '-') {
      const { option, value } = readOption(command, word);
      if (!option) continue;
      given.add(option);
      if (value !== undefined) take(option, value);
      else if (option.required) pending = option;
    } else {
      const sub = passed === 0 ? subcommand(command, word) : undefined;
      if (sub) command = sub;
      else passed += 1;
    }
  }
  const place = { command, values, given };
  if (pending) return { ...place, begun, wanted: { kind: 'value', option: pending, prefix: '' } };
  if (!onlyArguments && begun.startsWith('-')) {
    const equals = begun.indexOf('=');
    if (equals < 0) return { ...place, begun, wanted: { kind: 'option' } };
    const prefix = begun.slice(0, equals + 1);
    const { option } = readOption(command, begun.slice(0, equals));
    const value = begun.slice(equals + 1);
    return { ...place, begun: value, wanted: option && { kind: 'value', option, prefix } };
  }
  if (command.commands.length > 0 && passed === 0) return { ...place, begun, wanted: { kind: 'command' } };
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  const argument = registeredArguments[passed] ?? (last?.variadic ? last : undefined);
  return { ...place, begun, wanted: argument && { kind: 'argument', argument } };
}

const subcommand = (command: Command, word: string): Command | undefined =>
  command.commands.find((each) => each.name() === word || each.aliases().includes(word));

function readOption(command: Command, word: string): { option?: Option; value?: string } {
  const equals = word.indexOf('=');
  const isLong = word.startsWith('--');
  const flag = isLong ? (equals < 0 ? word : word.slice(0, equals)) : word.slice(0, 2);
  const option = optionsOf(command).find((each) => each.long === flag || each.short === flag);
  if (!option) return {};
  if (isLong) return equals < 0 ? { option } : { option, value: word.slice(equals + 1) };
  return word.length > 2 && (option.required || option.optional)
    ? { option, value: word.slice(2) }
    : { option };
}

/**
 * Splits the beginning of a command line as a shell does, so far as quotes and backslashes go. The
 * last word is what the cursor stands at, '' behind a space.
 */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word = '';
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const character = line[i] ?? '';
    if (quote === '' && /\s/.test(character)) {
      if (word !== '') words.push(word);
      word = '';
    } else if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = '';
    else if (character === '\\' && quote !== "'") word += line[++i] ?? '';
    else word += character;
  }
  return [...words, word];
}
