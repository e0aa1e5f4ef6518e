import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { troubleOf } from '../../../../cni/agent/name-trouble.ts';
import { Presence } from '../../../../cni/agent/presence.ts';
import { isReportDue, selfReport, type SelfKnown } from '../../../../cni/agent/self-report.ts';
import type { Log } from '../../../../cni/platform/platform.ts';
import type { Effects } from '../../../../ipam/model/effects.ts';
import type { Machine } from '../../../../ipam/model/machine.ts';
import type { AgentReport } from '../../../../ipam/records/agent-report.ts';
import { aliveKey, decodeAliveRecord, encodeAliveRecord } from '../../../../ipam/records/alive-record.ts';
import { encodeMachineRecord, machineKey } from '../../../../ipam/records/machine-record.ts';
import { put } from '../../../../ipam/records/transaction.ts';
import { MemoryLeases } from '../../../support/memory-leases.ts';
import { machine } from '../../ipam/machines.ts';

const [A, B] = [machine('aaa', { machineId: 'a' }), machine('bbb', { machineId: 'b' })];
const SINCE = Date.parse('2026-01-01T00:00:00Z');

const WELL: Omit<SelfKnown, 'now'> = {
  version: '0.2.0',
  plugin: undefined,
  health: { ok: true, reasons: [] },
  calls: { served: 0, failed: 0 },
  pending: () => 0,
};

/** An agent on a machine, whose timers the test runs. */
class Agent {
  readonly lines: string[] = [];
  readonly presence: Presence;
  /** The delay of the timer that waits, in milliseconds. */
  waits: number | undefined;
  #work: (() => void) | undefined;

  reconciles = true;
  /** The monotonic clock, in milliseconds. */
  at = 0;
  /** What the agent tells of itself; undefined: nothing, as in the simulator. */
  known: Partial<SelfKnown> | undefined;

