import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostNamespace, inNamespace, openNamespace, sameNamespace } from '../../../cni/netlink/netns.ts';
import { newScope, scopedNamespace } from '../../support/netns.ts';
import { run } from '../../support/proc.ts';
import { openScoped } from './pair.ts';

const here = (): string => readlinkSync('/proc/thread-self/ns/net');
const openFiles = (): number => readdirSync('/proc/self/fd').length;

test('a synchronous function runs inside, and the thread is back afterwards', async (t) => {
  const scope = newScope(t);
  const home = here();
  const a = openScoped(scope, (await scopedNamespace(scope, 'a')).path);
  const b = openScoped(scope, (await scopedNamespace(scope, 'b')).path);
  const seen = inNamespace(a, () => [
    here(),
    inNamespace(b, here),
    here(),
    inNamespace(hostNamespace(), here),
  ]);
  assert.deepEqual(seen, [`net:[${a.ino}]`, `net:[${b.ino}]`, `net:[${a.ino}]`, home]);
  assert.equal(here(), home);
});

test('the thread is back after a function that throws', async (t) => {
  const scope = newScope(t);
  const namespace = openScoped(scope, (await scopedNamespace(scope, 'a')).path);
  const home = here();
  const fail = (): never => {
    throw new RangeError('inside');
  };
  assert.throws(() => inNamespace(namespace, fail), RangeError);
  assert.equal(here(), home);
});

test('an asynchronous function is refused', async (t) => {
  const scope = newScope(t);
  const namespace = openScoped(scope, (await scopedNamespace(scope, 'a')).path);
  const home = here();
  assert.throws(() => inNamespace(namespace, () => Promise.reject(new Error('lost'))), TypeError);
  assert.equal(here(), home);
});

test('namespaces are compared by identity, not by path', async (t) => {
  const scope = newScope(t);
  const { path } = await scopedNamespace(scope, 'a');
  const first = openScoped(scope, path);
  assert.ok(sameNamespace(first, openScoped(scope, path)));
  assert.ok(!sameNamespace(first, hostNamespace()));
  assert.ok(sameNamespace(openScoped(scope, '/proc/self/ns/net'), hostNamespace()));
});

test('a namespace stays usable while it is open, and is refused once closed', async (t) => {
  const scope = newScope(t);
  const made = await scopedNamespace(scope, 'a');
  const namespace = openNamespace(made.path);
  await made.stop();
  assert.equal(inNamespace(namespace, here), `net:[${namespace.ino}]`);
  namespace.close();
  namespace.close();
  assert.throws(() => inNamespace(namespace, here), { name: 'NamespaceError', code: 'io' });
});

test('only a path that leads nowhere is missing', async (t) => {
  const scope = newScope(t);
  const dir = await scope.tempDir();
  const plain = join(dir, 'plain');
  writeFileSync(plain, '');
  const fifo = join(dir, 'fifo');
  assert.equal((await run('mkfifo', [fifo])).code, 0);
  const code = (path: string): string => {
    try {
      openNamespace(path).close();
      return 'opened';
    } catch (error) {
      assert.ok(error instanceof Error && error.name === 'NamespaceError' && 'code' in error);
      return String(error.code);
    }
  };
  const before = openFiles();
  assert.equal(code(join(dir, 'none')), 'missing');
  assert.equal(code(plain), 'not-a-namespace');
  assert.equal(code(fifo), 'not-a-namespace');
  assert.equal(code(dir), 'not-a-namespace');
  assert.equal(code('/proc/self/ns/mnt'), 'not-a-namespace');
  assert.equal(code(join(plain, 'below')), 'missing');
  assert.equal(code(`${dir}/${'x'.repeat(300)}`), 'missing');
  assert.equal(openFiles(), before, 'a refused file is closed again');
});

test('a process that cannot return to its namespace stops at once', async (t) => {
  const scope = newScope(t);
  const { path } = await scopedNamespace(scope, 'a');
  const program = `
    import { hostNamespace, inNamespace, openNamespace } from './cni/netlink/netns.ts';
    const namespace = openNamespace('${path}');
    try {
      inNamespace(namespace, () => hostNamespace().close());
    } finally {
      console.log('went on');
    }`;
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '--eval', program];
  const result = await run('prlimit', ['--core=0', ...node]);
  assert.equal(result.signal, 'SIGABRT');
  assert.match(result.stderr, /cannot return from a network namespace/);
  assert.equal(result.stdout, '');
});
