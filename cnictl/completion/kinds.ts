import type { Argument, Command, Option } from 'commander';
import { ADDRESS_STATES } from '../commands/ip.ts';

/** What etcd is asked for. */
export const NAMED = ['range', 'node', 'rule', 'address', 'pod', 'namespace'] as const;
export type Named = (typeof NAMED)[number];

/**
 * What stands for a value: names from etcd, files of this machine, or a few words, in a list with
 * commas between them.
 */
export type ValueKind =
  | { readonly kind: 'names'; readonly named: Named }
  | { readonly kind: 'files' }
  | { readonly kind: 'words'; readonly words: readonly string[]; readonly isList?: boolean }
  | { readonly kind: 'unknown' };

const OUTPUT_WORDS = ['table', 'wide', 'name', 'json', 'yaml', 'jsonpath='];
const FILES = new Set(['file', 'folder', 'dist', 'dir']);
/** Commands whose argument is a name that is not there yet. */
const NEW = new Set(['add']);

/**
 * Returns what an option takes, by its name, its placeholder and its choices: a new option of a
 * known name needs nothing more.
 */
export function kindOfOption(command: Command, option: Option): ValueKind {
  if (option.attributeName() === 'output') return { kind: 'words', words: OUTPUT_WORDS };
  if (option.argChoices) return { kind: 'words', words: option.argChoices };
  const placeholder = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1]?.replace(/\.+$/, '') ?? '';
  const name = (option.long ?? '').slice(2);
  if (placeholder === 'states') return { kind: 'words', words: ADDRESS_STATES, isList: true };
  // A rule of a namespace may be for one that does not exist yet, but most do.
  return kindOf([name, placeholder], command);
}

export function kindOfArgument(command: Command, argument: Argument): ValueKind {
  if (argument.argChoices) return { kind: 'words', words: argument.argChoices };
  if (NEW.has(command.name())) return { kind: 'unknown' };
  const name = argument.name();
  // `range show <name>`: the name of a range.
  return kindOf([name, ...(name === 'name' ? [command.parent?.name() ?? ''] : [])], command);
}

function kindOf(names: readonly string[], command: Command): ValueKind {
  const plain = names.map((name) => name.toLowerCase().replace(/^addresses$/, 'address'));
  const named = NAMED.find((each) => plain.includes(each));
  if (plain.some((name) => FILES.has(name))) return { kind: 'files' };
  // `node init --uplink <device>` and `--exclude <addresses>` name no address of a pod.
  if (named === 'address' && !OF_ADDRESSES.has(topOf(command))) return { kind: 'unknown' };
  return named ? { kind: 'names', named } : { kind: 'unknown' };
}

const OF_ADDRESSES = new Set(['ip', 'release']);

const topOf = (command: Command): string => (command.parent?.parent ? topOf(command.parent) : command.name());
