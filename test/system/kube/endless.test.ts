import assert from 'node:assert/strict';
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectKube } from '../../../cni/kube/connect.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { pod } from '../../support/kube-api.ts';
import { run } from '../../support/proc.ts';
import { isError, start, writeKubeconfig } from './setup.ts';

async function listen(t: TestContext, server: Server, scheme: 'http' | 'https'): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return writeKubeconfig(t, `${scheme}://127.0.0.1:${port}`);
}

/** Takes connections and never answers, not even a TLS handshake. */
function silent(t: TestContext): Server {
  const sockets = new Set<{ destroy: () => void }>();
  const server = createServer((socket) => sockets.add(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server;
}

interface Endless {
  readonly server: Server;
  readonly sent: () => number;
}

/** Answers with a body that does not end: `everyMs` apart, or as fast as the client reads. */
function endless(t: TestContext, chunk: Buffer, everyMs: number): Endless {
  let sent = 0;
  const send = (res: ServerResponse): void => {
    if (res.destroyed) return;
    sent += chunk.length;
    const goesOn = res.write(chunk);
    if (everyMs > 0) setTimeout(send, everyMs, res);
    else if (goesOn) setImmediate(send, res);
    else res.once('drain', () => send(res));
  };
  const server = createHttpServer((_, res) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    send(res);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, sent: () => sent };
}

test('a body without an end is cut once, at the length that its kind may have', async (t) => {
  const { server, sent } = endless(t, Buffer.alloc(1 << 20, '{'), 0);
  const kubeconfig = await listen(t, server, 'http');
  const kube = connectKube({ kubeconfig, env: {}, deadlineMs: 20_000, retryPauseMs: 5 });
  t.after(() => kube.close());
  await assert.rejects(
    kube.getPod('shop', 'web-1'),
    isError('malformed', /without an end: more than 16000000 bytes/),
  );
  const ofObject = sent();
  assert.ok(ofObject < 40_000_000, `${ofObject} bytes for one object`);
  await assert.rejects(kube.listPods(), isError('malformed', /more than 100000000 bytes/));
  assert.ok(sent() - ofObject < 140_000_000, `${sent() - ofObject} bytes for one page`);
});

test('an object of the longest kind is read', async (t) => {
  const { api, connect } = await start(t);
  const large = pod({ namespace: 'shop', name: 'web-1' });
  const body = JSON.stringify({
    ...large,
    metadata: { ...large.metadata, annotations: { x: 'x'.repeat(9e6) } },
  });
  api.faults.push({ kind: 'raw', status: 200, body });
  assert.equal((await connect().getPod('shop', 'web-1'))?.name, 'web-1');
});

test('a body that drips ends at the deadline, of one object and of a list', async (t) => {
  const { server } = endless(t, Buffer.from(' '), 50);
  const kubeconfig = await listen(t, server, 'http');
  const kube = connectKube({ kubeconfig, env: {}, deadlineMs: 300, listDeadlineMs: 700 });
  t.after(() => kube.close());
  for (const [what, least, ask] of [
    ['get pod', 300, () => kube.getPod('shop', 'web-1')],
    ['list nodes', 700, () => kube.listNodes()],
  ] as const) {
    const began = performance.now();
    await assert.rejects(ask(), isError('timeout', new RegExp(what)));
    const tookMs = performance.now() - began;
    assert.ok(tookMs >= least - 20 && tookMs < least + 1_500, `${what}: ${tookMs} ms`);
  }
});

test('a list ends although its deadline is far, when the server is silent', async (t) => {
  const { api, connect } = await start(t);
  api.faults.when(() => ({ kind: 'hang' }));
  const kube = connect({ deadlineMs: 1_000, listDeadlineMs: 300_000, idleMs: 100 });
  await assert.rejects(kube.listPods(), isError('unreachable', /silent for 100 ms/));
});

test('a server that hangs once is asked again before the deadline', async (t) => {
  const { api, connect } = await start(t);
  api.putPod({ namespace: 'shop', name: 'web-1' });
  api.faults.push({ kind: 'hang' });
  const kube = connect({ deadlineMs: 2_000 });
  assert.equal((await kube.getPod('shop', 'web-1'))?.name, 'web-1');
});

for (const scheme of ['http', 'https'] as const) {
  test(`cnictl doctor ends soon beside a ${scheme} server that takes connections and hangs`, async (t) => {
    const kubeconfig = await listen(t, silent(t), scheme);
    const options = ['--request-timeout', '2s', '--kubeconfig', kubeconfig, '-o', 'json'];
    const began = performance.now();
    const ran = await run(join(OUR_PLUGINS, 'cnictl'), ['doctor', '--cluster', ...options], {
      timeoutMs: 100_000,
      env: { CELLNET_ETCD_ENDPOINTS: 'http://127.0.0.1:1' },
    });
    const tookMs = performance.now() - began;
    assert.equal(ran.code, 1, ran.stderr);
    const { findings } = JSON.parse(ran.stdout) as {
      findings: { check: string; detail: string; remedy: string }[];
    };
    const asked = findings.filter(({ detail }) => /not done within 2000 ms/.test(detail));
    assert.ok(asked.length > 0, ran.stdout);
    for (const { remedy } of asked) assert.match(remedy, /--request-timeout/);
    // It took 300 s; a machine that is busy needs a few times the 4 s of one that is not.
    assert.ok(tookMs < 60_000, `${tookMs} ms`);
  });
}
