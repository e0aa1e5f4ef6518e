import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { judgeAdoption, watched, type Look, type Watched } from '../../../cnictl/node/adoption.ts';
import type { NameView } from '../../../ipam/node/name-records.ts';
import { aliveKey, encodeAliveRecord, type AliveRecord } from '../../../ipam/records/alive-record.ts';
import { encodeMachineRecord, machineKey, type MachineRecord } from '../../../ipam/records/machine-record.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { CliWorld } from '../../golden/world.ts';
import { machine, recordOf } from '../ipam/machines.ts';

const OLD = machine('old', { macs: ['02:00:00:00:00:0a'] });

suite('the decision to give a node name to another machine', () => {
  const SINCE = Date.parse('2026-01-01T00:00:00Z');
  const record = (generation: number, more: Partial<MachineRecord> = {}): MachineRecord => ({
    generation,
    mark: `mark-${generation}`,
    machine: OLD,
    ...more,
  });
  const look = (at: number, owner: MachineRecord | undefined, aliveOn?: string): Look => {
    const entry = { key: 'machines/n', value: owner ? encodeMachineRecord(owner) : '', revision: '1' };
    const alive: AliveRecord | undefined =
      aliveOn === undefined ? undefined : { machine: aliveOn, bootId: 'b', since: SINCE };
    const view: NameView = {
      node: 'n',
      owner: owner && { entry, record: owner },
      alive: alive && { entry, record: alive },
      problems: [],
    };
    return { view, at };
  };
  const after = (...looks: readonly Look[]): Watched => {
    const [first, ...others] = looks;
    assert.ok(first);
    return others.reduce((so, each) => watched(so, each, 'new'), watched(undefined, first, 'new'));
  };
  const kindOf = (...looks: readonly Look[]): string => judgeAdoption(after(...looks), 'new').kind;
  const whyOf = (...looks: readonly Look[]): string => {
    const verdict = judgeAdoption(after(...looks), 'new');
    return verdict.kind === 'may-live' ? verdict.why : '';
  };

  test('nothing happened for a minute: silent', () => {
    assert.equal(kindOf(look(0, record(7)), look(60_000, record(7))), 'silent');
    assert.equal(kindOf(look(0, record(7)), look(30_000, record(7)), look(60_000, record(7))), 'silent');
  });

  test('one look, or two that are too close, prove nothing', () => {
    assert.equal(kindOf(look(0, record(7))), 'may-live');
    assert.match(
      whyOf(look(0, record(7)), look(59_999, record(7))),
      /^machine old \(02:.*\) is silent under node name 'n' for only 59 s$/,
    );
  });

  test('a change begins the silence again, and is told', () => {
    const looks = [look(0, record(7)), look(30_000, record(9)), look(70_000, record(9))];
    assert.match(whyOf(...looks), /for only 40 s; it has changed its blocks 2 times meanwhile/);
    assert.equal(kindOf(...looks, look(90_000, record(9))), 'silent');
  });

  test('a record that has the same count but another mark has changed', () => {
    const other = record(7, { mark: 'other' });
    assert.equal(kindOf(look(0, record(7)), look(30_000, other), look(60_000, other)), 'may-live');
  });

  test('an agent that is alive is life; the silence begins when its key has ended', () => {
    assert.equal(
      whyOf(look(0, record(7)), look(60_000, record(7), 'old')),
      "machine old is alive under node name 'n' since 2026-01-01T00:00:00.000Z",
    );
    const ended = [look(0, record(7), 'old'), look(55_000, record(7)), look(60_000, record(7))];
    assert.equal(kindOf(...ended), 'may-live');
    assert.equal(kindOf(...ended, look(115_000, record(7))), 'silent');
    assert.equal(kindOf(look(0, record(7)), look(60_000, record(7), 'third')), 'may-live');
    assert.equal(kindOf(look(0, record(7)), look(60_000, record(7), 'new')), 'silent');
  });

  test('a name that has no machine, or has this one', () => {
    assert.equal(kindOf(look(0, undefined)), 'nothing');
    assert.equal(kindOf(look(0, record(7, { machine: machine('new') }))), 'already');
    assert.equal(kindOf(look(0, record(7, { adoptedBy: 'new' }))), 'already');
    assert.equal(kindOf(look(0, record(7, { machine: machine('new'), adoptedBy: 'third' }))), 'may-live');
  });
});

