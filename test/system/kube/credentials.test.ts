import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect as connectTcp, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { KubeApi } from '../../../cni/kube/api.ts';
import { connectKube } from '../../../cni/kube/connect.ts';
import { makeCertificates, startKubeApi } from '../../support/kube-api.ts';
import { fill, isError, start, tempDir, type Started } from './setup.ts';

/** Starts an HTTPS server with one user by token (`tester` for `secret`) and one by certificate. */
async function startSecure(
  t: TestContext,
  forbid?: (user: string, verb: string, resource: string) => boolean,
): Promise<Started> {
  const tls = makeCertificates(tempDir(t));
  return start(t, { tls, tokens: { secret: 'tester' }, ...(forbid === undefined ? {} : { forbid }) });
}

/** Writes a credential plugin: a shell script that counts its runs. */
function plugin(dir: string, script: string): { exec: Record<string, unknown>; runs: () => number } {
  const command = join(dir, 'plugin');
  const log = join(dir, 'runs');
  writeFileSync(command, `#!/bin/sh\necho run >> ${log}\n${script}\n`);
  chmodSync(command, 0o755);
  return {
    exec: { apiVersion: 'client.authentication.k8s.io/v1', command: './plugin', interactiveMode: 'Never' },
    runs: () => (existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0),
  };
}

const credential = (status: Record<string, unknown>): string =>
  JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status });

test('a bearer token; a wrong one is 401, and tried once', async (t) => {
  const { api, connect } = await startSecure(t);
  fill(api, 600);
  assert.equal((await connect().listPods()).pods.length, 600);
  assert.equal(api.connections(), 1);
  await assert.rejects(
    connect({}, { token: 'wrong' }).listPods(),
    isError('unauthorized', /https:\/\/127.*401/),
  );
  await assert.rejects(connect({}, {}).listPods(), isError('unauthorized'));
  assert.equal(api.requests.length, 4);
});

test('a client certificate, from files and inline', async (t) => {
  const tls = makeCertificates(tempDir(t));
  const { connect } = await start(t, { tls, tokens: { secret: 'tester' } });
  const files = { 'client-certificate': tls.clientCertFile, 'client-key': tls.clientKeyFile };
  assert.deepEqual((await connect({}, files).listPods()).pods, []);
  const inline = Object.fromEntries(
    Object.entries(files).map(([key, file]) => [`${key}-data`, readFileSync(file, 'base64')]),
  );
  assert.deepEqual((await connect({}, inline).listPods()).pods, []);
  const none = { ...files, 'client-key': '/nowhere/client.key' };
  await assert.rejects(connect({}, none).listPods(), isError('credentials', /client\.key/));
});

test('a token file is read again: after a refusal, and after a minute', async (t) => {
  const { api, dir, connect } = await startSecure(t);
  const tokenFile = join(dir, 'token');
  const clock = { now: 0 };
  writeFileSync(tokenFile, 'secret\n');
  const kube = connect({ monotonic: () => clock.now }, { tokenFile });
  await kube.listNodes();
  api.tokens.delete('secret');
  api.tokens.set('rotated', 'tester');
  writeFileSync(tokenFile, 'rotated\n');
  await kube.listNodes();
  assert.equal(api.requests.length, 3, 'one was refused');
  api.tokens.set('third', 'tester');
  writeFileSync(tokenFile, 'third');
  clock.now += 61_000;
  await kube.listNodes();
  assert.equal(api.requests.at(-1)?.headers['authorization'], 'Bearer third');
  writeFileSync(tokenFile, 'stale');
  clock.now += 61_000;
  await assert.rejects(kube.listNodes(), isError('unauthorized'));
  writeFileSync(tokenFile, '');
  await assert.rejects(kube.listNodes(), isError('credentials', /is empty/));
});

test('within a list, a token that is replaced makes no gap', async (t) => {
  const { api, dir, connect } = await startSecure(t);
  fill(api, 1200);
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, 'secret');
  api.faults.when(({ page }) => {
    if (page === 2 && api.tokens.delete('secret')) {
      api.tokens.set('rotated', 'tester');
      writeFileSync(tokenFile, 'rotated');
    }
    return undefined;
  });
  assert.equal((await connect({}, { tokenFile }).listPods()).pods.length, 1200);
});

