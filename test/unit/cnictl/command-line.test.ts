import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Command } from 'commander';
import { complete, completionText } from '../../../cnictl/completion/complete.ts';
import { NAMED } from '../../../cnictl/completion/kinds.ts';
import { splitLine } from '../../../cnictl/completion/words.ts';
import type { World } from '../../../cnictl/context/world.ts';
import { showWaiting } from '../../../cnictl/context/waiting.ts';
import { afterHelp } from '../../../cnictl/manual/after-help.ts';
import { manualPages } from '../../../cnictl/manual/pages.ts';
import { makeProgram } from '../../../cnictl/program/program.ts';
import { CliWorld } from '../../golden/world.ts';

const tree = (): Command => makeProgram(() => Promise.resolve(), {} as World);

const leavesOf = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leavesOf);
const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}`.trim() : '';

suite('every command', () => {
  const program = tree();
  for (const command of leavesOf(program))
    test(`${pathOf(command)} has a description and examples of its own`, () => {
      assert.match(command.description(), /^\S.{9,}[^.]$/);
      const { examples } = afterHelp(command);
      assert.ok(examples.length > 0, 'an example: addHelpText("after", examples(…))');
      assert.ok(
        examples.some((each) => each.includes(`cnictl ${pathOf(command)}`)),
        examples.join(),
      );
    });

  test('is the same in the part of the tree that its call makes', () => {
    const helpsOf = (command: Command): string[] => [
      command.helpInformation(),
      ...command.commands.flatMap(helpsOf),
    ];
    for (const command of program.commands) {
      const part = makeProgram(() => Promise.resolve(), {} as World, command.name());
      const same = part.commands.find((each) => each.name() === command.name());
      assert.deepEqual(same && helpsOf(same), helpsOf(command), command.name());
      const whole = ['help', 'completion', '__manual'].includes(command.name());
      assert.equal(part.commands.length === program.commands.length, whole, command.name());
    }
  });

  test('has a manual page without a line of roff by accident', () => {
    const pages = manualPages(program, '0.0.0');
    assert.deepEqual(
      [...pages.keys()].filter((name) => /cnictl-(range|ip|pod|completion)\.1/.test(name)).length,
      4,
    );
    for (const [name, page] of pages)
      for (const line of page.split('\n')) {
        assert.match(line, /^(\.(TH|SH|SS|TP|PP|B|RS|RE|nf|fi)( |$)|[^.']|$)/, `${name}: ${line}`);
        assert.doesNotMatch(line, /(?<!\\)-(?!\d\d)/, `${name}: a hyphen that roff may break: ${line}`);
      }
    assert.match(pages.get('cnictl-ip.1') ?? '', /\.B "\\-\\-state <states>"/);
    assert.doesNotMatch(pages.get('cnictl.1') ?? '', /__manual/);
  });
});

suite('completion', () => {
  const NAMES = ['blue', 'black', 'red'];
  const words = async (line: string): Promise<string[]> => {
    const asked = (named: string) =>
      Promise.resolve((named === 'range' ? NAMES : [`${named}-1`]).map((word) => ({ word })));
    const { candidates } = await complete(tree(), splitLine(line).slice(1), asked);
    return candidates.map(({ word }) => word);
  };

  for (const [line, expected] of [
    ['cnictl ran', ['range']],
    ['cnictl range sh', ['show']],
    ['cnictl range show bl', ['blue', 'black']],
    ['cnictl range add ', []],
    ['cnictl ip list --range ', ['blue', 'black', 'red']],
    ['cnictl ip list --range=bl', ['--range=blue', '--range=black']],
    ['cnictl -o json ip list --node ', ['node-1']],
    ['cnictl --etcd-prefix "/a b" rule show ', ['rule-1']],
    ['cnictl release 10.0.0.1 ', ['address-1']],
    ['cnictl pod show ', ['pod-1']],
    ['cnictl pod list -n ', ['namespace-1']],
    ['cnictl ip list -o js', ['json', 'jsonpath=']],
    ['cnictl --color a', ['auto', 'always']],
    ['cnictl completion ', ['bash', 'zsh', 'fish']],
    ['cnictl ip list --state us', ['used']],
    ['cnictl ip list --state used,k', ['used,kept']],
    ['cnictl ip list --state=kept,cooling,co', ['--state=kept,cooling,conflict']],
    ['cnictl nonsense show ', []],
  ] as const)
    test(line, async () => assert.deepEqual(await words(line), expected));

  test('of options leaves out what is given, unless it may be given again', async () => {
    const found = await words('cnictl ip list --node a --state used --');
    assert.ok(!found.includes('--node') && found.includes('--state') && found.includes('--watch'));
    assert.ok(found.includes('--etcd-endpoints') && found.includes('--help'));
  });

  test('offers files for a file, and no space behind an equals sign', async () => {
    const none = () => Promise.resolve([]);
    assert.equal(completionText(await complete(tree(), ['backup', ''], none)), ':0\n');
    assert.equal(completionText(await complete(tree(), ['-o', 'jsonp'], none)), 'jsonpath=\n:6\n');
  });

  /** A world in which the deadline is not over at once. */
  const patient = async (): Promise<CliWorld> => {
    const world = await CliWorld.make();
    world.meanwhile = () => new Promise((resolve) => setTimeout(resolve, 500).unref());
    return world;
  };

  test('asks the etcd that the line names, and is silent when it fails', async () => {
    const world = await patient();
    assert.equal((await world.run(['__complete', 'range', 'show', 'b'])).stdout, 'blue\n:4\n');
    const bad = await world.run(['__complete', '--config', '/none', 'range', 'show', '']);
    assert.deepEqual(bad, { status: 0, stdout: ':4\n', stderr: '' });
    assert.equal((await world.run(['__complete', 'ip', 'show', '10.20.0.6'])).stdout.split('\n').length, 4);
  });

  test('gives up at its deadline', async () => {
    const world = await CliWorld.make();
    assert.equal((await world.run(['__complete', 'range', 'show', 'b'])).stdout, ':4\n');
    assert.deepEqual(world.pauses, [500]);
  });

  test('knows a kind of names for each that is asked of etcd', async () => {
    const world = await patient();
    const argv: Record<(typeof NAMED)[number], string[]> = {
      range: ['range', 'show', ''],
      node: ['node', 'show', ''],
      rule: ['rule', 'show', ''],
      address: ['ip', 'show', ''],
      pod: ['pod', 'show', ''],
      namespace: ['ip', 'list', '-n', ''],
    };
    await world.run('rule add shop --namespace shop --range blue');
    for (const named of NAMED)
      assert.notEqual((await world.run(['__complete', ...argv[named]])).stdout, ':4\n', named);
  });

  test('splits a line as a shell does', () => {
    assert.deepEqual(splitLine(`cnictl a "b c" d\\ e 'f"g' `), ['cnictl', 'a', 'b c', 'd e', 'f"g', '']);
  });
});

suite('a command that is silent for two seconds says that it works', () => {
  const make = () => {
    const clock: { now: number; tick: () => void } = { now: 0, tick: () => undefined };
    let text = '';
    const world = {
      showsProgress: true,
      monotonic: () => clock.now,
      stdout: (each: string) => void (text += each),
      stderr: (each: string) => void (text += each),
      untilStopped: () => new AbortController().signal,
      every: (_: number, work: () => void) => {
        clock.tick = work;
        return () => (clock.tick = () => undefined);
      },
    } as unknown as World;
    const at = (ms: number): void => {
      clock.now = ms;
      clock.tick();
    };
    return { at, ...showWaiting(world), text: () => text };
  };

  test('and takes the line away before output', () => {
    const { at, world, end, text } = make();
    at(1_500);
    assert.equal(text(), '');
    at(2_000);
    assert.equal(text(), '\r\u001b[Kat work for 2 s');
    world.stdout('done\n');
    at(3_500);
    end();
    assert.equal(text(), '\r\u001b[Kat work for 2 s\r\u001b[Kdone\n');
  });

  test('unless it runs until it is stopped', () => {
    const { at, world, text } = make();
    world.untilStopped();
    at(9_000);
    assert.equal(text(), '');
  });
});
