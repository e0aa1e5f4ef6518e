import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reflection } from '../../../../cni/kube/watches.ts';
import { Backoff } from '../../../../cni/kube/backoff.ts';
import { KubeError, type KubeErrorCode } from '../../../../cni/kube/errors.ts';
import { reflect } from '../../../../cni/kube/reflector.ts';
import type { Snapshot, WatchRequest } from '../../../../cni/kube/source.ts';
import { decodeEvent, type Entry } from '../../../../cni/kube/watch-event.ts';

interface Item {
  readonly uid: string;
}

test('pauses double up to 30 s, and begin again after two quiet minutes', () => {
  const clock = { now: 0 };
  const backoff = new Backoff({ monotonic: () => clock.now, random: () => 0 });
  const error = new KubeError('unreachable', 'x');
  const next = (quietMs: number): number => {
    clock.now += quietMs;
    return backoff.nextMs(error);
  };
  const pauses = Array.from({ length: 8 }, () => next(60_000));
  assert.deepEqual(pauses, [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(next(120_000), 30_000);
  assert.equal(next(120_001), 800);
  const jittered = new Backoff({ monotonic: () => 0, random: () => 0.999 });
  assert.equal(Math.round(jittered.nextMs(error)), 1599);
});

test('pauses after a refusal, and those that the server asks for', () => {
  const first = (code: KubeErrorCode, retryAfterMs?: number): number =>
    new Backoff({ monotonic: () => 0, random: () => 0 }).nextMs(new KubeError(code, 'x', { retryAfterMs }));
  assert.deepEqual([first('unauthorized'), first('forbidden')], [30_000, 30_000]);
  assert.deepEqual([first('unavailable', 5000), first('unavailable', 100)], [5000, 800]);
  assert.equal(first('unavailable', 86_400_000), 120_000);
});

/** Runs a reflector over a source that the test plays. Timers end at once. */
function play(t: { after: (end: () => void) => void }) {
  const log: string[] = [];
  const watches: (WatchRequest<Item> & { end: (how: 'ended' | 'silent' | Error) => void })[] = [];
  const lists: Snapshot<Item>[] = [];
  const sink = { fails: false };
  const say = (text: string): void => void log.push(text);
  const clock = { now: 0 };
  const reflection: Reflection = reflect<Item>(
    {
      name: 'things',
      list: () => {
        const next = lists.shift() ?? { version: '9', entries: [] };
        return Promise.resolve(next);
      },
      watch: (request) =>
        new Promise((resolve, reject) => {
          const end = (how: 'ended' | 'silent' | Error): void =>
            how instanceof Error ? reject(how) : resolve(how);
          watches.push({ ...request, end });
        }),
    },
    {
      replaceAll: (items) => say(`= ${[...items.keys()].join()}`),
      put: (key) => {
        if (sink.fails) throw new Error('the sink is broken');
        say(`+ ${key}`);
      },
      remove: (key) => say(`- ${key}`),
    },
    {
      onTrouble: (text) => say(`trouble: ${text}`),
      onWell: () => say('well'),
      onBad: (key) => say(`bad ${key}`),
    },
    {
      monotonic: () => clock.now,
      random: () => 0.5,
      schedule: (_ms, work) => {
        const timer = setImmediate(work);
        return { cancel: () => clearImmediate(timer) };
      },
    },
  );
  t.after(() => reflection.close());
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  return { log, watches, lists, sink, clock, reflection, turns };
}

const entry = (name: string, uid = name): Entry<Item> => ({ key: `a/${name}`, uid, item: { uid } });

test('a watch gets 7.5 minutes at a random number of 0.5', async (t) => {
  const { watches, turns } = play(t);
  await turns();
  assert.deepEqual([watches[0]?.version, watches[0]?.lifeMs], ['9', 450_000]);
});

test('each event moves the version on; a silent watch is no trouble', async (t) => {
  const { log, watches, turns } = play(t);
  await turns();
  watches[0]?.onOpen();
  watches[0]?.onEvent({ kind: 'put', version: '10', entry: entry('x') });
  watches[0]?.onEvent({ kind: 'bookmark', version: '20' });
  watches[0]?.end('silent');
  await turns();
  assert.equal(watches[1]?.version, '20');
  watches[1].onEvent({ kind: 'remove', version: '21', key: 'a/unknown' });
  watches[1].onEvent({ kind: 'remove', version: '22', key: 'a/x' });
  assert.deepEqual(log, ['= ', '+ a/x', 'well', '- a/x']);
});

test('a sink that throws is told, and the collection is listed again', async (t) => {
  const { log, watches, sink, turns } = play(t);
  await turns();
  sink.fails = true;
  const [watch] = watches;
  assert.throws(() => watch?.onEvent({ kind: 'put', version: '10', entry: entry('x') }), /broken/);
  watch?.end(new Error('the sink is broken'));
  await turns();
  assert.deepEqual(log, ['= ', 'trouble: the sink is broken', '= ']);
  assert.equal(watches[1]?.version, '9');
});

for (const [code, again] of [
  ['unreachable', false],
  ['unavailable', false],
  ['unauthorized', false],
  ['forbidden', false],
  ['tls', false],
  ['credentials', false],
  ['expired', true],
  ['malformed', true],
  ['refused', true],
] as const) {
  test(`${code}: ${again ? 'lists again' : 'watches on from the last version'}`, async (t) => {
    const { log, watches, turns } = play(t);
    await turns();
    watches[0]?.onEvent({ kind: 'bookmark', version: '20' });
    watches[0]?.end(new KubeError(code, 'x'));
    await turns();
    assert.equal(watches[1]?.version, again ? '9' : '20');
    assert.equal(log.includes('trouble: x'), code !== 'expired');
  });
}

test('nothing reaches the sink after close', async (t) => {
  const { log, watches, reflection, turns } = play(t);
  await turns();
  reflection.close();
  assert.equal(watches[0]?.signal.aborted, true);
  watches[0].onEvent({ kind: 'put', version: '10', entry: entry('x') });
  watches[0].end('ended');
  await turns();
  assert.deepEqual(log, ['= ']);
  assert.equal(watches.length, 1);
});

test('events of a watch', () => {
  const decode = (object: unknown): Entry<unknown> => ({ key: 'a/x', uid: 'u', item: object });
  const event = (type: string, object: unknown) => decodeEvent(JSON.stringify({ type, object }), decode);
  const object = { metadata: { resourceVersion: '7' } };
  assert.deepEqual(event('ADDED', object), {
    kind: 'put',
    version: '7',
    entry: { key: 'a/x', uid: 'u', item: object },
  });
  assert.equal(event('MODIFIED', object).kind, 'put');
  assert.deepEqual(event('DELETED', object), { kind: 'remove', version: '7', key: 'a/x' });
  assert.deepEqual(event('BOOKMARK', object), { kind: 'bookmark', version: '7' });
  const code = (status: unknown): unknown => {
    const told = event('ERROR', status);
    return told.kind === 'error' ? told.code : undefined;
  };
  assert.equal(code({ kind: 'Status', code: 500 }), 500);
  assert.equal(code({ kind: 'Status', code: 400, reason: 'Gone' }), 410);
  assert.equal(code({ kind: 'Status', code: 504, reason: 'Timeout' }), 504);
  assert.deepEqual([code({}), code(null)], [500, 500]);
  for (const [type, value] of [
    ['ADDED', {}],
    ['ADDED', null],
    ['BOOKMARK', { metadata: { resourceVersion: '' } }],
    ['OTHER', object],
  ] as const)
    assert.throws(() => event(type, value));
  assert.throws(() => decodeEvent('[', decode), SyntaxError);
});
