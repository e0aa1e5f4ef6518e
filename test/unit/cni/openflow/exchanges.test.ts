import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { OpenFlowError } from '../../../../cni/openflow/errors.ts';
import { Exchanges } from '../../../../cni/openflow/exchanges.ts';
import { MESSAGE, type Message } from '../../../../cni/openflow/header.ts';

const reply = (type: number, xid: number, body = ''): Message => ({
  ...{ version: 6, type, xid },
  body: Buffer.from(body, 'hex'),
});
const barrier = (xid: number): Message => reply(MESSAGE.barrierReply, xid);
/** OFPGMFC_LOOP */
const loop = (xid: number): Message => reply(MESSAGE.error, xid, '00060007');

suite('Exchanges with a switch', () => {
  const silent = (): never => assert.fail('the switch is not silent');

  test('end with the answer to their last message, also when they overlap', async () => {
    const exchanges = new Exchanges(60_000, silent);
    const [a, b] = [exchanges.begin(10, 5, 15), exchanges.begin(16, 0, 16)];
    exchanges.receive(barrier(16));
    assert.deepEqual([a.isOver, b.isOver], [false, true]);
    exchanges.receive(barrier(12));
    assert.equal(a.isOver, false, 'an answer in between');
    exchanges.receive(barrier(15));
    assert.equal(exchanges.size, 0);
    await Promise.all([a.answered, b.answered]);
  });

  test('end with the first error, which names the change', async () => {
    const exchanges = new Exchanges(60_000, silent);
    const { answered } = exchanges.begin(10, 5, 15);
    exchanges.receive(loop(13));
    exchanges.receive(loop(11));
    exchanges.receive(barrier(15));
    await assert.rejects(answered, (error: OpenFlowError) => {
      assert.deepEqual([error.code, error.change], ['refused', 3]);
      assert.deepEqual(error.switchError, { type: 6, code: 7, name: 'OFPGMFC_LOOP' });
      return true;
    });
    const { answered: whole } = exchanges.begin(20, 2, 22);
    exchanges.receive(loop(22));
    await assert.rejects(whole, { code: 'refused', change: undefined });
  });

  test('collect an answer of several messages', async () => {
    const exchanges = new Exchanges(60_000, silent);
    const { answered } = exchanges.begin(1, 0, 1);
    exchanges.receive(reply(MESSAGE.multipartReply, 1, '0001000100000000'));
    exchanges.receive(reply(MESSAGE.multipartReply, 1, '0001000000000000'));
    assert.equal((await answered).length, 2);
  });

  test('wait as long as there is progress, and no longer', async () => {
    let isSilent = false;
    const exchanges = new Exchanges(200, () => (isSilent = true));
    const exchange = exchanges.begin(1, 1_000, 1_001);
    for (let i = 0; i < 6; i++) {
      await pause(80);
      exchanges.progress();
    }
    assert.equal(isSilent, false);
    await pause(500);
    assert.equal(isSilent, true);
    exchange.abandon();
    assert.equal(exchanges.size, 0);
  });

  test('are not waited for once they are over', async () => {
    const exchanges = new Exchanges(50, silent);
    exchanges.begin(1, 0, 1).abandon();
    await pause(150);
  });

  test('all fail with a connection that is lost', async () => {
    const exchanges = new Exchanges(60_000, silent);
    const all = [exchanges.begin(1, 0, 1), exchanges.begin(2, 0, 2)];
    exchanges.failAll(new OpenFlowError('connection-lost', 'gone'));
    for (const { answered } of all) await assert.rejects(answered, { code: 'connection-lost' });
  });
});
