import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Turns } from '../../../../cni/host/turns.ts';

/** Turns whose timers the test fires, and work that it ends. */
function world(most: number): {
  readonly turns: Turns;
  readonly log: string[];
  readonly run: (name: string) => { readonly end: (error?: Error) => void; readonly done: Promise<string> };
  readonly timeOut: () => void;
} {
  const timers = new Set<() => void>();
  const schedule = (_: number, work: () => void): { cancel: () => void } => {
    timers.add(work);
    return { cancel: () => void timers.delete(work) };
  };
  const log: string[] = [];
  const turns = new Turns({ waitMs: 5_000, most }, { schedule }, (why) => new Error(why));
  return {
    turns,
    log,
    run: (name) => {
      let end: (error?: Error) => void = () => undefined;
      const work = new Promise<string>((resolve, reject) => {
        end = (error) => (error ? reject(error) : resolve(name));
      });
      work.catch(() => undefined);
      const done = turns.run(() => {
        log.push(name);
        return work;
      });
      return { end: (error) => end(error), done: done.catch((error: unknown) => (error as Error).message) };
    },
    timeOut: () => {
      for (const fire of timers) fire();
      timers.clear();
    },
  };
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

suite('turns', () => {
  test('come in order, one at a time, also after work that failed', async () => {
    const { turns, log, run } = world(10);
    const [a, b, c] = [run('a'), run('b'), run('c')];
    await settled();
    assert.deepEqual(log, ['a']);
    a.end(new Error('failed'));
    assert.equal(await a.done, 'failed');
    await settled();
    assert.deepEqual(log, ['a', 'b']);
    b.end();
    c.end();
    assert.deepEqual(await Promise.all([b.done, c.done]), ['b', 'c']);
    assert.ok(turns.idle);
  });

  test('behind work that does not end are refused in time, and the work is not begun later', async () => {
    const { turns, log, run, timeOut } = world(10);
    const [stuck, late] = [run('stuck'), run('late')];
    await settled();
    timeOut();
    assert.equal(await late.done, 'none came within 5 s');
    stuck.end();
    assert.equal(await stuck.done, 'stuck');
    await settled();
    assert.deepEqual(log, ['stuck']);
    assert.ok(turns.idle);
  });

  test('are bounded in number', async () => {
    const { run } = world(2);
    const running = run('running');
    await settled();
    const waiting = [run('a'), run('b')];
    assert.equal(await run('c').done, '2 wait already');
    for (const each of [running, ...waiting]) each.end();
    assert.deepEqual(await Promise.all(waiting.map(({ done }) => done)), ['a', 'b']);
  });

  test('are idle as soon as the last caller has its result', async () => {
    const { turns, run } = world(2);
    const { end, done } = run('a');
    end();
    await done.then(() => assert.ok(turns.idle));
  });
});
