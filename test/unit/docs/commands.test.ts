import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { DOCUMENTS, readDocument } from '../../support/documents.ts';
import { CliWorld } from '../../golden/world.ts';

interface Help {
  readonly options: ReadonlySet<string>;
  /** The commands below it; none for one that does something. */
  readonly commands: ReadonlyMap<string, Help>;
}

const optionsIn = (text: string): string[] => text.match(/(?<![\w-])--[a-z][a-z-]+/g) ?? [];

/** Returns what the help of a command and of all commands below it names. */
async function helpOf(world: CliWorld, words: readonly string[]): Promise<Help> {
  const { stdout } = await world.run([...words, '--help']);
  const [, below = ''] = stdout.split(/^Commands:$/m);
  const names = [...below.matchAll(/^ {2}([a-z][a-z-]*)\b/gm)].map(([, name = '']) => name);
  const commands = new Map<string, Help>();
  for (const name of names.filter((each) => each !== 'help'))
    commands.set(name, await helpOf(world, [...words, name]));
  return { options: new Set([...optionsIn(stdout), '--help', '--version']), commands };
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

suite('commands of cnictl in the documents', async () => {
  const top = await helpOf(await CliWorld.make(), []);

  test('the check itself finds what it should', () => {
    const text =
      'a `cnictl node\n  list` and cnictl here\n\n    $ dist/bin/cnictl range undrain x | cat # y\n';
    assert.deepEqual(commandsIn(text), ['range undrain x', 'node list']);
    assert.equal(faultOf(top, 'range undrain x'), undefined);
    assert.equal(faultOf(top, 'check --watch 5m --release'), undefined);
    assert.match(faultOf(top, 'range widen x') ?? '', /no command 'widen'/);
    assert.match(faultOf(top, 'node list --watch') ?? '', /'cnictl node list' has no --watch/);
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