test('in a pod: the service account', async (t) => {
  const tls = makeCertificates(tempDir(t));
  const api = await startKubeApi({ tls, tokens: { mounted: 'system:serviceaccount:kube-system:cellnet' } });
  t.after(() => api.close());
  const serviceAccountDir = tempDir(t);
  writeFileSync(join(serviceAccountDir, 'token'), 'mounted');
  writeFileSync(join(serviceAccountDir, 'ca.crt'), readFileSync(tls.caFile));
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: new URL(api.url).port };
  const kube = connectKube({ env, serviceAccountDir, deadlineMs: 5000 });
  t.after(() => kube.close());
  assert.equal(kube.server, api.url);
  assert.deepEqual(await kube.listNodes(), []);
});

test('a credential plugin runs once for a whole list, and again when the server refuses its token', async (t) => {
  const { api, dir, connect } = await startSecure(t);
  fill(api, 1200);
  const tokenFile = join(dir, 'current');
  writeFileSync(tokenFile, 'secret');
  const { exec, runs } = plugin(
    dir,
    `printf '%s' '${credential({ token: 'TOKEN' })}' | sed "s/TOKEN/$(cat ${tokenFile})/"`,
  );
  const kube = connect({}, { exec });
  assert.equal((await kube.listPods()).pods.length, 1200);
  assert.equal(runs(), 1);
  api.tokens.delete('secret');
  api.tokens.set('next', 'tester');
  writeFileSync(tokenFile, 'next');
  assert.equal((await kube.listPods()).pods.length, 1200);
  assert.equal(runs(), 2);
});

test('a credential plugin runs again when what it gave has expired', async (t) => {
  const { dir, connect } = await startSecure(t);
  const clock = { now: Date.parse('2026-01-31T12:00:00Z') };
  const { exec, runs } = plugin(
    dir,
    `echo '${credential({ token: 'secret', expirationTimestamp: '2026-01-31T13:00:00Z' })}'`,
  );
  const kube = connect({ now: () => clock.now }, { exec });
  await kube.listNodes();
  await kube.listNodes();
  assert.equal(runs(), 1);
  clock.now += 3_599_000;
  await kube.listNodes();
  assert.equal(runs(), 2);
});

test('a credential plugin learns of the cluster, has its own environment, and may give a certificate', async (t) => {
  const tls = makeCertificates(tempDir(t));
  const { api, dir, connect } = await start(t, { tls, tokens: { secret: 'tester' } });
  const pem = (file: string): string => readFileSync(file, 'utf8');
  const answer = credential({
    clientCertificateData: pem(tls.clientCertFile),
    clientKeyData: pem(tls.clientKeyFile),
  });
  writeFileSync(join(dir, 'answer'), answer);
  const { exec } = plugin(dir, `printf '%s' "$KUBERNETES_EXEC_INFO" > ${join(dir, 'info')}\ncat "$ANSWER"`);
  const env = [{ name: 'ANSWER', value: join(dir, 'answer') }];
  assert.deepEqual(await connect({}, { exec: { ...exec, env, provideClusterInfo: true } }).listNodes(), []);
  const info = JSON.parse(readFileSync(join(dir, 'info'), 'utf8')) as {
    kind: string;
    spec: { cluster: Record<string, string> };
  };
  assert.equal(info.kind, 'ExecCredential');
  assert.equal(info.spec.cluster['server'], api.url);
  assert.equal(info.spec.cluster['certificate-authority-data'], readFileSync(tls.caFile, 'base64'));
});

