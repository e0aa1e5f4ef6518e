import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { KubeError } from '../../../cni/kube/errors.ts';
import { pod } from '../../support/kube-api.ts';
import { fill, isError, start, writeKubeconfig } from './setup.ts';

const five = <T>(fault: T): T[] => Array.from({ length: 5 }, () => fault);

for (const [what, fault] of [
  ['cut in the body', { kind: 'cut', afterBytes: 1000 }],
  ['cut where no framing tells', { kind: 'cut-unnoticed', afterBytes: 1000 }],
  ['closed without an answer', { kind: 'reset' }],
  ['silent', { kind: 'hang' }],
  ['silent in the body', { kind: 'hang', afterBytes: 1000 }],
] as const) {
  test(`a connection ${what}: tried again, and given up after five`, async (t) => {
    const { api, connect } = await start(t);
    fill(api, 700);
    const kube = connect({ idleMs: 150 });
    api.faults.push(undefined, fault, fault);
    assert.equal((await kube.listPods()).pods.length, 700);
    assert.equal(api.requests.length, 4);
    api.faults.push(undefined, ...five(fault));
    await assert.rejects(kube.listPods(), isError('unreachable', /gave up: 5 attempts/));
    assert.equal(api.requests.length, 10);
  });
}

test('nobody listens there', async (t) => {
  const { api, connect } = await start(t);
  const kube = connect();
  await api.close();
  await assert.rejects(
    kube.listPods(),
    isError('unreachable', /127\.0\.0\.1:\d+ did not answer.*ECONNREFUSED/),
  );
  await assert.rejects(kube.getPod('a', 'b'), isError('unreachable'));
});

test('the deadline holds for the whole list, whatever it waits for', async (t) => {
  const { api, connect } = await start(t);
  fill(api, 3000);
  for (const fault of [{ kind: 'hang' }, { kind: 'slow', delayMs: 150 }] as const) {
    api.faults.when(() => fault);
    const began = performance.now();
    await assert.rejects(
      connect({ deadlineMs: 400 }).listPods(),
      isError('timeout', /list pods: not done within 400 ms/),
    );
    assert.ok(performance.now() - began < 1000);
  }
});

test('a caller may end it', async (t) => {
  const { api, connect } = await start(t);
  api.faults.when(() => ({ kind: 'hang' }));
  await assert.rejects(connect().listPods({ signal: AbortSignal.timeout(50) }), isError('cancelled'));
  await assert.rejects(connect().listPods({ signal: AbortSignal.abort() }), isError('cancelled'));
});

test('Retry-After is honoured, in seconds and as a date', async (t) => {
  const { api, connect } = await start(t);
  fill(api, 3);
  for (const retryAfter of [1, new Date(Date.now() + 3000).toUTCString()]) {
    api.faults.push({ kind: 'status', status: 429, reason: 'TooManyRequests', retryAfter });
    const began = performance.now();
    assert.equal((await connect().listPods()).pods.length, 3);
    assert.ok(performance.now() - began > 900);
  }
});

test('a wait past the deadline is refused at once', async (t) => {
  const { api, connect } = await start(t);
  api.faults.push({ kind: 'status', status: 503, retryAfter: 3600 });
  const began = performance.now();
  await assert.rejects(connect().listPods(), isError('unavailable', /503.*leaves no time/));
  assert.ok(performance.now() - began < 1000);
});

test('a server in trouble is asked five times', async (t) => {
  const { api, connect } = await start(t);
  fill(api, 3);
  const kube = connect();
  for (const status of [429, 500, 502, 503, 504]) {
    api.faults.push(...five({ kind: 'status', status } as const));
    await assert.rejects(
      kube.listPods(),
      (error) => isError('unavailable')(error) && (error as KubeError).status === status,
    );
  }
  assert.equal(api.requests.length, 25);
  assert.equal((await kube.listPods()).pods.length, 3);
});

