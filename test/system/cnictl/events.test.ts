/**
 * Follows events with the real etcd, held against a journal that is kept outside: `cnictl events`
 * while etcd restarts and is compacted, and `cnictl serve` with listeners that are cut off.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import type { CellEvent } from '../../../ipam/events/event.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { decodeBlock } from '../../../ipam/records/block-record.ts';
import { BLOCKS } from '../../../ipam/records/keys.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import { scanAll, type Store } from '../../../ipam/store/store.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { EventLedger, toldOf } from '../../support/event-ledger.ts';
import { makeCertificates } from '../../support/etcd-tls.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run, startDaemon, until, type Daemon } from '../../support/proc.ts';
import { readLines } from '../../support/line-reader.ts';
import { eventsOf, listen, listenRaw } from '../../support/event-client.ts';
import { byAddress, flood, size, Writer } from '../../support/event-writer.ts';
import { range } from '../../unit/ipam/world.ts';

const CNICTL = join(OUR_PLUGINS, 'cnictl');

suite('events', () => {
  let scope: Scope;
  let etcd: Etcd;
  let store: Store;
  let ipam: Ipam;
  let env: Record<string, string>;
  let dir: string;

  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
    etcd = scope.use(await startEtcd());
    const opened = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => opened.close());
    store = opened;
    ipam = directIpam(store, hostEffects);
    env = { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(','), HOME: dir };
    await addRange(ipam, range('10.20.0.0/22', { name: 'blue', cooldownMs: 0 }));
    await addRange(ipam, range('10.30.0.0/24', { name: 'red', cooldownMs: 0, namedOnly: true }));
  });
  after(() => scope.close());

  const blocks = async (): Promise<ReturnType<typeof decodeBlock>[]> =>
    (await scanAll(store, BLOCKS)).map(({ key, value }) => decodeBlock(key, value));
  const compact = async (): Promise<void> => {
    await etcd.ctl('compact', String(await etcd.revision()));
  };
  const serving = async (...options: string[]): Promise<{ daemon: Daemon; url: string }> => {
    const daemon = await startDaemon(
      CNICTL,
      ['serve', '--listen', '127.0.0.1:0', ...options],
      (it) => it.output().includes('events at http'),
      { env },
    );
    scope.defer(() => daemon.stop());
    const [, url = ''] = /events at (\S+)\/events/.exec(daemon.output()) ?? [];
    return { daemon, url };
  };
  const isWell = (url: string): Promise<unknown> =>
    until('etcd is followed', async () => (await fetch(`${url}/healthz`)).status === 200 || undefined);

  test('--follow through ten restarts of etcd and two compactions misses and repeats nothing', async () => {
    const following = readLines(CNICTL, ['events', '--follow', '--initial', '-o', 'json'], env);
    scope.defer(() => void following.stop());
    await until(
      'the beginning',
      () => following.lines.some((line) => line.includes('"synced"')) || undefined,
    );
    const writer = new Writer(ipam);
    let stop = false;
    const writing = (async () => {
      for (let n = 0; !stop; n++) {
        await writer.assign(`node-${n % 3}`);
        if (n % 4 > 0) await writer.release();
        await hostEffects.pause(20);
      }
    })();
    for (let n = 0; n < 10; n++) {
      await hostEffects.pause(300);
      // Half of them without a farewell.
      if (n % 2 === 0) await etcd.kill();
      await etcd.restart();
      if (n === 3 || n === 7) {
        await hostEffects.pause(200);
        await etcd.kill();
        // What happens while nobody can follow is compacted before anybody can.
        following.process.kill('SIGSTOP');
        await etcd.restart();
        await writer.assign('node-0');
        await writer.release();
        await compact();
        following.process.kill('SIGCONT');
      }
    }
    stop = true;
    await writing;
    const events = (): CellEvent[] => following.lines.map((line) => JSON.parse(line) as CellEvent);
    await until(
      'all to be told',
      () => size(byAddress(events())) >= size(writer.journal) || undefined,
      60_000,
    );
    const told = events();
    assert.deepEqual(byAddress(told), writer.journal);
    const gaps = told.filter(({ type }) => type === 'gap');
    assert.ok(gaps.length === 2 && gaps.every(({ complete }) => complete === true), JSON.stringify(gaps));
    const known = new EventLedger().take(told.map(({ sequence: _, ...event }) => event));
    const expected = toldOf(await blocks());
    assert.deepEqual([...known.addresses.keys()].sort(), [...expected.addresses.keys()].sort());
    assert.deepEqual(known.blocks, expected.blocks);
    following.process.kill('SIGTERM');
    assert.equal(await following.ended, 0, following.errors());
    assert.match(following.errors(), /etcd cannot be followed, trying again: .*\n.*following etcd again/);
  });

  test('--follow tells an etcd that was restored, with its revisions bumped and compacted', async () => {
    const own = scope.use(await startEtcd());
    const opened = openEtcdStore({ endpoints: own.endpoints, prefix: '/cellnet' });
    scope.defer(() => opened.close());
    const ownIpam = directIpam(opened, hostEffects);
    await addRange(ownIpam, range('10.20.0.0/22', { name: 'blue', cooldownMs: 0 }));
    const writer = new Writer(ownIpam);
    await writer.assign('node-0');
    await writer.assign('node-1');
    const snapshot = await own.snapshot();
    await writer.assign('node-0');
    await writer.release();
    const following = readLines(CNICTL, ['events', '--follow', '--initial', '-o', 'json'], {
      ...env,
      CELLNET_ETCD_ENDPOINTS: own.endpoints.join(','),
    });
    scope.defer(() => void following.stop());
    const events = (): CellEvent[] => following.lines.map((line) => JSON.parse(line) as CellEvent);
    await until('the beginning', () => events().some(({ type }) => type === 'synced') || undefined);
    await writer.assign('node-1');
    await until('it to be told', () => events().at(-1)?.type === 'assigned' || undefined);
    const known = await own.revision();
    following.process.kill('SIGSTOP');
    await own.restore(snapshot);
    // etcdctl of 3.4 has no --bump-revision --mark-compacted: this does the same.
    for (let n = await own.revision(); n <= known + 20; n++) await own.ctl('put', '/elsewhere', String(n));
    await own.ctl('compact', String(await own.revision()));
    following.process.kill('SIGCONT');
    await until('the gap', () => events().some(({ type }) => type === 'gap') || undefined);
    await new Writer(ownIpam, 'later').assign('node-0');
    await until(
      'what is new',
      () => events().some(({ containerId }) => containerId === 'later1') || undefined,
    );
    const told = events();
    const gaps = told.filter(({ type }) => type === 'gap');
    assert.deepEqual(
      gaps.map(({ reason, complete }) => [reason, complete]),
      [['set-back', false]],
      JSON.stringify(gaps),
    );
    const ledger = new EventLedger().take(told.map(({ sequence: _, ...event }) => event));
    const expected = toldOf((await scanAll(opened, BLOCKS)).map(({ key, value }) => decodeBlock(key, value)));
    assert.deepEqual([...ledger.addresses.keys()].sort(), [...expected.addresses.keys()].sort());
    assert.deepEqual(ledger.blocks, expected.blocks);
    await following.stop();
  });

  test('the past by revision, by position, by time, and of a namespace', async () => {
    const first = (await etcd.revision()) + 1;
    const writer = new Writer(ipam);
    const ip = await writer.assign('node-7', 'bank');
    await writer.assign('node-7');
    await writer.release();
    const read = async (...options: string[]): Promise<CellEvent[]> => {
      const ran = await run(CNICTL, ['events', '-o', 'json', ...options], { env });
      assert.equal(ran.code, 0, ran.stderr);
      return ran.stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as CellEvent);
    };
    const all = await read('--from-revision', String(first));
    const addresses = all.filter(({ ip: address }) => address !== null);
    assert.deepEqual(
      addresses.map(({ type, containerId }) => `${type} ${containerId ?? ''}`),
      ['assigned c1', 'assigned c2', 'released c1'],
    );
    for (const [n, { position }] of all.entries())
      assert.deepEqual(await read('--after', position ?? ''), all.slice(n + 1));
    const ofBank = await read('--since', '1h', '--namespace', 'bank');
    assert.deepEqual(
      ofBank.map((event) => [event.type, event.ip]),
      [
        ['assigned', ip],
        ['released', ip],
      ],
    );
    const { stdout } = await run(CNICTL, ['events', '--namespace', 'bank'], { env });
    assert.match(stdout, /^\S+Z {2}assigned +10\.20\.\S+ +bank\/c1 {2}node-7 {2}blue\n/);
    const refused = await run(CNICTL, ['events', '--since', '1h', '--after', '9'], { env });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /--since and --after: expected one of them/);
  });

  test('it ends at the next event after its reader has', async () => {
    const writer = new Writer(ipam, 'ends');
    let isOver = false;
    const piped = `${CNICTL} events --follow --initial -o json | head -n 1`;
    const running = run('bash', ['-c', piped], { env }).finally(() => (isOver = true));
    while (!isOver) {
      await writer.assign('node-1');
      await writer.release();
      await hostEffects.pause(200);
    }
    assert.match((await running).stdout, /"type":"range-added"/);
  });

  test('server-sent events: a browser that is cut off goes on behind its last event', async () => {
    const { daemon, url } = await serving();
    await isWell(url);
    const writer = new Writer(ipam);
    const source = await listen(`${url}/events?namespace=shop`);
    assert.equal(source.headers['content-type'], 'text/event-stream; charset=utf-8');
    for (let n = 0; n < 5; n++) await writer.assign('node-1');
    await until('five events', () => eventsOf(source.text()).length === 5 || undefined);
    source.close();
    for (let n = 0; n < 5; n++) await writer.release();
    const last = /^id: (.+)$/gm;
    const ids = [...source.text().matchAll(last)].map(([, id = '']) => id);
    const again = await listen(`${url}/events?namespace=shop`, { 'last-event-id': ids.at(-1) ?? '' });
    await until('five more', () => eventsOf(again.text()).length === 5 || undefined);
    const told = [...eventsOf(source.text()), ...eventsOf(again.text())];
    assert.deepEqual(byAddress(told), writer.journal);
    // What the server does not keep any more, it reads back from etcd.
    const back = await listen(`${url}/events?format=json&after=${told[0]?.position ?? ''}&namespace=shop`);
    await until('nine lines', () => back.text().trim().split('\n').length === 9 || undefined);
    daemon.signal('SIGTERM');
    assert.equal(await daemon.ended, 0, daemon.output());
    await until(
      'the end to be told',
      () => /"type":"cut-off","reason":"the server ends"/.test(again.text()) || undefined,
    );
    const other = await serving();
    await isWell(other.url);
    const marked = await listen(`${other.url}/events?format=json&bookmarks=1`);
    await until('a bookmark', () => marked.text() !== '' || undefined);
    assert.deepEqual(JSON.parse(marked.text()), { type: 'bookmark', position: told.at(-1)?.position });
    marked.close();
    const lines = await listen(`${other.url}/events?after=${told[0]?.position ?? ''}&namespace=shop`, {
      accept: 'application/x-ndjson',
    });
    await until('nine lines', () => lines.text().trim().split('\n').length === 9 || undefined);
    assert.deepEqual(
      lines
        .text()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as CellEvent),
      told.slice(1),
    );
    lines.close();
    back.close();
  });

  test('a listener that takes nothing is cut off, told why and from where, and can go on there', async () => {
    const { daemon, url } = await serving();
    await isWell(url);
    const { port } = new URL(url);
    const slow = connect(Number(port), '127.0.0.1');
    scope.defer(() => void slow.destroy());
    const from = (await etcd.revision()) + 1;
    slow.write(`GET /events?format=json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    slow.pause();
    const fast = await listen(`${url}/events?format=json`);
    const writer = new Writer(ipam, 'slow');
    // More than the server keeps and the kernel holds for a connection that is not read.
    const count = 90_000;
    await flood(store, count);
    await until('the fast one to have all', () => fast.lines() >= count || undefined, 120_000);
    let text = '';
    slow.on('data', (chunk: Buffer) => (text += chunk.toString()));
    slow.resume();
    await until('the slow one to be cut off', () => text.includes('"cut-off"') || undefined, 30_000);
    const cut = /\{"type":"cut-off".*\}/.exec(text)?.[0] ?? '';
    const { reason, position } = JSON.parse(cut) as { reason: string; position: string };
    assert.match(reason, /took events too slowly/);
    const got = text.split('\n').filter((line) => line.includes('"revision":')).length;
    assert.ok(got > 0 && got < count, String(got));
    const rest = await listen(`${url}/events?format=json&after=${position}`);
    await until('the rest', () => rest.lines() >= count - got || undefined, 120_000);
    await writer.assign('node-1');
    await until('what is new', () => rest.lines() > count - got || undefined);
    const positions = (listened: string): string[] => listened.match(/"position":"[\d.]+"/g) ?? [];
    const inTwoParts = [...positions(text.slice(0, text.indexOf('"cut-off"'))), ...positions(rest.text())];
    await until('the same', () => positions(fast.text()).length === inTwoParts.length || undefined);
    assert.deepEqual(inTwoParts, positions(fast.text()));
    assert.ok(from > 0);
    fast.close();
    rest.close();
    daemon.signal('SIGTERM');
    await daemon.ended;
  });

  test('who may listen: the loopback, or with TLS and a token', async () => {
    const folder = join(dir, 'access');
    mkdirSync(folder, { recursive: true });
    const { serverArgs } = await makeCertificates(folder, '127.0.0.1');
    const certificate = serverArgs[serverArgs.indexOf('--cert-file') + 1] ?? '';
    const key = serverArgs[serverArgs.indexOf('--key-file') + 1] ?? '';
    const token = join(folder, 'token');
    writeFileSync(token, 'secret-1\n');
    const refused = async (...options: string[]): Promise<string> => {
      const ran = await run(CNICTL, ['serve', ...options], { env });
      assert.equal(ran.code, 2, ran.stdout);
      return ran.stderr;
    };
    assert.match(
      await refused('--listen', '0.0.0.0:0'),
      /beyond the loopback expected --tls-cert, --tls-key and --token-file/,
    );
    assert.match(await refused('--listen', '0.0.0.0:0', '--token-file', token), /beyond the loopback/);
    assert.match(
      await refused('--listen', '[::]:0', '--tls-cert', certificate, '--tls-key', key),
      /beyond the loopback/,
    );
    assert.match(
      await refused('--listen', 'localhost:0'),
      /expected an IP address and a port, such as 127\.0\.0\.1:9463/,
    );
    assert.match(await refused('--tls-cert', certificate), /expected --tls-key beside it/);
    assert.match(
      await refused('--tls-cert', token, '--tls-key', key),
      /expected a certificate and its key in PEM/,
    );
    assert.match(
      await refused('--token-file', '/none'),
      /--token-file '\/none': expected a file that can be read/,
    );

    const { daemon, url } = await serving('--token-file', token);
    await isWell(url);
    const ask = async (path: string, authorization?: string): Promise<number> => {
      const headers = authorization === undefined ? {} : { authorization };
      const reply = await fetch(`${url}${path}`, { headers, signal: AbortSignal.timeout(5_000) });
      void reply.body?.cancel();
      return reply.status;
    };
    assert.equal(await ask('/events'), 401);
    assert.equal(await ask('/events', 'Bearer secret'), 401);
    assert.equal(await ask('/nothing'), 401);
    assert.equal(await ask('/events', 'Bearer secret-1'), 200);
    assert.deepEqual(await (await fetch(`${url}/healthz`)).json(), { ok: true });
    writeFileSync(token, 'secret-2\n');
    await until('the new token', async () => (await ask('/events', 'Bearer secret-2')) === 200 || undefined);
    assert.equal(await ask('/events', 'Bearer secret-1'), 401);
    daemon.signal('SIGTERM');
    await daemon.ended;

    const open = await serving('--listen', '0.0.0.0:0', '--insecure');
    await isWell(open.url.replace('0.0.0.0', '127.0.0.1'));
    const secure = await serving('--tls-cert', certificate, '--tls-key', key, '--token-file', token);
    assert.match(secure.url, /^https:/);
    const curl = await run('curl', ['-sk', '-H', 'Authorization: Bearer secret-2', `${secure.url}/healthz`]);
    assert.match(curl.stdout, /"listeners":/);
  });

  test('what is asked wrongly is refused with what was expected', async () => {
    const { url } = await serving();
    await isWell(url);
    const ask = async (path: string, headers: Record<string, string> = {}): Promise<string> => {
      const reply = await fetch(`${url}${path}`, { headers });
      return `${reply.status} ${await reply.text()}`;
    };
    assert.match(await ask('/events?from=x'), /^400 from=x: expected a revision of etcd/);
    assert.match(await ask('/events?after=1.0'), /^400 after '1.0': expected a position of an event/);
    assert.match(await ask('/events', { 'last-event-id': '-' }), /^400 Last-Event-ID '-'/);
    assert.match(await ask('/events?pod=x'), /^400 unknown parameter 'pod': expected one of from, after/);
    assert.match(await ask('/events?format=xml'), /^400 format=xml: expected sse or json/);
    assert.match(await ask('/nothing'), /^404 expected .*\/events or .*\/healthz/);
    // A position that etcd has not reached is of a history that it has lost.
    const lost = await listen(`${url}/events?after=99999999`);
    await until('a gap', () => eventsOf(lost.text()).length > 0 || undefined);
    const [gap] = eventsOf(lost.text());
    assert.deepEqual([gap?.type, gap?.reason, gap?.complete], ['gap', 'set-back', false]);
    const ip = await new Writer(ipam, 'lost').assign('node-1');
    await until('what comes then', () => eventsOf(lost.text()).some((event) => event.ip === ip) || undefined);
    lost.close();
    // A page of another name that leads here must not read along in somebody's browser.
    const { port } = new URL(url);
    const rebound = await listenRaw(Number(port), 'evil.example');
    assert.match(rebound, /^HTTP\/1\.1 421 /);
  });

  test('etcd that is away at the start is waited for', async () => {
    await etcd.kill();
    const { daemon, url } = await serving();
    assert.equal((await fetch(`${url}/healthz`)).status, 503);
    assert.equal((await fetch(`${url}/events`)).status, 503);
    await etcd.restart();
    await isWell(url);
    daemon.signal('SIGTERM');
    assert.equal(await daemon.ended, 0);
  });
});
