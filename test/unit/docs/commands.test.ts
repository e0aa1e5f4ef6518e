import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Command } from 'commander';
import type { World } from '../../../cnictl/context/world.ts';
import { makeProgram } from '../../../cnictl/program/program.ts';
import { DOCUMENTS, readDocument } from '../../support/documents.ts';

interface Help {
  readonly options: ReadonlySet<string>;
  /** The commands below it; none for one that does something. */
  readonly commands: ReadonlyMap<string, Help>;
}

const optionsIn = (text: string): string[] => text.match(/(?<![\w-])--[a-z][a-z-]+/g) ?? [];

/** Returns what a command and all commands below it take. */
function helpOf(command: Command, above: readonly string[] = ['--help']): Help {
  const own = command.options.flatMap(({ long, description }) => [
    ...(long ? [long] : []),
    ...optionsIn(description),
  ]);
  const options = [...above, ...own];
  return {
    options: new Set(options),
    commands: new Map(command.commands.map((each) => [each.name(), helpOf(each, options)])),
  };
}

/** Returns the commands of cnictl in a document: in its code, each up to its end. */
function commandsIn(text: string): string[] {
  const blocks = text.split('\n').filter((line) => /^ {4}/.test(line));
  const spans = [...text.replace(/^ {4,}.*$/gm, '').matchAll(/`([^`]+)`/g)].map(([, code = '']) =>
    code.replace(/\s+/g, ' '),
  );
  return [...blocks, ...spans].flatMap((code) =>
    [...code.matchAll(/(?:^|[\s/`])cnictl ([^#|;`\n→]*)/g)].map(([, words = '']) => words.trim()),
  );
}

/** Says what is wrong with the words of a command; nothing for a name of the program in a text. */
function faultOf(top: Help, command: string): string | undefined {
  const words = command.split(/\s+/).filter((word) => word !== '');
  let at = top;
  let said = 'cnictl';
  const leading = words.findIndex((word) => !word.startsWith('-'));
  for (const word of leading < 0 ? [] : words.slice(leading)) {
    if (at.commands.size === 0 || !/^[a-z][a-z-]*$/.test(word)) break;
    const next = at.commands.get(word);
    if (!next) return `'${said}' has no command '${word}'`;
    at = next;
    said += ` ${word}`;
  }
  const unknown = optionsIn(command).filter((option) => !at.options.has(option));
  return unknown.length === 0 ? undefined : `'${said}' has no ${unknown.join()}`;
}

suite('commands of cnictl in the documents', () => {
  const top = helpOf(makeProgram(() => Promise.resolve(), {} as World));

  test('the check itself finds what it should', () => {
    const text =
      'a `cnictl node\n  list` and cnictl here\n\n    $ dist/bin/cnictl range undrain x | cat # y\n';
    assert.deepEqual(commandsIn(text), ['range undrain x', 'node list']);
    assert.equal(faultOf(top, 'range undrain x'), undefined);
    assert.equal(faultOf(top, 'check --watch 5m --release'), undefined);
    assert.match(faultOf(top, 'range widen x') ?? '', /no command 'widen'/);
    assert.match(faultOf(top, 'node list --follow') ?? '', /'cnictl node list' has no --follow/);
  });

  for (const document of DOCUMENTS)
    test(`${document}: they exist, with their options`, () => {
      const faults = commandsIn(readDocument(document)).flatMap((command) => {
        const fault = faultOf(top, command);
        return fault === undefined ? [] : [`cnictl ${command}: ${fault}`];
      });
      assert.deepEqual(faults, []);
    });
});
