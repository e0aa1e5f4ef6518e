import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { CallDeclined } from '../../../../cni/agent/agent.ts';
import { askAgent } from '../../../../cni/agent/client.ts';
import { encodeRequest, type AgentRequest } from '../../../../cni/agent/protocol.ts';
import { AgentServer } from '../../../../cni/agent/server.ts';
import { isSameSocket } from '../../../../cni/agent/unix-socket.ts';
import type { Output } from '../../../../cni/protocol/invocation.ts';

const REQUEST = { plugin: 'cellnet', env: { CNI_COMMAND: 'ADD' }, stdin: '{}' } as const;
const DONE: Output = { stdout: '{}', exitCode: 0 };
const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

const socketPath = (t: TestContext): string => {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-server-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'run', 'agent.sock');
};
const start = async (
  t: TestContext,
  path: string,
  serve: (request: AgentRequest) => Promise<Output> = () => Promise.resolve(DONE),
  withinMs = 300,
): Promise<AgentServer> => {
  const server = await AgentServer.listen(path, serve, log, { withinMs });
  t.after(() => server.drain());
  return server;
};
const closed = (socket: Socket): Promise<number> => {
  const began = performance.now();
  socket.on('error', () => undefined);
  return new Promise((resolve) => socket.on('close', () => resolve(performance.now() - began)));
};

suite('the agent and its callers', () => {
  test('a call that it declines gets no reply, so that the plugin makes it', async (t) => {
    const path = socketPath(t);
    await start(t, path, () => Promise.reject(new CallDeclined('for another')));
    assert.equal(await askAgent(path, REQUEST), undefined);
  });

  test('a request in drops is cut off, however steadily they come', async (t) => {
    const path = socketPath(t);
    await start(t, path);
    const socket = connect(path);
    const bytes = encodeRequest({ ...REQUEST, stdin: ' '.repeat(1_000) });
    let sent = 0;
    const dripping = setInterval(() => socket.write(bytes.subarray(sent, ++sent)), 20);
    const ms = await closed(socket);
    clearInterval(dripping);
    assert.ok(ms < 2_000, `${ms} ms`);
  });

  test('a caller that has its reply and stays is cut off', async (t) => {
    const path = socketPath(t);
    await start(t, path);
    const socket = connect({ path, allowHalfOpen: true });
    socket.write(encodeRequest(REQUEST));
    const ended = new Promise((resolve) => socket.on('end', resolve));
    socket.resume();
    await ended;
    await new Promise((resolve) => setTimeout(resolve, 600));
    const failure = new Promise<Error>((resolve) => socket.once('error', resolve));
    socket.write('x');
    assert.match(String(await failure), /EPIPE/);
  });

  test('a caller that has given up is not served; one that only sends no more is', async (t) => {
    const path = socketPath(t);
    let served = 0;
    await start(t, path, () => Promise.resolve((served++, DONE)));
    const gone = connect(path);
    gone.write(encodeRequest(REQUEST), () => gone.destroy());
    await closed(gone);
    const half = connect({ path, allowHalfOpen: true });
    half.end(encodeRequest(REQUEST));
    const reply = await new Promise<Buffer>((resolve) => half.once('data', resolve));
    half.destroy();
    assert.match(reply.toString('latin1'), /^cellnet1.*\{\}$/s);
    assert.equal(served, 1);
  });
});

suite('the socket of the agent', () => {
  test('of two that start at once one goes on; the end of the other takes nothing', async (t) => {
    const path = socketPath(t);
    const both = await Promise.allSettled([start(t, path), start(t, path)]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const refused = both.find((each) => each.status === 'rejected');
    assert.match(String(refused?.reason), /another agent answers at .*agent\.sock/);
    assert.deepEqual(await askAgent(path, REQUEST), DONE);
  });

  test('the end of an agent leaves the socket of another process alone', async (t) => {
    const path = socketPath(t);
    const first = await start(t, path);
    rmSync(path);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    t.after(() => other.close());
    await first.drain();
    assert.ok(existsSync(path));
  });

  test('after its end the next one may have the path at once', async (t) => {
    const path = socketPath(t);
    await (await start(t, path)).drain();
    assert.equal(existsSync(path), false);
    await start(t, path);
    assert.deepEqual(await askAgent(path, REQUEST), DONE);
  });

  test('it is made again when it, or its folder, is removed, and calls under way go on', async (t) => {
    const path = socketPath(t);
    let finish = (): void => undefined;
    const held = new Promise<Output>((resolve) => (finish = () => resolve(DONE)));
    const server = await start(t, path, ({ stdin }) => (stdin === 'held' ? held : Promise.resolve(DONE)));
    assert.equal(await server.restore(), false);
    const waiting = askAgent(path, { ...REQUEST, stdin: 'held' });
    while (server.working === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const gone of [path, dirname(path)]) {
      rmSync(gone, { recursive: true });
      assert.equal(await server.restore(), true);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.deepEqual(await askAgent(path, REQUEST), DONE);
    }
    finish();
    assert.deepEqual(await waiting, DONE);
  });

  test('one path may have several spellings', (t) => {
    const path = socketPath(t);
    assert.equal(isSameSocket(path, `${dirname(path)}/./agent.sock`), true);
    assert.equal(isSameSocket('/dev/null', '/dev/../dev/null'), true);
    assert.equal(isSameSocket(path, `${path}.other`), false);
    assert.equal(isSameSocket('/dev/null', '/dev/zero'), false);
  });
});
