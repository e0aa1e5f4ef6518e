import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { GRPCDeadlineExceededError } from 'etcd3';
import { leaveOutSilent } from '../../../ipam/store/etcd/endpoints.ts';

const silence = new GRPCDeadlineExceededError('too late');

suite('endpoints of etcd that do not answer', () => {
  const start = (count: number) => {
    const clock = { ms: 1_000 };
    const policy = leaveOutSilent(() => clock.ms);
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
    return { clock, ask };
  };
  const fails = (): Promise<never> => Promise.reject(silence);
  const answers = (): Promise<string> => Promise.resolve('ok');

  test('one that did not answer is left out for 30 s; then a single request asks it', async () => {
    const { clock, ask } = start(3);
    assert.equal(await ask(0, fails), true);
    assert.equal(await ask(0, answers), false);
    assert.equal(await ask(1, answers), true);
    clock.ms += 30_001;
    let end: (() => void) | undefined;
    const probe = ask(0, () => new Promise<void>((resolve) => (end = resolve)));
    assert.equal(await ask(0, answers), false);
    end?.();
    assert.equal(await probe, true);
    assert.equal(await ask(0, answers), true);
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
});
