import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { makeTar } from '../../../../cnictl/doctor/tar.ts';
import { put } from '../../../../ipam/records/transaction.ts';
import { CliWorld } from '../../../golden/world.ts';

const listed = (archive: Buffer): string[] =>
  execFileSync('tar', ['-tf', '-'], { input: archive }).toString().trim().split('\n');
const extracted = (archive: Buffer, name: string): string =>
  execFileSync('tar', ['-xOf', '-', name], { input: archive }).toString();

test("tar: Debian's reads what we write, at every size around a block", () => {
  for (const size of [0, 1, 511, 512, 513, 70_000]) {
    const content = 'é'.repeat(Math.floor(size / 2)) + 'x'.repeat(size % 2);
    const archive = makeTar(
      [
        { name: 'a/first', content },
        { name: 'a/second', content: 'end' },
      ],
      1e12,
    );
    assert.deepEqual(listed(archive), ['a/first', 'a/second']);
    assert.equal(extracted(archive, 'a/first'), content);
    assert.equal(extracted(archive, 'a/second'), 'end');
  }
  assert.throws(() => makeTar([{ name: 'n'.repeat(101), content: '' }], 0), /too long for a tar header/);
});

test("the support archive has the agent's newest lines, without secrets, or says where they are", async () => {
  const world = await CliWorld.make();
  world.exec = () => Promise.resolve({ status: null, output: 'no such program\n' });
  const lines = async (): Promise<string> => {
    assert.notEqual((await world.run('doctor --conf-dir /none --bundle /b.tar.gz')).status, 2);
    const archive = gunzipSync(world.written.get('/b.tar.gz') ?? Buffer.of());
    return extracted(archive, 'cellnet-support/agent-recent.jsonl');
  };
  assert.match(await lines(), /kubectl logs/);
  world.agentLog = '{"level":"info","msg":"ready","password":"planted"}\n';
  assert.equal(await lines(), '{"level":"info","msg":"ready","password":"[redacted]"}\n');
});

test('the support archive has what helps, and no secret that was planted anywhere', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellnet-doctor-'));
  try {
    const world = await CliWorld.make();
    const [password, key, token] = ['planted-password', 'planted-key-material', 'planted.kube.token'];
    const confDir = join(folder, 'net.d');
    mkdirSync(confDir);
    writeFileSync(
      join(confDir, '05-other.conf'),
      JSON.stringify({
        name: 'o',
        type: 'other',
        kubernetes: { token, k8s_auth_token: token },
        url: `https://a:${token}@h/`,
      }),
    );
    writeFileSync(join(confDir, '06-broken.conf'), `{ "token": "${token}" `);
    mkdirSync(join(folder, 'pending'), { recursive: true });
    writeFileSync(join(folder, 'pending', 'one.json'), '{}');
    world.files.set('/pw', `${password}\n`);
    world.files.set('/key', `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`);
    world.files.set(
      '/config.json',
      JSON.stringify({
        etcd: { endpoints: ['http://10.0.0.1:2379'], username: 'cell', passwordFile: '/pw', keyFile: '/key' },
        kubeconfig: '/kubeconfig',
      }),
    );
    world.files.set('/kubeconfig', `users: [{ user: { token: ${token} } }]`);
    world.files.set(
      '/log',
      `started\nlogin with ${password}\nAuthorization: Bearer ${token}\n${world.files.get('/key') ?? ''}`,
    );
    world.env = {
      KUBECONFIG: '/kubeconfig',
      CELLNET_LOG_FILE: '/log',
      CELLNET_STATE_DIR: folder,
      SECRET: token,
    };
    await world.ipam.store.commit([], [put('strange/thing', token)]);
    world.exec = (argv) =>
      Promise.resolve({ status: 0, output: `${argv.join(' ')}: --password ${password}` });
    const ran = await world.run(`doctor --config /config.json --conf-dir ${confDir} --bundle /b.tar.gz`);
    assert.equal(ran.status, 1);
    assert.match(ran.stdout, /support archive without secrets: \/b\.tar\.gz/);
    const archive = gunzipSync(world.written.get('/b.tar.gz') ?? Buffer.alloc(0));
    const names = listed(archive);
    for (const part of [
      'doctor.json',
      'config.json',
      'networks.json',
      'keys.jsonl',
      'ovs-show.txt',
      'links.txt',
      'plugin-log.txt',
      'versions.json',
    ])
      assert.ok(names.includes(`cellnet-support/${part}`), part);
    const all = archive.toString();
    for (const secret of [password, key, token]) assert.ok(!all.includes(secret), secret);
    assert.match(extracted(archive, 'cellnet-support/plugin-log.txt'), /^started\nlogin with \[redacted\]/);
    assert.match(extracted(archive, 'cellnet-support/config.json'), /"passwordFile": "\/pw"/);
    assert.match(
      extracted(archive, 'cellnet-support/keys.jsonl'),
      /ranges\/blue[\s\S]*blocks\/blue[\s\S]*\{"key":"strange\/thing"\}/,
    );
    assert.match(extracted(archive, 'cellnet-support/pending.json'), /one\.json/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a part that cannot be had is told in its place, and the archive is made all the same', async () => {
  const world = await CliWorld.make();
  world.ipam.store.before = () => Promise.reject(new Error('etcd is away'));
  const ran = await world.run('doctor --cluster --bundle /b.tar.gz');
  assert.equal(ran.status, 1, ran.stderr);
  const archive = gunzipSync(world.written.get('/b.tar.gz') ?? Buffer.alloc(0));
  assert.match(extracted(archive, 'cellnet-support/keys.jsonl'), /could not be had: etcd is away/);
  assert.match(extracted(archive, 'cellnet-support/links.txt'), /could not be had: no test runs ip/);
});