test('what stands before the server is not taken for it', async (t) => {
  const { api, connect } = await start(t);
  const kube = connect();
  api.faults.push({ kind: 'raw', status: 200, body: '<html>Please log in</html>' });
  await assert.rejects(kube.listPods(), isError('malformed', /not JSON \(text\/html\)/));
  api.faults.push({ kind: 'raw', status: 302, headers: { location: 'https://login.example/' }, body: '' });
  await assert.rejects(
    kube.listPods(),
    isError('refused', /redirects list pods to https:\/\/login\.example/),
  );
  api.faults.push({ kind: 'raw', status: 404, body: '<html>Not Found</html>' });
  await assert.rejects(kube.listPods(), isError('refused', /404/));
  api.faults.push({ kind: 'raw', status: 200, body: '[]' });
  await assert.rejects(kube.listPods(), isError('malformed', /expected an object/));
  api.faults.push({ kind: 'raw', status: 204, body: '' });
  await assert.rejects(kube.listPods(), isError('refused', /204/));
  assert.equal(api.requests.length, 5, 'none of them is worth another attempt');
});

test('one pod: found, gone, or unknown', async (t) => {
  const { api, connect } = await start(t);
  api.putPod({ namespace: 'shop', name: 'web-1', uid: 'u1', node: 'n1', ip: '10.0.0.1' });
  const kube = connect();
  assert.equal((await kube.getPod('shop', 'web-1'))?.uid, 'u1');
  assert.equal(await kube.getPod('shop', 'web-2'), undefined);
  assert.equal(await kube.getPod('none', 'web-1'), undefined);
  assert.ok(
    api.requests.every(({ query }) => !query.has('resourceVersion')),
    'quorum reads',
  );
});

test('a 404 that is not of just this pod does not mean that it is gone', async (t) => {
  const { api, connect } = await start(t);
  const kube = connect();
  const notFound = (details: unknown) =>
    JSON.stringify({ kind: 'Status', reason: 'NotFound', message: 'no', details });
  const answers = [
    '<html>404</html>',
    '',
    notFound({}),
    notFound({ name: 'web-2', kind: 'pods' }),
    notFound({ name: 'web-1', kind: 'nodes' }),
  ];
  for (const body of answers) {
    api.faults.push({ kind: 'raw', status: 404, body });
    await assert.rejects(kube.getPod('shop', 'web-1'), isError('refused', /404/));
  }
});

test('another pod than the one asked for is refused', async (t) => {
  const { api, connect } = await start(t);
  api.putPod({ namespace: 'shop', name: 'web-1' });
  const other = pod({ namespace: 'shop', name: 'web-2' });
  for (const body of [
    other,
    { ...other, metadata: { ...other.metadata, name: 'web-1', namespace: 'x' } },
    { ...other, kind: 'Node' },
  ]) {
    api.faults.push({ kind: 'raw', status: 200, body: JSON.stringify(body) });
    await assert.rejects(
      connect().getPod('shop', 'web-1'),
      isError('malformed', /expected "(web-1|shop|Pod)"/),
    );
  }
});

test('a name that cannot be a pod never becomes a path', async (t) => {
  const { api, connect } = await start(t);
  for (const name of ['', '..', 'a/b', 'A', 'a?b', '%2e%2e', 'a'.repeat(254)]) {
    await assert.rejects(connect().getPod('shop', name), isError('malformed'));
    await assert.rejects(connect().getPod(name, 'web-1'), isError('malformed'));
  }
  assert.equal(api.requests.length, 0);
});

test('the cluster is known by the UID of kube-system', async (t) => {
  const { api, connect } = await start(t);
  const uid = api.namespaces.get('/kube-system')?.metadata.uid;
  assert.equal(await connect().clusterUid(), uid);
  api.namespaces.delete('/kube-system');
  await assert.rejects(connect().clusterUid(), isError('refused', /404/));
});

test('a server that speaks no HTTP', async (t) => {
  const server = createServer((socket) => socket.end('220 mail.example ESMTP\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { connect } = await start(t);
  const kube = connect({ kubeconfig: writeKubeconfig(t, `http://127.0.0.1:${port}`) });
  await assert.rejects(kube.listPods(), isError('unreachable', /did not answer in full/));
});
