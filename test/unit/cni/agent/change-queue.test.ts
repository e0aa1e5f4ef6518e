import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ChangeQueue } from '../../../../cni/agent/change-queue.ts';
import { OvsdbError } from '../../../../cni/ovsdb/errors.ts';
import type { Operation } from '../../../../cni/ovsdb/protocol.ts';

const silence = new OvsdbError('timeout', 'did not answer');
const refusal = new OvsdbError('constraint violation', 'refused', { operation: 0, refused: true });

/** A database that answers as `answer` says, and a clock. It records each transaction. */
function world(answer: (comments: readonly string[]) => Error | undefined): {
  readonly sent: string[][];
  readonly clock: { now: number };
  readonly commit: (name: string, expiresAt?: number) => Promise<string>;
} {
  const sent: string[][] = [];
  const clock = { now: 0 };
  const transact = async (operations: readonly Operation[]): Promise<void> => {
    const comments = operations.map((each) => (each.op === 'comment' ? each.comment : ''));
    sent.push(comments);
    await Promise.resolve();
    const error = answer(comments);
    if (error) throw error;
  };
  const queue = new ChangeQueue(transact, { monotonic: () => clock.now });
  const commit = (name: string, expiresAt = 100): Promise<string> =>
    queue
      .commit(() => [{ op: 'comment', comment: name }], expiresAt)
      .then(
        () => 'done',
        (error: unknown) => (error instanceof OvsdbError ? error.code : 'odd'),
      );
  return { sent, clock, commit };
}

suite('changes of concurrent callers', () => {
  test('share a transaction; those that come meanwhile share the next', async () => {
    const { sent, commit } = world(() => undefined);
    const first = [commit('a'), commit('b')];
    await Promise.resolve();
    await Promise.resolve();
    const outcomes = await Promise.all([...first, commit('c'), commit('d')]);
    assert.deepEqual(outcomes, ['done', 'done', 'done', 'done']);
    assert.deepEqual(sent, [
      ['a', 'b'],
      ['c', 'd'],
    ]);
  });

  test('one that the database refuses fails alone', async () => {
    const { sent, commit } = world((comments) => (comments.includes('bad') ? refusal : undefined));
    const outcomes = await Promise.all(['a', 'bad', 'b'].map((name) => commit(name)));
    assert.deepEqual(outcomes, ['done', 'constraint violation', 'done']);
    assert.deepEqual(sent, [['a', 'bad', 'b'], ['a'], ['bad'], ['b']]);
  });

  for (const code of ['timeout', 'connection-lost'] as const) {
    test(`after ${code} nothing is sent again: the database may have carried out all of it`, async () => {
      const { sent, commit } = world(() => new OvsdbError(code, ''));
      assert.deepEqual(await Promise.all(['a', 'b', 'c'].map((name) => commit(name))), [code, code, code]);
      assert.equal(sent.length, 1);
    });
  }

  test('a database that falls silent in the middle of a split is waited for once more, not once for each', async () => {
    const { sent, commit } = world((comments) => (comments.length > 1 ? refusal : silence));
    const outcomes = await Promise.all(['a', 'b', 'c'].map((name) => commit(name)));
    assert.deepEqual(outcomes, ['timeout', 'timeout', 'timeout']);
    assert.deepEqual(sent, [['a', 'b', 'c'], ['a']]);
  });

  test('one whose caller has given up is not sent any more', async () => {
    const { sent, clock, commit } = world(() => undefined);
    const first = commit('a');
    await Promise.resolve();
    await Promise.resolve();
    const late = [commit('late', 10), commit('b', 30)];
    clock.now = 20;
    assert.deepEqual(await Promise.all([first, ...late]), ['done', 'timeout', 'done']);
    assert.deepEqual(sent, [['a'], ['b']]);
  });

  test('more than 1,000 that wait are refused at once', async () => {
    const { commit } = world(() => undefined);
    const outcomes = await Promise.all(Array.from({ length: 1_002 }, (_, i) => commit(`${i}`)));
    assert.equal(outcomes.filter((each) => each === 'busy').length, 2);
  });
});