suite('node adopt', () => {
  const ADOPT = 'node adopt node-2 --machine 3f2a9c41d0b7';
  const [KEY, ALIVE] = [machineKey('node-2'), aliveKey('node-2')];
  const alive = (world: CliWorld): Promise<unknown> =>
    world.ipam.store.commit(
      [],
      [put(ALIVE, encodeAliveRecord({ machine: '77d1e0c3a915', bootId: 'b', since: world.ipam.now }))],
    );
  const write = (world: CliWorld): Promise<unknown> => {
    const record = recordOf(world.ipam, 'node-2');
    assert.ok(record);
    const next = { ...record, generation: record.generation + 1 };
    return world.ipam.store.commit([], [put(KEY, encodeMachineRecord(next))]);
  };

  test('waits until the old machine is silent, then gives the name away', async () => {
    const world = await CliWorld.make();
    await alive(world);
    world.meanwhile = () => {
      if (world.pauses.length === 3) world.ipam.store.entries.delete(ALIVE);
      return Promise.resolve();
    };
    const ran = await world.run(`${ADOPT} --yes`);
    assert.equal(ran.status, 0, ran.stderr);
    assert.match(ran.stderr, /node-2: machine 77d1e0c3a915 \(52:.*; agent alive since/);
    assert.match(ran.stdout, /node name 'node-2' is given to machine 3f2a9c41d0b7/);
    assert.equal(recordOf(world.ipam, 'node-2')?.adoptedBy, '3f2a9c41d0b7');
    assert.equal(
      world.pauses.reduce((sum, ms) => sum + ms, 0),
      75_000,
    );
    const again = await world.run(`${ADOPT} --yes -o json`);
    assert.equal(again.status, 0);
    assert.equal((JSON.parse(again.stdout) as { outcome: string }).outcome, 'already');
  });

  test('is refused when the old machine lives to the end of the wait', async () => {
    for (const shows of [alive, write]) {
      const world = await CliWorld.make();
      world.meanwhile = async () => {
        await shows(world);
      };
      const ran = await world.run(`${ADOPT} --yes --wait 65s`);
      assert.equal(ran.status, 2);
      assert.match(ran.stderr, /is alive under node name|has changed its blocks 13 times/);
      assert.match(ran.stderr, /nothing was changed\n {2}Stop the agent/);
      assert.equal(recordOf(world.ipam, 'node-2')?.adoptedBy, undefined);
    }
  });

  test('a write between the last look and the adoption keeps the name', async () => {
    const world = await CliWorld.make();
    world.meanwhile = () => {
      if (world.pauses.length < 12) return Promise.resolve();
      world.ipam.store.before = async (kind) => {
        if (kind !== 'commit') return;
        world.ipam.store.before = () => Promise.resolve();
        await write(world);
      };
      return Promise.resolve();
    };
    const ran = await world.run(`${ADOPT} --yes --wait 60s`);
    assert.equal(ran.status, 2, ran.stdout);
    assert.equal(recordOf(world.ipam, 'node-2')?.adoptedBy, undefined);
  });

  test('a dry run waits for nothing, changes nothing, and tells whether the old machine lives', async () => {
    const world = await CliWorld.make();
    const { revision } = world.ipam.store;
    const silent = await world.run(`${ADOPT} --dry-run`);
    assert.equal(silent.status, 0);
    assert.match(silent.stdout, /would be given to machine 3f2a9c41d0b7 if nothing happens under it for 1m/);
    assert.equal(world.ipam.store.revision, revision);
    await alive(world);
    const lives = await world.run(`${ADOPT} --dry-run`);
    assert.equal(lives.status, 2);
    assert.match(lives.stdout, /would not be given/);
    assert.deepEqual(world.pauses, []);
  });

  test('asks first', async () => {
    const world = await CliWorld.make();
    world.isTerminal = true;
    world.answers = ['n'];
    const ran = await world.run(ADOPT);
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /machine 77d1e0c3a915 \(52:.*\) is refused from then on\. Go on\?/);
    assert.equal(recordOf(world.ipam, 'node-2')?.adoptedBy, undefined);
  });

  const refused: [string, RegExp][] = [
    ['node adopt node-2 --machine a/b', /--machine 'a\/b': expected 1 to 64 letters/],
    [`${ADOPT} --wait 59s`, /--wait '59s': expected at least 1m/],
    [`${ADOPT} --wait soon`, /--wait 'soon': expected a duration/],
    ['node adopt node-9 --machine x --yes', /no machine has written under node name 'node-9'/],
    ['node adopt node-2', /--machine/],
  ];
  for (const [argv, message] of refused)
    test(`is refused: ${argv}`, async () => {
      const world = await CliWorld.make();
      const ran = await world.run(argv);
      assert.equal(ran.status, 2, ran.stdout);
      assert.match(ran.stderr, message);
    });

  test('a record that cannot be read is told and left alone', async () => {
    const world = await CliWorld.make();
    await world.ipam.store.commit([], [put(KEY, '{"v":9}')]);
    const ran = await world.run(`${ADOPT} --yes`);
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /'machines\/node-2'.*nothing was changed/);
    const listed = await world.run('node list');
    assert.equal(listed.status, 0);
    assert.match((await world.run('node show node-2')).stdout, /Amiss: .*machines\/node-2/);
  });
});
