import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { World } from '../../../../cnictl/context/world.ts';
import type { CliWorld, Ran } from '../../../golden/world.ts';
import { FakeTerminal, USUAL, watchedWorld } from '../../../support/map-world.ts';
import { until } from '../../../support/proc.ts';

/** Opens `cnictl map` on a terminal of values. */
async function opened(
  world: CliWorld,
  command: string,
): Promise<{ terminal: FakeTerminal; ended: Promise<Ran>; shows: (what: RegExp) => Promise<unknown> }> {
  let terminal: FakeTerminal | undefined;
  world.isTerminal = true;
  const open: World['openTerminal'] = (listener, colours) =>
    (terminal = new FakeTerminal(listener, colours, USUAL));
  world.openTerminal = open;
  const ended = world.run(command);
  const made = await until('the terminal', () => terminal);
  const shows = (what: RegExp): Promise<unknown> =>
    until(`${String(what)} on the screen`, () => what.test(made.screen.text));
  return { terminal: made, ended, shows };
}

suite('cnictl map on a terminal', () => {
  test('opens, follows what happens, and ends with 0', async () => {
    const { world, store } = await watchedWorld();
    const { terminal, ended, shows } = await opened(world, 'map blue');
    await shows(/blue {2}10\.20\.0\.0\/22 {2}VLAN 120 {2}6\/1013 +live/);
    assert.equal(terminal.colours, true);
    const block = [...store.entries.values()].find(({ key }) => key.includes('10.20.0.16'));
    const record = JSON.parse(block?.value ?? '') as { slots: unknown[]; sequence: number };
    record.slots[1] = null;
    await store.commit([], [{ kind: 'put', key: block?.key ?? '', value: JSON.stringify(record) }]);
    await shows(/6\/1013|5\/1013 {2}-1 +live/);
    await shows(/10\.20\.0\.16\/28 +#\.##\.{12} +3\/16/);
    terminal.resize(50, 10);
    await shows(/10\.20\.0\.16\/28/);
    terminal.press('\u001b');
    await shows(/RANGE/);
    terminal.press('q');
    assert.deepEqual(await ended, { status: 0, stdout: '', stderr: '' });
    assert.equal(terminal.isOpen, false);
    assert.deepEqual(terminal.screen.unknown, []);
  });

  test('ctrl-C and a signal close the terminal; so does an error, which is told behind it', async () => {
    const { world } = await watchedWorld();
    world.env['NO_COLOR'] = '1';
    const one = await opened(world, 'map');
    assert.equal(one.terminal.colours, false);
    one.terminal.press('\u0003');
    assert.equal((await one.ended).status, 0);
    const two = await opened(world, 'map shop/web-1');
    await two.shows(/Pod +shop\/web-1/);
    world.stop.abort();
    assert.equal((await two.ended).status, 0);
    world.stop = new AbortController();
    const three = await opened(world, 'map --node node-7');
    const { status, stderr } = await three.ended;
    assert.equal(status, 2);
    assert.match(stderr, /--node 'node-7': nothing is known of a node of that name\n.*Did you mean/);
    assert.deepEqual(
      [one, two, three].map(({ terminal }) => terminal.isOpen),
      [false, false, false],
    );
  });

  test('etcd that cannot be read is told, and asked again', async () => {
    const { world, store } = await watchedWorld();
    const newest = store.watches.newest.bind(store.watches);
    let failures = 0;
    store.watches.newest = () => {
      failures += 1;
      return failures > 2 ? newest() : Promise.reject(new Error('no route to etcd'));
    };
    const { terminal, ended, shows } = await opened(world, 'map');
    await shows(/3 ranges, 7 used +live/);
    assert.ok(failures > 2);
    terminal.press('q');
    await ended;
  });

  test('nothing happens: little goes to the terminal', async () => {
    const { world } = await watchedWorld();
    const { terminal, ended, shows } = await opened(world, 'map');
    await shows(/live/);
    await sleep(50);
    const { bytes } = terminal;
    await sleep(100);
    assert.ok(terminal.bytes - bytes < 200, `${terminal.bytes - bytes} bytes`);
    terminal.press('q');
    await ended;
  });

  test('elsewhere, and where it is asked for, it is printed once', async () => {
    const { world } = await watchedWorld();
    for (const [isTerminal, term, command] of [
      [false, 'xterm', 'map'],
      [true, 'xterm', 'map --once'],
      [true, 'dumb', 'map'],
      [true, 'xterm', 'map -o json'],
    ] as const) {
      world.isTerminal = isTerminal;
      world.env['TERM'] = term;
      const { status, stdout } = await world.run(command);
      assert.deepEqual([status, stdout.includes('10.20.0.0/22')], [0, true], command);
    }
  });
});
