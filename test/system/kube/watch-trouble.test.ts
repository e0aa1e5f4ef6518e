import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeCertificates, node, service, type Fault, type OpenWatch } from '../../support/kube-api.ts';
import { tempDir } from './setup.ts';
import { fillServices, numbered, startWatched, until, type Watched } from './watch-setup.ts';

const timeout = 30_000;

/** Begins to watch, and waits until the watch works. */
async function begin({ recorder, watch }: Watched): Promise<void> {
  watch();
  await until('the watch works', () => recorder.log.includes('well'));
}

function openWatch({ api }: Watched): OpenWatch {
  const [open] = api.watches;
  if (open === undefined) throw new Error('no watch is open');
  return open;
}

const isTrouble = (line: string): boolean => line.startsWith('trouble');
const versionOf = (watched: Watched, i: number): string | null | undefined =>
  watched.watches().at(i)?.query.get('resourceVersion');

test('a watch that the server ends continues where it ended, at once', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, lists, watches } = watched;
  await begin(watched);
  const { metadata } = api.putService(service({ name: 'a' }));
  await until('the event came', () => recorder.items.size === 1);
  openWatch(watched).end();
  await until('the next watch', () => watches().length === 2);
  api.putService(service({ name: 'b' }));
  await until('the event came', () => recorder.items.size === 2);
  assert.equal(versionOf(watched, -1), metadata.resourceVersion);
  assert.deepEqual(recorder.log, ['= 0', 'well', '+ default/a', '+ default/b']);
  assert.equal(lists().length, 1);
});

test('a watch that is cut continues after the last bookmark', { timeout }, async (t) => {
  const watched = await startWatched(t, { bookmarkMs: 50 });
  const { api, recorder, lists, watches } = watched;
  await begin(watched);
  const first = versionOf(watched, 0);
  // Raises the version of the cluster without an event for this watch.
  for (let i = 0; i < 5; i++) api.putNode(node({ name: `n${i}` }));
  const version = String(Number(first) + 5);
  await new Promise((resolve) => setTimeout(resolve, 300));
  openWatch(watched).cut();
  api.putService(service({ name: 'meanwhile' }));
  await until('the next watch', () => watches().length === 2);
  await until('the event came', () => recorder.items.size === 1);
  assert.equal(versionOf(watched, 1), version);
  assert.equal(lists().length, 1);
  assert.match(recorder.log.find(isTrouble) ?? '', /did not answer in full: /);
  await until('it works again', () => recorder.log.filter((line) => line === 'well').length === 2);
});

test('410 as a watch begins again: a new list, and removals are told', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, lists } = watched;
  fillServices(watched, 3);
  await begin(watched);
  openWatch(watched).cut();
  api.deleteService('shop', 'svc-0001');
  api.putService(service({ name: 'new' }));
  api.compact();
  await until('the second list', () => recorder.log.filter((line) => line === '= 3').length === 2);
  assert.deepEqual(recorder.keys, ['default/new', numbered(0), numbered(2)]);
  assert.equal(lists().length, 2);
  assert.equal(recorder.log.filter(isTrouble).length, 1, 'that of the cut alone');
});

test('410 within a watch is no trouble', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, lists } = watched;
  fillServices(watched, 2);
  await begin(watched);
  const open = openWatch(watched);
  open.stall();
  api.deleteService('shop', 'svc-0000');
  open.write(`${JSON.stringify(expired)}\n`);
  await until('the second list', () => recorder.log.includes('= 1'));
  api.putService(service({ name: 'new' }));
  await until('the event came', () => recorder.items.size === 2);
  assert.deepEqual(recorder.log, ['= 2', 'well', '= 1', '+ default/new']);
  assert.equal(lists().length, 2);
});

const expired = {
  type: 'ERROR',
  object: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Expired', code: 410 },
};

