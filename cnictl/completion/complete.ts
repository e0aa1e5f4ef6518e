import type { Command } from 'commander';
import type { Named } from './kinds.ts';
import { kindOfArgument, kindOfOption, type ValueKind } from './kinds.ts';
import type { Candidate } from './names.ts';
import { allOptions, placeOf, type Place } from './words.ts';

/** What may stand at the cursor. */
export interface Completion {
  readonly candidates: readonly Candidate[];
  /** The shell offers files where there is no candidate. */
  readonly files: boolean;
  /** No space behind it: `-o jsonpath=` goes on. */
  readonly noSpace: boolean;
}

const NOTHING: Completion = { candidates: [], files: false, noSpace: false };

/** Asks for names with the settings that the words give, such as `--etcd-prefix`. */
export type Ask = (named: Named, values: Place['values']) => Promise<readonly Candidate[]>;

/**
 * Completes the last word.
 * @param words those behind `cnictl`; the last is '' behind a space
 */
export async function complete(program: Command, words: readonly string[], ask: Ask): Promise<Completion> {
  const place = placeOf(program, words);
  const { command, wanted, begun } = place;
  switch (wanted?.kind) {
    case undefined:
      return NOTHING;
    case 'command':
      return among(subcommands(command), begun);
    case 'option':
      return among(options(place), begun);
    case 'argument':
      return await values(kindOfArgument(command, wanted.argument), place, '', ask);
    case 'value':
      return await values(kindOfOption(command, wanted.option), place, wanted.prefix, ask);
  }
}

const subcommands = (command: Command): Candidate[] =>
  command.commands.map((each) => ({ word: each.name(), about: each.description() }));

/** Options that stand there already are not offered again, unless they collect values. */
function options({ command, given }: Place): Candidate[] {
  const known = allOptions(command).filter(
    (option) => !option.hidden && (!given.has(option) || option.parseArg !== undefined),
  );
  return [
    ...known.flatMap(({ long, description }) => (long ? [{ word: long, about: description }] : [])),
    { word: '--help', about: 'display help for command' },
  ];
}

async function values(kind: ValueKind, place: Place, prefix: string, ask: Ask): Promise<Completion> {
  switch (kind.kind) {
    case 'unknown':
      return NOTHING;
    case 'files':
      return { ...NOTHING, files: true };
    case 'words':
      return ofWords(kind.words, place.begun, prefix, kind.isList ?? false);
    case 'names':
      return among(await ask(kind.named, place.values), place.begun, prefix);
  }
}

/** Of a list, completes what stands behind the last comma. */
function ofWords(words: readonly string[], begun: string, prefix: string, isList: boolean): Completion {
  const cut = isList ? begun.lastIndexOf(',') + 1 : 0;
  const before = begun.slice(0, cut).split(',');
  const left = words.filter((word) => !before.includes(word)).map((word) => ({ word }));
  return among(left, begun.slice(cut), `${prefix}${begun.slice(0, cut)}`);
}

function among(known: readonly Candidate[], begun: string, prefix = ''): Completion {
  const candidates = known
    .filter(({ word }) => word.startsWith(begun))
    .map((candidate) => ({ ...candidate, word: `${prefix}${candidate.word}` }));
  const noSpace = candidates.length > 0 && candidates.every(({ word }) => word.endsWith('='));
  return { candidates, files: false, noSpace };
}

/** Bits of the last line, as cobra has them: kubectl asks its plugins so. */
const NO_SPACE = 2;
const NO_FILES = 4;

/**
 * Returns the answer of `cnictl __complete`, in the form of cobra: a line for each candidate, with
 * what it is behind a tab, and a line of a colon and a number.
 */
export function completionText({ candidates, files, noSpace }: Completion): string {
  const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');
  const lines = candidates.map(({ word, about }) =>
    about === undefined || about === '' ? word : `${word}\t${oneLine(about)}`,
  );
  return [...lines, `:${(noSpace ? NO_SPACE : 0) + (files ? 0 : NO_FILES)}`, ''].join('\n');
}