  constructor(store: MemoryLeases, self: Machine, since = SINCE, known?: Partial<SelfKnown>) {
    this.known = known;
    const say =
      (level: string) =>
      (message: string): void =>
        void this.lines.push(`${level}: ${message}`);
    const log: Log = { info: say('info'), warn: say('warn'), error: say('error') };
    const effects: Effects = {
      now: () => SINCE,
      monotonic: () => this.at,
      random: () => 0.5,
      pause: () => new Promise(() => undefined),
      yieldTurn: () => Promise.resolve(),
      schedule: (ms, work) => {
        [this.waits, this.#work] = [ms, work];
        return { cancel: () => ([this.waits, this.#work] = [undefined, undefined]) };
      },
    };
    const local = { machine: self, bootId: `boot-${self.id}` };
    this.presence = new Presence({
      store,
      effects,
      local,
      log,
      since,
      reconciles: () => this.reconciles,
      ...(known && { report: () => selfReport({ ...WELL, ...this.known, now: SINCE + this.at }) }),
    });
    this.presence.announce('n');
  }

  /** Runs the timer that waits, to the end of its work. */
  async look(): Promise<void> {
    const work = this.#work;
    assert.ok(work, 'no timer waits');
    this.#work = undefined;
    work();
    for (let i = 0; i < 10; i++) await turn();
  }
}

const aliveIn = (store: MemoryLeases): string | undefined => {
  const entry = store.entries.get(aliveKey('n'));
  return entry && decodeAliveRecord(entry.key, entry.value).machine;
};
const owned = async (store: MemoryLeases, by: Machine): Promise<void> => {
  const value = encodeMachineRecord({ generation: 1, mark: `by ${by.id}`, machine: by });
  await store.commit([], [put(machineKey('n'), value)]);
};

suite('the agent tells that it is alive', () => {
  test('one write, then keep-alives that write nothing', async () => {
    const store = new MemoryLeases();
    const agent = new Agent(store, A);
    assert.equal(agent.waits, 0);
    await agent.look();
    assert.equal(
      store.entries.get('alive/n')?.value,
      '{"v":1,"machine":"aaa","bootId":"boot-aaa","since":"2026-01-01T00:00:00.000Z"}',
    );
    const { revision } = store;
    for (let i = 0; i < 5; i++) {
      assert.equal(agent.waits, 20_000);
      await agent.look();
    }
    assert.equal(store.revision, revision);
    assert.deepEqual(store.asked, ['grant', ...Array.from({ length: 5 }, () => 'keepAlive')]);
    assert.deepEqual(agent.lines, []);
  });

  test('it writes again what etcd lost: the lease, the key, or all of it', async () => {
    const store = new MemoryLeases();
    const agent = new Agent(store, A);
    await agent.look();
    const losses: (() => void)[] = [
      () => store.end('1'),
      () => store.entries.delete('alive/n'),
      () => {
        store.entries.clear();
        store.held.clear();
      },
    ];
    for (const lose of losses) {
      lose();
      await agent.look();
      assert.equal(aliveIn(store), 'aaa');
    }
  });

  test('an etcd that fails is tried again soon, told once, and breaks nothing', async () => {
    const store = new MemoryLeases();
    const agent = new Agent(store, A);
    await agent.look();
    store.before = () => Promise.reject(new Error('away'));
    const waits: (number | undefined)[] = [];
    for (let i = 0; i < 7; i++) {
      await agent.look();
      waits.push(agent.waits);
    }
    assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
    store.before = () => Promise.resolve();
    await agent.look();
    assert.equal(aliveIn(store), 'aaa');
    assert.deepEqual(agent.lines, ['info: etcd cannot be told that this agent is alive: tried again']);
  });

  test('at its end it deletes the key; after a reload the key goes on under a new lease', async () => {
    const store = new MemoryLeases();
    const agent = new Agent(store, A);
    await agent.look();
    agent.presence.stop();
    const reloaded = new Agent(store, A);
    await reloaded.look();
    store.end('1');
    assert.equal(aliveIn(store), 'aaa');
    await reloaded.presence.withdraw();
    assert.equal(aliveIn(store), undefined);
    assert.equal(reloaded.waits, undefined);
  });

  test('an etcd that is away does not hold up the end of the agent', async () => {
    const store = new MemoryLeases();
    const agent = new Agent(store, A);
    await agent.look();
    store.before = () => Promise.reject(new Error('away'));
    await agent.presence.withdraw();
    assert.equal(aliveIn(store), 'aaa', 'it ends by itself');
  });

  test('under the name of another machine it tells nothing to etcd, and the log once', async () => {
    const store = new MemoryLeases();
    await owned(store, A);
    const second = new Agent(store, B);
    for (let i = 0; i < 3; i++) await second.look();
    assert.equal(aliveIn(store), undefined);
    assert.deepEqual(second.lines, [
      "error: node name 'n' belongs to machine aaa (a); this is machine bbb (b)",
    ]);
    await owned(store, B);
    await second.look();
    assert.equal(aliveIn(store), 'bbb');
    assert.equal(second.lines.at(-1), 'info: this machine has its node name');
  });

  test('two agents before the first write: the second is told; the key goes to the one that writes', async () => {
    const store = new MemoryLeases();
    const [first, second] = [new Agent(store, A), new Agent(store, B)];
    await first.look();
    await second.look();
    assert.equal(aliveIn(store), 'aaa');
    assert.match(second.lines.join(), /^error: machine aaa is alive under node name 'n' since 2026-.*bbb/);
    await owned(store, B);
    await first.look();
    assert.match(first.lines.join(), /^error: node name 'n' belongs to machine bbb/);
    assert.equal(aliveIn(store), undefined);
    await second.look();
    assert.equal(aliveIn(store), 'bbb');
  });

  test('a record that cannot be read is left alone', async () => {
    const store = new MemoryLeases();
    await store.commit([], [put('alive/n', '{"v":2}')]);
    const agent = new Agent(store, A);
    await agent.look();
    assert.equal(store.entries.get('alive/n')?.value, '{"v":2}');
    assert.equal(agent.lines.length, 1);
  });
});

test('a machine whose ID has changed with its network cards is no other machine', () => {
  const before = machine('old', { macs: ['02::1', '02::2'] });
  const now = machine('new', { macs: ['02::1', '02::3'] });
  const alive = { machine: 'old', bootId: 'b', since: SINCE };
  const record = { generation: 1, mark: 'm', machine: before };
  assert.equal(troubleOf('n', now, record, alive), undefined);
  assert.ok(troubleOf('n', now, undefined, alive));
});

test('the record keeps fields of a later version', () => {
  const text = '{"v":1,"machine":"a","bootId":"b","since":"2026-01-01T00:00:00.000Z","more":1}';
  assert.equal(encodeAliveRecord(decodeAliveRecord('alive/n', text)), text);
  assert.throws(() => decodeAliveRecord('alive/n', '{"v":1}'), /'alive\/n'.*machine/);
});

suite('what the agent tells of itself', () => {
  const told = (store: MemoryLeases): AgentReport | undefined => {
    const entry = store.entries.get(aliveKey('n'));
    return entry && decodeAliveRecord(entry.key, entry.value).agent;
  };

  test('it is in the key from the first write on, under the same lease', async () => {
    const store = new MemoryLeases();
    const agent = new Agent(store, A, SINCE, { plugin: '0.1.0', calls: { served: 3, failed: 1 } });
    await agent.look();
    assert.deepEqual(told(store), {
      version: '0.2.0',
      plugin: '0.1.0',
      healthy: true,
      reasons: [],
      calls: { served: 3, failed: 1 },
      pending: 0,
      reads: { ranges: 2, blocks: 2, rules: 3 },
      at: SINCE,
    });
    agent.at = 60_000;
    agent.known = { health: { ok: false, reasons: ['etcd at http://me:secret@e:2379 fails'] } };
    await agent.look();
    assert.deepEqual(told(store)?.reasons, ['etcd at http://e:2379 fails']);
    assert.equal(told(store)?.healthy, false);
    assert.deepEqual(store.asked, ['grant', 'keepAlive']);
    store.end('1');
    assert.equal(told(store), undefined, 'the second write has the lease too');
  });

  test('it is written seldom: what matters once a minute, counts each five, and nothing when idle', async () => {
    const store = new MemoryLeases();
    const agent = new Agent(store, A, SINCE, {});
    const writes = async (
      seconds: number,
      change: (second: number) => Partial<SelfKnown>,
    ): Promise<number> => {
      const { revision } = store;
      for (let second = 0; second < seconds; second += 20) {
        agent.at += 20_000;
        agent.known = change(second);
        await agent.look();
      }
      return Number(store.revision - revision);
    };
    await agent.look();
    assert.equal(await writes(3_600, () => ({})), 0);
    assert.equal(await writes(3_600, (second) => ({ calls: { served: second + 1, failed: 0 } })), 12);
    const flapping = await writes(3_600, (second) => ({
      health: { ok: second % 40 === 0, reasons: [] },
      calls: { served: second + 1, failed: 0 },
    }));
    assert.ok(flapping > 20 && flapping <= 60, `${flapping} writes in an hour`);
  });

  test('a folder that cannot be counted is left out, and long reasons are cut', () => {
    const long = 'x'.repeat(1_000);
    const report = selfReport({
      ...WELL,
      health: { ok: false, reasons: [long, long, long, long] },
      pending: () => {
        throw new Error('no such folder');
      },
      now: SINCE,
    });
    assert.equal(report.pending, undefined);
    assert.deepEqual(
      report.reasons.map(({ length }) => length),
      [200, 200, 200],
    );
    assert.equal(isReportDue(undefined, { report, at: 0 }), true);
  });

  test('an agent of an earlier release keeps it as it is', () => {
    const text =
      '{"v":1,"machine":"a","bootId":"b","since":"2026-01-01T00:00:00.000Z","agent":{"version":"0.3.0","healthy":true,"calls":{"served":1,"failed":0,"more":2},"reads":{"ranges":2,"blocks":2,"rules":3,"maps":1},"new":true,"at":"2026-01-01T00:00:00.000Z"}}';
    const record = decodeAliveRecord('alive/n', text);
    assert.deepEqual(JSON.parse(encodeAliveRecord(record)), JSON.parse(text));
  });
});
