import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { GRPCDeadlineExceededError, GRPCFailedPreconditionError } from 'etcd3';
import { leaveOutSilent } from '../../../ipam/store/etcd/endpoints.ts';

const silence = new GRPCDeadlineExceededError('too late');

suite('endpoints of etcd that do not answer', () => {
  const start = (count: number, known: readonly number[] = []) => {
    const clock = { ms: 1_000 };
    const aside: { resolve: () => void; reject: (error: unknown) => void; index: number }[] = [];
    const changes: [index: number, isOut: boolean][] = [];
    const policy = leaveOutSilent({
      now: () => clock.ms,
      startsOut: (index) => known.includes(index),
      changed: (...change) => void changes.push(change),
      ask: (index) => new Promise((resolve, reject) => void aside.push({ resolve, reject, index })),
    });
    const endpoints = Array.from({ length: count }, () => policy());
    /** Sends a request to one endpoint. Tells whether the endpoint was asked. */
    const ask = async (index: number, answer: () => Promise<unknown>): Promise<boolean> => {
      let asked = false;
      await endpoints[index]
        ?.execute(() => {
          asked = true;
          return answer();
        })
        .catch(() => undefined);
      return asked;
    };
    return { clock, ask, aside, changes };
  };
  const fails = (): Promise<never> => Promise.reject(silence);
  const answers = (): Promise<string> => Promise.resolve('ok');

  test('one that did not answer is asked aside every 5 s, and back once it answers', async () => {
    const { clock, ask, aside } = start(3);
    assert.equal(await ask(0, fails), true);
    assert.equal(await ask(0, answers), false);
    assert.equal(await ask(1, answers), true);
    assert.equal(aside.length, 0);
    clock.ms += 5_000;
    for (let i = 0; i < 3; i++) assert.equal(await ask(0, answers), false);
    assert.deepEqual(
      aside.map(({ index }) => index),
      [0],
    );
    aside[0]?.reject(silence);
    await Promise.resolve();
    assert.equal(await ask(0, answers), false);
    clock.ms += 5_000;
    await ask(0, answers);
    aside[1]?.resolve();
    await Promise.resolve();
    assert.equal(await ask(0, answers), true);
    assert.equal(aside.length, 2);
  });

  test('an error of etcd to the question aside is an answer, unless it cannot serve', async () => {
    const { clock, ask, aside } = start(2);
    for (const { error, isBack } of [
      { error: new GRPCFailedPreconditionError('etcdserver: rpc not supported for learner'), isBack: false },
      { error: new Error('etcdserver: permission denied'), isBack: true },
    ]) {
      await ask(0, fails);
      clock.ms += 5_000;
      await ask(0, answers);
      aside.at(-1)?.reject(error);
      await Promise.resolve();
      await Promise.resolve();
      assert.equal(await ask(0, answers), isBack);
    }
  });

  test('an error of etcd itself is an answer', async () => {
    const { ask } = start(2);
    await ask(0, () => Promise.reject(new Error('etcdserver: no space')));
    assert.equal(await ask(0, answers), true);
  });

  test('when none answers, all are asked; so is the only one', async () => {
    for (const count of [1, 3]) {
      const { ask } = start(count);
      for (let index = 0; index < count; index++) await ask(index, fails);
      for (let index = 0; index < count; index++) assert.equal(await ask(index, fails), true);
    }
  });

  test('one that is known to be silent is out from the start, asked aside after 5 s, and told when back', async () => {
    const { clock, ask, aside, changes } = start(3, [1]);
    assert.equal(await ask(1, answers), false);
    assert.equal(await ask(0, answers), true);
    assert.equal(aside.length, 0);
    clock.ms += 5_000;
    await ask(1, answers);
    assert.equal(aside.length, 1);
    assert.deepEqual(changes, []);
    aside[0]?.resolve();
    await Promise.resolve();
    assert.equal(await ask(1, answers), true);
    assert.deepEqual(changes, [[1, false]]);
  });

  test('a change is told once; when all are known to be silent, all are asked', async () => {
    const { ask, changes } = start(2, [0, 1]);
    assert.equal(await ask(0, fails), true);
    assert.equal(await ask(1, answers), true);
    await ask(1, answers);
    assert.deepEqual(changes, [[1, false]]);
    await ask(1, fails);
    await ask(1, fails);
    assert.deepEqual(changes, [
      [1, false],
      [1, true],
    ]);
  });
});