test('410 as the response of a watch', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder, lists } = watched;
  api.faults.push(undefined, { kind: 'status', status: 410, reason: 'Expired' });
  await begin(watched);
  assert.deepEqual(recorder.log, ['= 0', '= 0', 'well']);
  assert.equal(lists().length, 2);
});

test('a silent watch is broken off and begun again', { timeout }, async (t) => {
  const watched = await startWatched(t, { bookmarkMs: 50 }, { silenceMs: 20_000 });
  const { api, recorder, lists, watches } = watched;
  api.faults.push(undefined, { kind: 'hang', afterBytes: 0 });
  watched.watch();
  await until('the next watch', () => watches().length === 2);
  api.putService(service({ name: 'a' }));
  await until('the event came', () => recorder.items.size === 1);
  openWatch(watched).stall();
  api.putService(service({ name: 'b' }));
  await until('the missed event came', () => recorder.items.size === 2);
  assert.equal(recorder.log.filter(isTrouble).length, 0);
  assert.equal(lists().length, 1);
  await until('the silent connections are closed', () => api.watches.size === 1);
  assert.equal(api.openConnections(), 1);
});

test('bookmarks are a sign of life', { timeout }, async (t) => {
  const watched = await startWatched(t, { bookmarkMs: 50 }, { silenceMs: 50_000 });
  await begin(watched);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(watched.watches().length, 1);
});

test('a server that does not answer a watch is told', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder } = watched;
  api.faults.push(undefined, { kind: 'hang' });
  await begin(watched);
  assert.match(recorder.log[1] ?? '', /^trouble: .*no answer within 30000 ms/);
});

test('connections that fail: pauses that double, until it works again', { timeout }, async (t) => {
  const watched = await startWatched(t, {}, { random: () => 0.5 });
  const { api, recorder, timers, lists } = watched;
  const reset: Fault = { kind: 'reset' };
  api.faults.push(undefined, reset, reset, reset, reset);
  await begin(watched);
  assert.equal(recorder.log.filter(isTrouble).length, 1, 'the same problem is told once');
  const pauses = timers.filter((ms) => [1200, 2400, 4800, 9600].includes(ms));
  assert.deepEqual(pauses, [1200, 2400, 4800, 9600]);
  assert.equal(lists().length, 1);
});

test('a watch that ends as soon as it begins is trouble', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder } = watched;
  const empty: Fault = { kind: 'raw', status: 200, body: '' };
  api.faults.push(undefined, empty, empty);
  await begin(watched);
  assert.equal(watched.watches().length, 3);
  assert.match(recorder.log[1] ?? '', /^trouble: the watch of services ended as soon as it began/);
});

for (const status of [429, 500, 503]) {
  test(`${status}: the pause that the server asks for`, { timeout }, async (t) => {
    const watched = await startWatched(t, {}, { random: () => 0 });
    const { api, recorder, timers, lists } = watched;
    api.faults.push(undefined, { kind: 'status', status, retryAfter: 7 });
    await begin(watched);
    assert.match(recorder.log[1] ?? '', new RegExp(`^trouble: .*could not watch services: ${status}`));
    assert.ok(timers.includes(7000), timers.join());
    assert.equal(lists().length, 1);
  });
}

test('403 is told with what is missing, and tried again slowly', { timeout }, async (t) => {
  let denied = true;
  const forbid = (_user: string, verb: string): boolean => denied && verb === 'watch';
  const watched = await startWatched(t, { forbid }, { random: () => 0 });
  const { recorder, watch, timers, lists } = watched;
  watch();
  await until('the refusal is told', () => recorder.log.some(isTrouble));
  assert.match(recorder.log[1] ?? '', /the verb "watch" on the resource "services" of the core API group/);
  denied = false;
  await until('the watch works', () => recorder.log.includes('well'));
  assert.ok(timers.includes(30_000), timers.join());
  assert.equal(lists().length, 1);
});

