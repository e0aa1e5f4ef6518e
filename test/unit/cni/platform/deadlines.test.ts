import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { OvsdbError } from '../../../../cni/ovsdb/errors.ts';
import { Deadlines } from '../../../../cni/platform/deadlines.ts';
import { IpamError } from '../../../../ipam/model/errors.ts';

const silent = new OvsdbError('timeout', 'did not answer');

suite('the deadlines of a call', () => {
  const clock = { now: 1_000 };
  const monotonic = (): number => clock.now;
  const expiry = (deadlines: Deadlines, server = 'etcd', withinMs = 5_000): Promise<number> =>
    deadlines.ask(server, withinMs, (expiresAt) => Promise.resolve(expiresAt - clock.now));
  const fail = (deadlines: Deadlines, server: string, error: Error): Promise<string> =>
    deadlines
      .ask(server, 5_000, () => Promise.reject(error))
      .then(
        () => 'done',
        (thrown: unknown) => (thrown === error ? 'this error' : 'another'),
      );

  test('a use has its own deadline, and ends with the call', async () => {
    const deadlines = new Deadlines(monotonic, 7_000);
    assert.equal(await expiry(deadlines), 5_000);
    clock.now += 4_000;
    assert.equal(await expiry(deadlines), 3_000);
    clock.now += 3_000;
    await assert.rejects(expiry(deadlines), { kind: 'try-again-later', message: /etcd was not asked/ });
  });

  test('a server that does not answer is asked once; others are asked all the same', async () => {
    const deadlines = new Deadlines(monotonic);
    assert.equal(await fail(deadlines, 'ovsdb', silent), 'this error');
    await assert.rejects(expiry(deadlines, 'ovsdb'), silent);
    assert.equal(await expiry(deadlines, 'etcd'), 5_000);
    assert.ok(deadlines.isSilent('ovsdb') && !deadlines.isSilent('etcd'));
  });

  for (const [what, error] of [
    ['a refusal', new OvsdbError('constraint violation', '', { refused: true })],
    ['a connection that was lost', new OvsdbError('connection-lost', '')],
    ['a port that vswitchd does not take up', new OvsdbError('port-timeout', '')],
    ['a full range', new IpamError('exhausted', '')],
  ] as const) {
    test(`${what} is no silence`, async () => {
      const deadlines = new Deadlines(monotonic);
      await fail(deadlines, 'server', error);
      assert.equal(await expiry(deadlines, 'server'), 5_000);
    });
  }

  test('a part of the call that ends early leaves the server its own deadline afterwards', async () => {
    const deadlines = new Deadlines(monotonic, 15_000);
    const part = deadlines.atMost(1_500);
    assert.equal(await expiry(part), 1_500);
    await fail(part, 'etcd', new IpamError('store-unreachable', ''));
    assert.ok(part.isSilent('etcd'));
    assert.equal(await expiry(deadlines), 5_000);
  });

  test('what was silent for its whole deadline in a part stays so in the call', async () => {
    const deadlines = new Deadlines(monotonic);
    await fail(deadlines.atMost(10_000), 'etcd', new IpamError('store-unreachable', ''));
    assert.ok(deadlines.isSilent('etcd'));
    assert.ok(deadlines.atMost(1_500).isSilent('etcd'));
  });

  test('work whose requests have deadlines of their own may go on until the call ends', async () => {
    const deadlines = new Deadlines(monotonic, 20_000);
    const left = await deadlines.ask('etcd', 5_000, (_, callExpiresAt) =>
      Promise.resolve(callExpiresAt - clock.now),
    );
    assert.equal(left, 20_000);
  });

  test('a request that the end of a part cut short is no silence of the whole call', async () => {
    const deadlines = new Deadlines(monotonic, 20_000);
    const part = deadlines.atMost(6_000);
    const cut = part.ask('etcd', 5_000, () => {
      clock.now += 6_000;
      return Promise.reject(new IpamError('store-unreachable', ''));
    });
    await assert.rejects(cut, { code: 'store-unreachable' });
    assert.ok(part.isSilent('etcd'));
    assert.equal(await expiry(deadlines), 5_000);
  });

  test('an undo has its time whatever is left; a delegate does not use up that of the call', async () => {
    const deadlines = new Deadlines(monotonic, 1_000);
    await deadlines.exclude(() => {
      clock.now += 60_000;
      return Promise.resolve();
    });
    assert.equal(await expiry(deadlines), 1_000);
    clock.now += 2_000;
    assert.ok(deadlines.passed);
    deadlines.extend(5_000);
    assert.equal(await expiry(deadlines), 5_000);
  });
});
