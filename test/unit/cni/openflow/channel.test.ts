import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Channel } from '../../../../cni/openflow/channel.ts';
import type { OpenFlowError } from '../../../../cni/openflow/errors.ts';
import { newScope } from '../../../support/netns.ts';

const message = (type: number, xid: number, body = '', version = 6): Buffer => {
  const bytes = Buffer.from(body, 'hex');
  const header = Buffer.from([version, type, 0, 8 + bytes.length, 0, 0, 0, xid]);
  return Buffer.concat([header, bytes]);
};
const HELLO = message(0, 1);
const BARRIER_REPLY = message(21, 4);

interface FakeSwitch {
  readonly channel: Channel;
  readonly peer: Socket;
  /** What the channel has written, as hexadecimal digits. */
  readonly written: () => string;
  readonly lost: OpenFlowError[];
}

/** Makes a switch that answers a connection with the bytes. */
const connectTo = async (t: TestContext, answer: Buffer, deadlineMs = 5_000): Promise<FakeSwitch> => {
  const path = join(await newScope(t).tempDir(), 'br-f.mgmt');
  const peers: Socket[] = [];
  let written = '';
  const server = createServer((peer) => {
    peers.push(peer);
    peer.on('data', (bytes) => (written += bytes.toString('hex')));
    peer.on('error', () => undefined);
    peer.write(answer);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    for (const peer of peers) peer.destroy();
    server.close();
  });
  const lost: OpenFlowError[] = [];
  const channel = await Channel.connect(path, { deadlineMs, onLost: (error) => void lost.push(error) });
  t.after(() => channel.close());
  return { channel, peer: peers[0] ?? assert.fail(), written: () => written, lost };
};

suite('A channel to a switch', () => {
  test('answers its echo requests', async (t) => {
    const { peer, written } = await connectTo(t, Buffer.concat([HELLO, BARRIER_REPLY]));
    peer.write(message(2, 9, 'abcdef'));
    await pause(50);
    assert.ok(written().endsWith(message(3, 9, 'abcdef').toString('hex')), written());
  });

  test('ends with `protocol` when the switch sends what is no message', async (t) => {
    const { channel, peer, lost } = await connectTo(t, Buffer.concat([HELLO, BARRIER_REPLY]));
    const answered = channel.ask(7, 0, 7, message(20, 7));
    peer.write(Buffer.from([6, 21, 0, 7, 0, 0, 0, 7]));
    await assert.rejects(answered, { code: 'protocol', message: /a message of 7 bytes: expected 8 or more/ });
    assert.deepEqual(lost, [channel.lost]);
    await assert.rejects(channel.ask(8, 0, 8, message(20, 8)), { code: 'protocol' });
  });

  test('ends with `protocol` when an answer cannot be read', async (t) => {
    const { channel, lost } = await connectTo(t, Buffer.concat([HELLO, BARRIER_REPLY]));
    const unreadable = (): never => Buffer.alloc(0).readUInt8(0) as never;
    assert.throws(() => channel.decode(unreadable), { code: 'protocol' });
    assert.equal(lost.length, 1);
  });

  test('knows the versions of the switch by its bitmap, or else by the header of its hello', async (t) => {
    const bitmap = (versions: string): Buffer => message(0, 1, `00010008${versions}`, 6);
    await connectTo(t, Buffer.concat([bitmap('00000040'), BARRIER_REPLY]));
    for (const other of [bitmap('00000012'), message(0, 1, '', 5), message(1, 1, '00000000')])
      await assert.rejects(connectTo(t, other), {
        ...{ code: 'protocol', message: /does not speak OpenFlow 1.5/ },
        remedy: /ovs-vsctl add bridge br-f protocols OpenFlow15/,
      });
  });

  test('does not wait for a switch that says nothing', async (t) => {
    await assert.rejects(connectTo(t, HELLO, 100), { code: 'timeout' });
  });

  test('is not lost when its user closes it', async (t) => {
    const { channel, lost } = await connectTo(t, Buffer.concat([HELLO, BARRIER_REPLY]));
    const answered = channel.ask(7, 0, 7, message(20, 7));
    channel.close();
    await assert.rejects(answered, { code: 'connection-lost' });
    assert.deepEqual(lost, []);
  });
});