test('a list that is refused is told, and made later', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { api, recorder } = watched;
  api.faults.push({ kind: 'status', status: 403, reason: 'Forbidden' });
  await begin(watched);
  assert.match(recorder.log[0] ?? '', /^trouble: .* forbids to list services: 403/);
  assert.deepEqual(recorder.log.slice(1), ['= 0', 'well']);
});

test('401: a renewed token is read at once', { timeout }, async (t) => {
  const tokenFile = join(tempDir(t), 'token');
  writeFileSync(tokenFile, 'secret');
  const tls = makeCertificates(tempDir(t));
  const watched = await startWatched(t, { tls, tokens: { secret: 'tester' } }, {}, { tokenFile });
  const { api, recorder, watches } = watched;
  await begin(watched);
  api.putService(service({ name: 'a' }));
  await until('the event came', () => recorder.items.size === 1);
  api.tokens.delete('secret');
  api.tokens.set('rotated', 'tester');
  writeFileSync(tokenFile, 'rotated');
  openWatch(watched).end();
  api.putService(service({ name: 'b' }));
  await until('the next event came', () => recorder.items.size === 2);
  assert.deepEqual(
    watches().map(({ headers }) => headers['authorization']),
    ['Bearer secret', 'Bearer secret', 'Bearer rotated'],
  );
  assert.equal(recorder.log.filter(isTrouble).length, 0);
  await until('one connection is left', () => api.openConnections() === 1);

  api.tokens.clear();
  api.tokens.set('third', 'tester');
  openWatch(watched).end();
  await until('the refusal is told', () => recorder.log.some(isTrouble));
  assert.match(recorder.log.find(isTrouble) ?? '', /does not accept our credentials: 401/);
  writeFileSync(tokenFile, 'third');
  api.putService(service({ name: 'c' }));
  await until('the last event came', () => recorder.items.size === 3);
});

test('a watch ends before its credentials do', { timeout }, async (t) => {
  const dir = tempDir(t);
  const expirationTimestamp = new Date(Date.now() + 100_000).toISOString();
  const apiVersion = 'client.authentication.k8s.io/v1';
  const credential = { apiVersion, kind: 'ExecCredential', status: { token: 'secret', expirationTimestamp } };
  const command = join(dir, 'plugin');
  writeFileSync(command, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`, { mode: 0o755 });
  const exec = { apiVersion, command, interactiveMode: 'Never' };
  const server = { tls: makeCertificates(dir), tokens: { secret: 'tester' } };
  const watched = await startWatched(t, server, {}, { exec });
  await begin(watched);
  const seconds = Number(watched.watches()[0]?.query.get('timeoutSeconds'));
  assert.ok(seconds > 30 && seconds <= 90, `${seconds} s`);
});

test('a line that is no event, or is too long: a new list passes over it', { timeout }, async (t) => {
  for (const [line, told] of [
    ['<html>\n', /not.*JSON|Unexpected token/],
    ['{"type":"ADDED","object":{}}\n', /object\.metadata/],
    ['{"type":"RENAMED","object":{"metadata":{"resourceVersion":"5"}}}\n', /type: expected ADDED/],
    [Buffer.alloc(4_100_000, 'x'), /more than 4000000 bytes/],
  ] as const) {
    const watched = await startWatched(t);
    const { recorder, lists } = watched;
    await begin(watched);
    const open = openWatch(watched);
    open.stall();
    open.write(line);
    await until('the second list', () => lists().length === 2);
    assert.match(recorder.log.find(isTrouble) ?? '', told);
    await until('it works again', () => recorder.log.at(-1) === 'well');
  }
});

test('an error of the server within a watch is told', { timeout }, async (t) => {
  const watched = await startWatched(t);
  const { recorder, lists, watches } = watched;
  await begin(watched);
  openWatch(watched).fail(500, 'InternalError');
  await until('the next watch', () => watches().length === 2);
  assert.match(recorder.log.find(isTrouble) ?? '', /could not watch services: 500/);
  assert.equal(lists().length, 1);
});
