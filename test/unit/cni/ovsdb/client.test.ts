import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { OvsdbClient } from '../../../../cni/ovsdb/client.ts';
import type { OvsdbError } from '../../../../cni/ovsdb/errors.ts';
import { JsonFraming } from '../../../../cni/ovsdb/framing.ts';
import { sleep, until } from '../../../support/proc.ts';

const SILENT_AFTER_MS = 150;

interface Message {
  readonly id: unknown;
  readonly method?: string;
  readonly result?: unknown;
}

/** A server that answers each message as `answer` says, or not at all. */
async function world(
  t: TestContext,
  answer: (message: Message) => object | undefined,
): Promise<{ client: OvsdbClient; received: Message[]; peers: Socket[] }> {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
  const received: Message[] = [];
  const peers: Socket[] = [];
  const server = createServer((socket) => {
    peers.push(socket);
    const framing = new JsonFraming();
    socket.on('data', (chunk) => {
      for (const message of framing.push(chunk).map((text) => JSON.parse(text) as Message)) {
        received.push(message);
        const reply = answer(message);
        if (reply) socket.write(JSON.stringify({ id: message.id, error: null, ...reply }));
      }
    });
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(join(dir, 's'), resolve));
  const client = await OvsdbClient.connect(`unix:${join(dir, 's')}`, { deadlineMs: SILENT_AFTER_MS });
  t.after(() => {
    client.close();
    server.close();
    peers.forEach((peer) => peer.destroy());
    rmSync(dir, { recursive: true });
  });
  return { client, received, peers };
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error as OvsdbError).code,
  );
const soon = (ms: number): number => performance.now() + ms;

suite('the client of an OVSDB server', () => {
  test('one unanswered request ends the connection: whatever waits on it is told, and nothing more is sent', async (t) => {
    const { client, received, peers } = await world(t, () => undefined);
    const lost: OvsdbError[] = [];
    client.onLost((error) => lost.push(error));
    const began = performance.now();
    const first = codeOf(client.transact([]));
    await sleep(SILENT_AFTER_MS / 2);
    const second = codeOf(client.transact([]));
    assert.deepEqual(await Promise.all([first, second]), ['timeout', 'timeout']);
    assert.ok(performance.now() - began < SILENT_AFTER_MS * 1.6, 'the second has no deadline of its own');
    assert.deepEqual(
      lost.map(({ code }) => code),
      ['timeout'],
    );
    await assert.rejects(client.transact([]), { code: 'timeout', message: /did not answer within 150 ms/ });
    assert.equal(received.length, 2);
    await until('the end of the connection', () => peers[0]?.readableEnded ?? false);
  });

  test('a caller that gives up earlier ends nothing for others', async (t) => {
    const { client } = await world(t, ({ id }) => (id === 1 ? undefined : { result: [] }));
    const hurried = client.until(soon(30));
    assert.ok(hurried.remainingMs <= 30);
    assert.equal(await codeOf(hurried.transact([])), 'timeout');
    assert.equal(client.lost, undefined);
    assert.equal(await codeOf(client.transact([])), 'done');
    await until('its deadline', () => hurried.remainingMs <= 0);
    assert.equal(await codeOf(hurried.transact([])), 'timeout', 'its deadline has passed: nothing is sent');
  });

  test('an idle connection is probed by echo; a server that answers keeps it', async (t) => {
    const { client, received } = await world(t, ({ method }) =>
      method === 'echo' ? { result: [] } : undefined,
    );
    await until('two probes', () => received.length >= 2);
    assert.deepEqual([...new Set(received.map(({ method }) => method))], ['echo']);
    assert.equal(client.lost, undefined);
  });

  test('an idle connection whose server is silent ends', async (t) => {
    const { client } = await world(t, () => undefined);
    await until('the end', () => client.lost !== undefined);
    assert.equal(client.lost?.code, 'timeout');
  });

  test('answers the probes of the server', async (t) => {
    const { received, peers } = await world(t, () => undefined);
    await until('the connection', () => peers.length > 0);
    peers[0]?.write('{"method":"echo","params":["x"],"id":"echo"}');
    const reply = await until('the answer', () => received.find(({ id }) => id === 'echo'));
    assert.deepEqual(reply.result, ['x']);
  });

  test('only an answer of the server is a refusal', async (t) => {
    const { client } = await world(t, ({ id }) =>
      id === 1 ? { result: [{ error: 'timed out' }] } : { error: 'unknown method', result: null },
    );
    const operation = { op: 'comment', comment: '' } as const;
    await assert.rejects(client.transact([operation]), { code: 'timed out', operation: 0, refused: true });
    await assert.rejects(client.transact([operation]), { code: 'protocol', refused: true });
    client.close();
    await assert.rejects(client.transact([operation]), { code: 'connection-lost', refused: false });
  });

  test('a monitor whose caller has given up is ended', async (t) => {
    const { client, received } = await world(t, () => undefined);
    const late = client.until(soon(20)).monitor('Port', [], ['name'], () => assert.fail('told all the same'));
    assert.equal(await codeOf(late), 'timeout');
    await until('its end', () => received.some(({ method }) => method === 'monitor_cancel'));
  });
});
