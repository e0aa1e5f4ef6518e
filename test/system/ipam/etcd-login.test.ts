import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { copyFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { absent, put } from '../../../ipam/records/transaction.ts';
import { openEtcdInspector } from '../../../ipam/store/etcd/inspect.ts';
import type { EtcdSettings } from '../../../ipam/store/etcd/settings.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import type { Store } from '../../../ipam/store/store.ts';
import { REPOSITORY } from '../../support/cni.ts';
import { makeCertificates } from '../../support/etcd-tls.ts';
import { startEtcd } from '../../support/etcd.ts';
import { newScope } from '../../support/netns.ts';
import { run } from '../../support/proc.ts';

/** Replaces the file at once, as tools for certificates do. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

suite('a client of etcd that lives on', () => {
  test('a JWT that a change of roles made worthless: it logs in again, once for all that wait', async (t) => {
    const scope = newScope(t);
    const dir = await scope.tempDir();
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const [pub, priv] = [join(dir, 'jwt.pub'), join(dir, 'jwt.key')];
    await writeFile(pub, publicKey.export({ type: 'spki', format: 'pem' }));
    await writeFile(priv, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const token = `jwt,pub-key=${pub},priv-key=${priv},sign-method=RS256,ttl=1h`;
    const auth = { username: 'root', password: 'secret' };
    const etcd = scope.use(await startEtcd({ auth, args: ['--auth-token', token] }));
    const passwordFile = join(dir, 'password');
    await writeFile(passwordFile, 'secret');
    const settings = { endpoints: etcd.endpoints, prefix: '/cellnet', username: 'root', passwordFile };
    const store = openEtcdStore(settings);
    scope.defer(() => store.close());
    await store.commit([], [put('a', '1')]);
    for (const name of ['first', 'second']) {
      await etcd.ctl('role', 'add', name);
      const all = Array.from({ length: 8 }, (_, i) => store.commit([], [put(`b${i}`, name)]));
      assert.equal((await Promise.all(all)).filter(Boolean).length, 8);
    }
  });

  test('a password that was changed in etcd and in its file serves the next request', async (t) => {
    const scope = newScope(t);
    const etcd = scope.use(await startEtcd({ auth: { username: 'cell', password: 'before' } }));
    const passwordFile = join(await scope.tempDir(), 'password');
    await writeFile(passwordFile, 'before');
    const settings = { endpoints: etcd.endpoints, prefix: '/cellnet', username: 'cell', passwordFile };
    const store = openEtcdStore(settings);
    scope.defer(() => store.close());
    await store.get(['a']);
    const asRoot = (...words: string[]): Promise<string> => etcd.ctl('--user', 'root:before', ...words);
    // Another password, without a terminal. It ends the user's logins.
    await asRoot('user', 'delete', 'cell');
    await asRoot('user', 'add', 'cell:after');
    await asRoot('user', 'grant-role', 'cell', 'cellnet');
    await assert.rejects(store.get(['a']), { code: 'store-denied' });
    await replace(passwordFile, 'after');
    assert.deepEqual(await store.get(['a']), [undefined]);
  });

  test('certificates of another CA, at etcd and in the files, serve the next request', async (t) => {
    const scope = newScope(t);
    const dir = await scope.tempDir();
    const etcd = scope.use(await startEtcd({ dir, tls: true }));
    const other = await makeCertificates(await scope.tempDir(), '127.0.0.1');
    const { caFile = '', certFile = '', keyFile = '' } = etcd;
    const own = {
      caFile: join(dir, 'own-ca'),
      certFile: join(dir, 'own-cert'),
      keyFile: join(dir, 'own-key'),
    };
    await copyFile(caFile, own.caFile);
    await copyFile(certFile, own.certFile);
    await copyFile(keyFile, own.keyFile);
    const settings: EtcdSettings = { endpoints: etcd.endpoints, prefix: '/cellnet', ...own };
    const store = openEtcdStore(settings, { deadlineMs: 2_000 });
    scope.defer(() => store.close());
    await store.commit([], [put('a', '1')]);
    for (const name of ['ca.crt', 'server.crt', 'server.key', 'client.crt', 'client.key'])
      await copyFile(join(other.caFile, '..', name), join(dir, name));
    await etcd.restart();
    await assert.rejects(store.get(['a']), { code: 'store-unreachable' });
    await copyFile(other.caFile, own.caFile);
    await copyFile(other.certFile, own.certFile);
    await copyFile(other.keyFile, own.keyFile);
    const [entry] = await store.get(['a']);
    assert.equal(entry?.value, '1');
  });

  test('an endpoint with an IP address and TLS makes Node warn of nothing', async (t) => {
    const scope = newScope(t);
    const etcd = scope.use(await startEtcd({ tls: true }));
    const { endpoints, caFile, certFile, keyFile } = etcd;
    const settings = { endpoints, prefix: '/cellnet', caFile, certFile, keyFile };
    const script = `
      const { openEtcdStore } = await import(${JSON.stringify(join(REPOSITORY, 'ipam/store/etcd/store.ts'))});
      const store = openEtcdStore(${JSON.stringify(settings)});
      console.log((await store.get(['a'])).length);
      store.close();
    `;
    const words = ['--import', 'tsx', '--input-type=module', '-e', script];
    const { code, stdout, stderr } = await run(process.execPath, words, { cwd: REPOSITORY });
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '1\n', stderr: '' });
  });

  test('a learner among the endpoints answers no request, and none fails', async (t) => {
    const scope = newScope(t);
    const etcd = scope.use(await startEtcd({ members: 1 }));
    const learner = scope.use(await etcd.addLearner());
    for (let round = 0; round < 5; round++) {
      const endpoints = [learner.endpoint, ...etcd.endpoints];
      const store = openEtcdStore({ endpoints, prefix: '/cellnet' });
      for (let i = 0; i < 4; i++) assert.ok(await store.commit([], [put('a', String(i))]));
      store.close();
    }
    const alone = openEtcdStore({ endpoints: [learner.endpoint], prefix: '/cellnet' });
    await assert.rejects(alone.get(['a']), {
      code: 'store-unreachable',
      message: /etcdserver: rpc not supported for learner/,
    });
    alone.close();
  });

  test('a hung member of three costs one request a second, and none after that', async (t) => {
    const scope = newScope(t);
    const etcd = scope.use(await startEtcd({ members: 3 }));
    const leader = await etcd.leader();
    const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => store.close());
    await store.commit([], [put('a', '0')]);
    const follower = etcd.members.find((member) => member !== leader);
    follower?.pause();
    const slow: number[] = [];
    // Seldom enough that the member is asked again and again in between.
    for (let i = 0; i < 24; i++) {
      const began = performance.now();
      assert.ok(await store.commit([], [put('a', String(i))]));
      const tookMs = performance.now() - began;
      if (tookMs > 1_000) slow.push(tookMs);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    follower?.resume();
    assert.ok(slow.length <= 1, `requests that waited for the hung member: ${slow.join(', ')} ms`);
  });
});

suite('a guarded etcd', () => {
  test('TLS with client certificates, user and password; a wrong one is denied', async (t) => {
    const scope = newScope(t);
    const etcd = scope.use(await startEtcd({ tls: true, auth: { username: 'root', password: 'secret' } }));
    const dir = await scope.tempDir();
    const files = { caFile: etcd.caFile, certFile: etcd.certFile, keyFile: etcd.keyFile };
    await writeFile(join(dir, 'right'), 'secret\n');
    await writeFile(join(dir, 'wrong'), 'guess\n');
    const open = (passwordFile: string): Store =>
      openEtcdStore({
        endpoints: etcd.endpoints,
        prefix: '/cellnet',
        ...files,
        username: 'root',
        passwordFile: join(dir, passwordFile),
      });
    const right = open('right');
    assert.ok(await right.commit([absent('a')], [put('a', '1')]));
    right.close();
    const wrong = open('wrong');
    await assert.rejects(wrong.get(['a']), { code: 'store-denied', message: /refused/ });
    wrong.close();
    const nobody = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet', ...files });
    await assert.rejects(nobody.get(['a']), { code: 'store-denied' });
    nobody.close();
    assert.throws(() => open('absent'), {
      code: 'invalid',
      message: /etcd\.passwordFile '.*absent' cannot be read/,
    });
  });

  test("is asked directly, login too, whatever proxy the runtime's environment names", async (t) => {
    const scope = newScope(t);
    const etcd = scope.use(await startEtcd({ auth: { username: 'root', password: 'secret' } }));
    const passwordFile = join(await scope.tempDir(), 'password');
    await writeFile(passwordFile, 'secret');
    const before = { ...process.env };
    // Nobody listens there.
    const proxy = 'http://127.0.0.1:9';
    Object.assign(process.env, { http_proxy: proxy, https_proxy: proxy, grpc_proxy: proxy });
    scope.defer(() => {
      process.env = before;
    });
    const settings = { endpoints: etcd.endpoints, prefix: '/cellnet', username: 'root', passwordFile };
    const store = openEtcdStore(settings);
    assert.ok(await store.commit([absent('a')], [put('a', '1')]));
    store.close();
    const inspector = openEtcdInspector(settings);
    assert.equal(await inspector.members(), 1);
    inspector.close();
  });
});