for (const [what, script, says] of [
  ['fails', 'echo "please log in" >&2; exit 3', /plugin' ended with status 3: please log in/],
  ['prints what is not JSON', 'echo hello', /did not print an ExecCredential/],
  ['prints another object', `echo '{"kind":"Secret"}'`, /kind: expected "ExecCredential"/],
  ['gives nothing', `echo '${credential({})}'`, /a token or a certificate/],
  ['gives half a certificate', `echo '${credential({ clientCertificateData: 'x' })}'`, /together/],
  ['prints without end', 'yes', /printed more than/],
] as const) {
  test(`a credential plugin that ${what}`, async (t) => {
    const { api, dir, connect } = await startSecure(t);
    const { exec } = plugin(dir, script);
    await assert.rejects(connect({}, { exec }).listPods(), isError('credentials', says));
    assert.equal(api.requests.length, 0);
  });
}

test('a credential plugin that is not there, or that hangs', async (t) => {
  const { dir, connect } = await startSecure(t);
  const { exec } = plugin(dir, 'sleep 30');
  await assert.rejects(
    connect({}, { exec: { ...exec, command: 'no-such-plugin' } }).listPods(),
    isError('credentials', /ENOENT/),
  );
  const began = performance.now();
  await assert.rejects(
    connect({ deadlineMs: 300 }, { exec }).listPods(),
    isError('timeout', /plugin' did not end in time/),
  );
  assert.ok(performance.now() - began < 2000);
});

test('what is forbidden says which verb and resource are needed', async (t) => {
  const { connect } = await startSecure(t, (_user, _verb, resource) => resource !== 'nodes');
  const kube = connect();
  assert.deepEqual(await kube.listNodes(), []);
  await assert.rejects(
    kube.listPods(),
    isError('forbidden', /"list" on the resource "pods".*cannot list resource "pods"/),
  );
  await assert.rejects(kube.getPod('shop', 'web-1'), isError('forbidden', /"get" on the resource "pods"/));
  await assert.rejects(kube.clusterUid(), isError('forbidden', /"get" on the resource "namespaces"/));
});

test('a server that is not trusted is not asked, whatever the environment says', async (t) => {
  const { api, dir, connect } = await startSecure(t);
  const other = makeCertificates(tempDir(t));
  const file = join(dir, 'kubeconfig');
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  t.after(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
  const edited = (from: RegExp, to: string) => {
    connect();
    writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
    const kube = connectKube({ kubeconfig: file, env: {}, deadlineMs: 5000 });
    t.after(() => kube.close());
    return kube;
  };
  for (const untrusted of [
    edited(/certificate-authority: .*/, `certificate-authority: ${other.caFile}`),
    edited(/\n *certificate-authority: .*/, ''),
    edited(/(certificate-authority: .*)/, '$1\n      tls-server-name: elsewhere.example'),
  ]) {
    await assert.rejects(untrusted.listPods(), isError('tls', /TLS connection to https:\/\/127/));
  }
  assert.equal(api.requests.length, 0);
  const insecure = edited(/certificate-authority: .*/, 'insecure-skip-tls-verify: true');
  assert.deepEqual(await insecure.listNodes(), []);
});

test('a certificate authority whose file is replaced is read again after a refusal', async (t) => {
  const { dir, connect } = await startSecure(t);
  connect();
  const file = join(dir, 'kubeconfig');
  const trusted = /certificate-authority: (.*)/.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  const caFile = join(dir, 'rotated.crt');
  writeFileSync(caFile, readFileSync(makeCertificates(tempDir(t)).caFile));
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace(/certificate-authority: .*/, `certificate-authority: ${caFile}`),
  );
  const kube = connectKube({ kubeconfig: file, env: {}, deadlineMs: 5000 });
  t.after(() => kube.close());
  await assert.rejects(kube.listNodes(), isError('tls'));
  writeFileSync(caFile, readFileSync(trusted));
  assert.deepEqual(await kube.listNodes(), []);
});

test('TLS to a plain port, and plain to a TLS port', async (t) => {
  const plain = await start(t);
  const secure = await startSecure(t);
  const swap = ({ dir, api, connect }: Started, from: string, to: string) => {
    connect();
    const file = join(dir, 'kubeconfig');
    writeFileSync(file, readFileSync(file, 'utf8').replace(api.url, api.url.replace(from, to)));
    const kube = connectKube({ kubeconfig: file, env: {}, deadlineMs: 5000, retryPauseMs: 5 });
    t.after(() => kube.close());
    return kube;
  };
  await assert.rejects(swap(plain, 'http:', 'https:').listPods(), isError('tls'));
  await assert.rejects(swap(secure, 'https:', 'http:').listPods(), isError('unreachable'));
});

/** Starts an HTTP proxy that finds every host here. `proxied` lists what it was asked for. */
async function startProxy(t: TestContext): Promise<{ url: string; proxied: string[] }> {
  const proxied: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (req, client) => {
    proxied.push(req.url ?? '');
    const [, port] = (req.url ?? '').split(':');
    const upstream = connectTcp(Number(port), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    for (const end of [upstream, client])
      end.on('error', () => [upstream, client].forEach((each) => each.destroy()));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => proxy.close());
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, proxied };
}

/** Connects with a kubeconfig that `change` has edited. */
function connectEdited(
  t: TestContext,
  { dir, connect }: Started,
  change: (text: string) => string,
  env: NodeJS.ProcessEnv = {},
): KubeApi {
  connect();
  const kubeconfig = join(dir, 'kubeconfig');
  writeFileSync(kubeconfig, change(readFileSync(kubeconfig, 'utf8')));
  const kube = connectKube({ kubeconfig, env, deadlineMs: 5000, retryPauseMs: 5 });
  t.after(() => kube.close());
  return kube;
}

test('through the proxy that the kubeconfig names', async (t) => {
  const { url, proxied } = await startProxy(t);
  const started = await startSecure(t);
  fill(started.api, 700);
  const named = (text: string): string => text.replace(/( +)server:/, `$1proxy-url: ${url}\n$&`);
  // The kubeconfig wins over the environment.
  const kube = connectEdited(t, started, named, { HTTPS_PROXY: 'http://192.0.2.1:9' });
  assert.equal((await kube.listPods()).pods.length, 700);
  assert.equal(proxied[0], new URL(started.api.url).host);
});

for (const secure of [true, false]) {
  const variable = secure ? 'https_proxy' : 'HTTP_PROXY';
  test(`through the proxy of ${variable}, unless NO_PROXY names the server`, async (t) => {
    const { url, proxied } = await startProxy(t);
    const started = await (secure ? startSecure(t) : start(t));
    fill(started.api, 3);
    const { port } = new URL(started.api.url);
    // Only the proxy finds this host.
    const elsewhere = (text: string): string =>
      text.replace(
        /( +)server: (https?):.*/,
        `$1tls-server-name: localhost\n$1server: $2://api.invalid:${port}`,
      );
    const env = { [variable]: url };
    assert.equal((await connectEdited(t, started, elsewhere, env).listPods()).pods.length, 3);
    assert.deepEqual([...new Set(proxied)], [`api.invalid:${port}`]);
    const direct = connectEdited(t, started, elsewhere, { ...env, NO_PROXY: '10.0.0.0/8,.invalid' });
    await assert.rejects(direct.listPods(), isError('unreachable', /ENOTFOUND|EAI_AGAIN/));
  });
}

test('requests at once do not disturb each other when credentials are renewed', async (t) => {
  const { api, dir, connect } = await startSecure(t);
  fill(api, 40);
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, 'secret');
  const clock = { now: 0 };
  const kube = connect({ monotonic: () => (clock.now += 20_000) }, { tokenFile });
  const names = Array.from({ length: 40 }, (_, i) => `pod-${String(i).padStart(5, '0')}`);
  const found = await Promise.all(names.map((name) => kube.getPod('shop', name)));
  assert.deepEqual(
    found.map((pod) => pod?.name),
    names,
  );
  assert.equal(api.requests.length, 40, 'no attempt was lost');
});

test('nobody is told who we are over a connection that anyone can read', async (t) => {
  const { api, connect } = await start(t);
  await connect({}, { token: 'secret' }).listNodes();
  assert.equal(api.requests[0]?.headers['authorization'], undefined);
});

test('the path of the server address comes before that of the API', async (t) => {
  const { api, dir, connect } = await start(t);
  connect();
  const file = join(dir, 'kubeconfig');
  writeFileSync(file, readFileSync(file, 'utf8').replace(api.url, `${api.url}/k8s/clusters/c-1/`));
  const kube = connectKube({ kubeconfig: file, env: {}, deadlineMs: 5000 });
  t.after(() => kube.close());
  await assert.rejects(kube.listPods(), isError('refused', /404/));
  assert.equal(api.requests[0]?.path, '/k8s/clusters/c-1/api/v1/pods');
});
