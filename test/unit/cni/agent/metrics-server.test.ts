import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { answer, MetricsServer, type MetricsSource } from '../../../../cni/agent/metrics-server.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import { httpGet } from '../../../support/prometheus.ts';

const source = (ok = true): MetricsSource => ({
  contentType: 'text/plain; version=0.0.4',
  text: () => Promise.resolve('up 1\n'),
  health: () => ({ ok, reasons: ok ? [] : ['etcd is away'], servers: [] }),
});

const tempDir = (t: TestContext): string => {
  const dir = mkdtempSync(join(tmpdir(), 'cellnet-metrics-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
};

suite('metrics over HTTP', () => {
  test('two paths, two methods', async () => {
    const reply = await answer(source(), 'GET', '/metrics?name=up');
    assert.deepEqual(reply, { status: 200, type: 'text/plain; version=0.0.4', body: 'up 1\n' });
    assert.equal((await answer(source(), 'GET', '/')).status, 404);
    assert.equal((await answer(source(), 'POST', '/metrics')).status, 405);
  });

  test('health is 200, or 503 with the reasons', async () => {
    assert.equal((await answer(source(), 'GET', '/healthz')).status, 200);
    const { status, type, body } = await answer(source(false), 'GET', '/healthz');
    assert.deepEqual([status, type], [503, 'application/json']);
    assert.deepEqual(JSON.parse(body), { ok: false, reasons: ['etcd is away'], servers: [] });
  });

  test('the log is served only where its names of pods reach root alone', async () => {
    const log = (): string => '{"msg":"ready"}\n';
    assert.deepEqual(await answer({ ...source(), log }, 'GET', '/log'), {
      status: 200,
      type: 'text/plain; charset=utf-8',
      body: '{"msg":"ready"}\n',
    });
    assert.equal((await answer(source(), 'GET', '/log')).status, 403);
  });

  test('Services are told at the unix socket only, all or one', async () => {
    const services: MetricsSource['services'] = (name) => ({ found: name !== 'shop/none', body: { name } });
    const told = (path: string, more: Partial<MetricsSource> = { services }): Promise<[number, string]> =>
      answer({ ...source(), ...more }, 'GET', path).then(({ status, body }) => [status, body]);
    assert.deepEqual(await told('/services'), [200, '{}\n']);
    assert.deepEqual(await told('/services/shop/web'), [200, '{"name":"shop/web"}\n']);
    assert.deepEqual(await told('/services/shop/none'), [404, '{"name":"shop/none"}\n']);
    for (const path of ['/services/shop', '/services/shop/web/more', '/service'])
      assert.deepEqual(await told(path), [404, 'expected /metrics or /healthz\n'], path);
    assert.equal((await told('/services', {}))[0], 403);
    assert.equal((await told('/services/shop/web', {}))[0], 403);
  });

  test('a socket for root alone, gone when it is closed; a second one there is refused', async (t) => {
    const path = join(tempDir(t), 'run', 'metrics.sock');
    const address = { kind: 'unix', path } as const;
    const server = await MetricsServer.listen(address, source(), hostEffects);
    t.after(() => server.close());
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal((await httpGet({ socketPath: path }, '/metrics')).body, 'up 1\n');
    await assert.rejects(MetricsServer.listen(address, source(), hostEffects), /another agent answers at/);
    server.close();
    assert.equal(existsSync(path), false);
  });

  test('a loopback port', async (t) => {
    const server = await MetricsServer.listen(
      { kind: 'tcp', host: '127.0.0.1', port: 0 },
      source(),
      hostEffects,
    );
    t.after(() => server.close());
    const { address } = server;
    assert.ok(address.kind === 'tcp' && address.port > 0);
    const { status, body } = await httpGet({ host: address.host, port: address.port }, '/healthz');
    assert.deepEqual([status, (JSON.parse(body) as { ok: boolean }).ok], [200, true]);
    await assert.rejects(MetricsServer.listen(address, source(), hostEffects), /EADDRINUSE/);
  });

  test('a failure of the source is an answer, not the end of the agent', async (t) => {
    const path = join(tempDir(t), 'metrics.sock');
    const broken = { ...source(), text: () => Promise.reject(new Error('broken')) };
    const server = await MetricsServer.listen({ kind: 'unix', path }, broken, hostEffects);
    t.after(() => server.close());
    const { status, body } = await httpGet({ socketPath: path }, '/metrics');
    assert.deepEqual([status, body], [500, 'Error: broken\n']);
  });
});
