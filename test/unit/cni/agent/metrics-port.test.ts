import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:https';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, suite, test } from 'node:test';
import { readAccess } from '../../../../cni/agent/metrics-access.ts';
import { MetricsPort } from '../../../../cni/agent/metrics-port.ts';
import { metricsPortSettings } from '../../../../cni/agent/metrics-port-settings.ts';
import { hostEffects } from '../../../../cni/host/effects.ts';
import type { PartialMetrics } from '../../../../ipam/settings/settings.ts';
import { makeCertificates, type Certificates } from '../../../support/kube-api-tls.ts';
import { httpGet } from '../../../support/prometheus.ts';

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly connection: string | undefined;
}

interface Client {
  readonly ca: Certificates;
  readonly identity?: Certificates;
  readonly token?: string;
  readonly path?: string;
  readonly method?: string;
}

suite('the metrics port', () => {
  let dir: string;
  let ours: Certificates;
  let others: Certificates;
  let port: number;
  let files: { certFile: string; keyFile: string };
  let settings: PartialMetrics | undefined;
  let readable: boolean;
  let logged: { message: string; reason?: unknown }[];
  let served: MetricsPort;
  /** What the port has scheduled: the limits of connections, and its next look. */
  let timers: { ms: number; work: () => void }[];

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellnet-metrics-port-'));
    ours = makeCertificates(join(dir, 'ours'));
    others = makeCertificates(join(dir, 'others'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  beforeEach(async () => {
    port = await freePort();
    const folder = mkdtempSync(join(dir, 'node-'));
    files = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
    put(ours);
    settings = { listen: `127.0.0.1:${port}`, ...files };
    readable = true;
    logged = [];
    timers = [];
    const log = (message: string, more?: object): void => void logged.push({ message, ...more });
    served = new MetricsPort({
      settings: () => (readable ? settings : assert.fail('not JSON')),
      source: {
        contentType: 'text/plain; version=0.0.4',
        text: () => Promise.resolve('up 1\n'),
        health: () => ({ ok: true }),
      },
      log: { info: log, warn: log, error: log },
      effects: {
        schedule: (ms, work) => {
          const timer = { ms, work };
          timers.push(timer);
          return { cancel: () => void (timers = timers.filter((each) => each !== timer)) };
        },
      },
    });
  });
  afterEach(() => served.stop());

  /** Puts a server's certificate and key in place, each by a rename. */
  const put = (from: Certificates): void => {
    for (const [source, file] of [
      [from.serverCertFile, files.certFile],
      [from.serverKeyFile, files.keyFile],
    ] as const) {
      copyFileSync(source, `${file}.new`);
      renameSync(`${file}.new`, file);
    }
  };

  const reason = (): string => served.report?.reason ?? '';

  const get = ({ ca, identity, token, path = '/metrics', method = 'GET' }: Client): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const asking = request(
        {
          host: '127.0.0.1',
          port,
          path,
          method,
          agent: false,
          timeout: 5_000,
          ca: read(ca.caFile),
          ...(identity && { cert: read(identity.clientCertFile), key: read(identity.clientKeyFile) }),
          headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body, connection: response.headers.connection }),
          );
        },
      );
      asking.on('timeout', () => asking.destroy(new Error('no answer')));
      asking.on('error', reject);
      asking.end();
    });

  test('TLS, one request a connection, /metrics and /healthz and nothing else', async () => {
    await served.look();
    assert.deepEqual(await get({ ca: ours }), { status: 200, body: 'up 1\n', connection: 'close' });
    assert.equal((await get({ ca: ours, path: '/healthz' })).body, '{"ok":true}\n');
    assert.equal((await get({ ca: ours, path: '/log' })).status, 403);
    assert.equal((await get({ ca: ours, path: '/' })).status, 404);
    assert.equal((await get({ ca: ours, method: 'POST' })).status, 405);
    await assert.rejects(get({ ca: others }), /self-signed certificate|unable to verify|signature/);
    await assert.rejects(httpGet({ host: '127.0.0.1', port }, '/metrics'), /ECONNRESET|socket hang up/);
    assert.deepEqual(served.report, { listen: `127.0.0.1:${port}`, tls: true });
  });

  test('TLS older than 1.2 is refused', async () => {
    await served.look();
    const handshake = (...version: string[]): Promise<string> =>
      new Promise((resolve) => {
        const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-cipher', 'ALL:@SECLEVEL=0', ...version];
        const child = spawn('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 10_000 });
        let text = '';
        for (const stream of [child.stdout, child.stderr])
          stream.setEncoding('utf8').on('data', (part: string) => (text += part));
        child.once('close', () => resolve(text));
      });
    assert.match(await handshake('-tls1_2'), /Protocol *: TLSv1\.2/);
    for (const old of ['-tls1', '-tls1_1']) assert.match(await handshake(old), /alert protocol version/, old);
  });

  test('a CA for clients: none, another one, the right one', async () => {
    settings = { ...settings, clientCaFile: ours.caFile };
    await served.look();
    assert.equal((await get({ ca: ours, identity: ours })).status, 200);
    const refused = /ECONNRESET|alert|certificate required|unknown ca|socket hang up/i;
    await assert.rejects(get({ ca: ours }), refused);
    await assert.rejects(get({ ca: ours, identity: others }), refused);
  });

  test('a token: none, a wrong one, the right one, a replaced one', async () => {
    const tokenFile = join(mkdtempSync(join(dir, 'token-')), 'token');
    writeFileSync(tokenFile, 'first\n');
    settings = { ...settings, tokenFile };
    await served.look();
    assert.equal((await get({ ca: ours })).status, 401);
    assert.equal((await get({ ca: ours, token: 'firs' })).status, 401);
    assert.equal((await get({ ca: ours, token: 'first' })).status, 200);
    writeFileSync(tokenFile, 'second one'.replace(' ', '-'));
    await served.look();
    assert.equal((await get({ ca: ours, token: 'first' })).status, 401);
    assert.equal((await get({ ca: ours, token: 'second-one' })).status, 200);
  });

  test('replaced files are read anew without a gap; half of them or bad ones leave those of before', async () => {
    await served.look();
    writeFileSync(files.certFile, read(others.serverCertFile));
    await served.look();
    assert.match(reason(), /'metrics\.keyFile' is ".*": expected the key in PEM of the/);
    assert.equal((await get({ ca: ours })).status, 200);
    writeFileSync(files.keyFile, read(others.serverKeyFile));
    await served.look();
    assert.equal(served.report?.reason, undefined);
    assert.equal((await get({ ca: others })).status, 200);
    await assert.rejects(get({ ca: ours }));
    for (const file of Object.values(files)) {
      writeFileSync(file, 'no PEM');
      await served.look();
      assert.match(reason(), /key 'metrics\.(certFile|keyFile)' is ".*": expected/);
      rmSync(file);
      await served.look();
      assert.match(reason(), /ENOENT|certificate/);
    }
    assert.equal((await get({ ca: others })).status, 200);
    put(ours);
    await served.look();
    assert.equal((await get({ ca: ours })).status, 200);
  });

  test('a replaced CA of clients counts for the next connection', async () => {
    const clientCaFile = join(dir, 'clients.crt');
    copyFileSync(ours.caFile, clientCaFile);
    settings = { ...settings, clientCaFile };
    await served.look();
    assert.equal((await get({ ca: ours, identity: ours })).status, 200);
    writeFileSync(clientCaFile, read(others.caFile));
    await served.look();
    await assert.rejects(get({ ca: ours, identity: ours }));
    assert.equal((await get({ ca: ours, identity: others })).status, 200);
  });

  test('files that are bad from the start: told with key and file, once; a pipe blocks nothing', async () => {
    const bad = mkdtempSync(join(dir, 'bad-'));
    const [empty, pipe, folder] = ['empty', 'pipe', 'folder'].map((name) => join(bad, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(empty, '');
    execFileSync('mkfifo', [pipe]);
    mkdirSync(folder);
    for (const file of [empty, pipe, folder, join(bad, 'none'), ours.serverKeyFile])
      for (const key of ['certFile', 'clientCaFile']) {
        const told = { ...settings, [key]: file };
        const expected = new RegExp(`^key 'metrics\\.${key}' is ".*": expected`);
        const made = metricsPortSettings(told);
        assert.throws(() => made && readAccess(made), { message: expected });
      }
    for (const text of ['', 'two words', '\n']) {
      writeFileSync(empty, text);
      const made = metricsPortSettings({ ...settings, tokenFile: empty });
      assert.throws(() => made && readAccess(made), /'metrics\.tokenFile' is ".*": expected a file with one/);
    }
    settings = { ...settings, keyFile: pipe };
    await served.look();
    await served.look();
    assert.equal(logged.length, 1, JSON.stringify(logged));
    assert.match(String(logged[0]?.reason), /is a named pipe: expected a regular file/);
    settings = { ...settings, ...files };
    await served.look();
    assert.equal((await get({ ca: ours })).status, 200);
  });

  test('a port that is taken: told, tried again, served when it is free', async () => {
    const other = createServer().listen(port, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    await served.start();
    assert.match(reason(), /EADDRINUSE/);
    await new Promise((resolve) => other.close(resolve));
    const next = timers.find(({ ms }) => ms === 1_000);
    assert.ok(next, 'it looks again');
    next.work();
    await until(() => served.report?.reason === undefined);
    assert.equal((await get({ ca: ours })).status, 200);
    assert.deepEqual(
      logged.map(({ message }) => message),
      ['metrics cannot be served as configured', 'metrics port', 'metrics are served as configured again'],
    );
  });

  test('other settings count at once; with bad ones nothing of before is served', async () => {
    await served.look();
    const before = port;
    port = await freePort();
    settings = { ...settings, listen: `127.0.0.1:${port}` };
    await served.look();
    assert.equal((await get({ ca: ours })).status, 200);
    await assert.rejects(httpGet({ host: '127.0.0.1', port: before }, '/'), /ECONNREFUSED/);
    // Somebody wanted less to be open than before.
    settings = { ...settings, clientCaFile: join(dir, 'missing.crt') };
    await served.look();
    await assert.rejects(get({ ca: ours }), /ECONNREFUSED/);
    settings = undefined;
    await served.look();
    assert.equal(served.report, undefined);
  });

  test('a client that says nothing, or reads nothing, ends; sixteen at most at once', async () => {
    await served.look();
    const clients = await Promise.all(Array.from({ length: 20 }, () => silent(port)));
    await until(() => timers.length >= 16);
    await until(() => clients.filter(({ destroyed }) => destroyed).length === 4);
    const limits = timers.filter(({ ms }) => ms === 30_000);
    assert.equal(limits.length, 16);
    for (const { work } of limits) work();
    await until(() => clients.every(({ destroyed }) => destroyed));
    assert.equal((await get({ ca: ours })).status, 200);
  });

  test('settings that cannot be read leave all as it is', async () => {
    await served.look();
    readable = false;
    await served.look();
    assert.equal((await get({ ca: ours })).status, 200);
    assert.deepEqual(served.report, { listen: `127.0.0.1:${port}`, tls: true });
  });
});

const read = (file: string): string => readFileSync(file, 'utf8');

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Connects, and sends nothing. */
function silent(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
    socket.resume();
    socket.on('end', () => socket.destroy());
  });
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !holds();) {
    assert.ok(performance.now() < end, 'in time');
    await hostEffects.pause(10);
  }
}
