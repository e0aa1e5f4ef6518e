import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { stringify } from 'yaml';
import { KubeError } from '../../../../cni/kube/errors.ts';
import { findTarget } from '../../../../cni/kube/kubeconfig.ts';

const dir = mkdtempSync(join(tmpdir(), 'kubeconfig-test-'));
after(() => rmSync(dir, { recursive: true, force: true }));

interface Entries {
  readonly server?: string;
  readonly name?: string;
  readonly user?: Record<string, unknown>;
  readonly context?: Record<string, unknown>;
  readonly current?: string;
}

function write(
  file: string,
  { server = 'https://k.example:6443', name = 'a', user = { token: 't' }, ...rest }: Entries = {},
): string {
  const path = join(dir, file);
  mkdirSync(join(path, '..'), { recursive: true });
  const context = rest.context ?? { cluster: name, user: name };
  const config = {
    clusters: [{ name, cluster: { server } }],
    users: [{ name, user }],
    contexts: [{ name, context }],
    ...(rest.current === '' ? {} : { 'current-context': rest.current ?? name }),
  };
  writeFileSync(path, stringify(config));
  return path;
}

const isConfig = (pattern: RegExp) => (error: unknown) =>
  error instanceof KubeError && error.code === 'config' && pattern.test(error.message);
const serverOf = (options: Parameters<typeof findTarget>[0]): string => findTarget(options).cluster.server;

test('flag, KUBECONFIG, our configuration, the pod, the home directory: in this order', () => {
  const at = (name: string): string => write(name, { server: `https://${name}` });
  write('home/.kube/config', { server: 'https://home' });
  const serviceAccountDir = join(dir, 'sa');
  mkdirSync(serviceAccountDir);
  writeFileSync(join(serviceAccountDir, 'token'), 't');
  const inPod = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const home = { HOME: join(dir, 'home') };
  const env = { ...home, ...inPod, KUBECONFIG: at('env') };
  const noFlag = { configuredKubeconfig: at('file'), env, serviceAccountDir };
  assert.equal(serverOf({ ...noFlag, kubeconfig: at('flag') }), 'https://flag');
  assert.equal(serverOf(noFlag), 'https://env');
  assert.equal(serverOf({ ...noFlag, env: { ...home, ...inPod } }), 'https://file');
  assert.equal(serverOf({ env: { ...home, ...inPod }, serviceAccountDir }), 'https://[fd00::1]:443');
  assert.equal(serverOf({ env: home, serviceAccountDir }), 'https://home');
  assert.throws(() => findTarget({ env: {}, serviceAccountDir }), isConfig(/no kubeconfig/));
});

test('a file that is named and cannot be used is never passed over', () => {
  write('home/.kube/config');
  const env = { HOME: join(dir, 'home') };
  assert.throws(() => findTarget({ kubeconfig: join(dir, 'none'), env }), isConfig(/cannot be read.*ENOENT/));
  assert.throws(
    () => findTarget({ env: { ...env, KUBECONFIG: join(dir, 'none') } }),
    isConfig(/no such file exists/),
  );
  writeFileSync(join(dir, 'empty'), '');
  assert.throws(() => findTarget({ kubeconfig: join(dir, 'empty'), env }), isConfig(/cannot be read/));
  writeFileSync(join(dir, 'bad'), 'clusters: [');
  assert.throws(() => findTarget({ kubeconfig: join(dir, 'bad'), env }), isConfig(/cannot be read/));
});

test('of several files in KUBECONFIG the first counts, and those missing are skipped', () => {
  const first = write('first', { server: 'https://first', name: 'same', current: '' });
  const second = write('second', { server: 'https://second', name: 'same' });
  const third = write('third', { server: 'https://third', name: 'other' });
  const env = { KUBECONFIG: [join(dir, 'none'), first, second, third].join(':') };
  assert.equal(serverOf({ env }), 'https://first');
  assert.equal(serverOf({ env, context: 'other' }), 'https://third');
});

test('what a context names must be there', () => {
  const refuses = (entries: Entries, pattern: RegExp, context?: string): void => {
    const kubeconfig = write('refused', entries);
    assert.throws(
      () => findTarget({ kubeconfig, env: {}, ...(context === undefined ? {} : { context }) }),
      isConfig(pattern),
    );
  };
  refuses({}, /no context 'b'; it has a/, 'b');
  refuses({ current: '' }, /no current-context/);
  refuses({ context: { cluster: 'x', user: 'a' } }, /no cluster 'x'/);
  refuses({ context: { cluster: 'a', user: 'x' } }, /no user 'x'/);
  refuses({ server: 'k.example:6443' }, /expected the form https/);
  refuses({ server: 'https://me:secret@k.example' }, /with a user/);
  refuses({ user: { as: 'x', 'as-groups': ['y'] } }, /as-groups.*not supported/);
});

test('null, as kubectl writes it for what is not set, is no impersonation', () => {
  const kubeconfig = write('nulls', { user: { 'as-groups': null, 'as-uid': null, 'as-user-extra': null } });
  assert.equal(findTarget({ kubeconfig, env: {} }).source, kubeconfig);
});

test('a secret in the address is not repeated', () => {
  const kubeconfig = write('secret', { server: 'https://me:secret@k.example' });
  assert.throws(
    () => findTarget({ kubeconfig, env: {} }),
    (error) => error instanceof KubeError && !error.message.includes('secret@'),
  );
});

test('paths beside the file: token file, plugin', () => {
  const kubeconfig = write('beside/config', { user: { tokenFile: 'token', exec: { command: './login' } } });
  const target = findTarget({ kubeconfig, env: {} });
  assert.equal(target.tokenFile, join(dir, 'beside', 'token'));
  assert.equal((target.user.exec as { command: string }).command, join(dir, 'beside', 'login'));
  const onPath = findTarget({ kubeconfig: write('path', { user: { exec: { command: 'aws' } } }), env: {} });
  assert.equal((onPath.user.exec as { command: string }).command, 'aws');
});

test('a file that is no YAML is refused in one line, without an excerpt of it', () => {
  const path = join(dir, 'broken');
  for (const text of ['users:\n  - token: sesame\n tokens: [', 'a: b: sesame', 'users: [sesame\n']) {
    writeFileSync(path, text);
    assert.throws(
      () => findTarget({ kubeconfig: path, env: {} }),
      (error) => isConfig(/broken cannot be read: [^\n]*[^:\n]$/)(error) && !/sesame/.test(String(error)),
    );
  }
});
