import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { run, until, type RunResult } from '../../support/proc.ts';
import { BLUE, remains, startCluster, succeeded, type Cluster } from '../plugin/world.ts';

const SCRIPT = join(import.meta.dirname, '../../../docs/examples/etcd-roles.sh');
const PASSWORD = 'planted-secret';

interface Finding {
  readonly check: string;
  readonly level: string;
  readonly detail: string;
}

suite('the roles of docs/examples/etcd-roles.sh, in an etcd with authentication', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let dir: string;
  const roles = (...words: string[]): Promise<RunResult> =>
    run('sh', [SCRIPT, ...words], {
      netns: cluster.fabric.ns.name,
      env: {
        ETCDCTL_ENDPOINTS: cluster.fabric.etcd.endpoints.join(),
        ETCDCTL_USER: `root:${PASSWORD}`,
        PASSWORD_FILE: join(dir, 'password'),
      },
    });
  /** Environment of a program that logs in as this user. */
  const as = (username: string): Record<string, string> => ({
    CELLNET_ETCD_USERNAME: username,
    CELLNET_ETCD_PASSWORD_FILE: join(dir, 'password'),
  });
  const cnictl = (username: string, ...words: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), words, {
      netns: node.ns.name,
      env: { ...node.env, KUBECONFIG: undefined, HOME: dir, ...as(username) },
      timeoutMs: 60_000,
    });
  const etcdctl = (username: string, ...words: string[]): Promise<RunResult> =>
    run('etcdctl', ['--user', `${username}:${PASSWORD}`, ...words], {
      netns: cluster.fabric.ns.name,
      env: { ETCDCTL_API: '3', ETCDCTL_ENDPOINTS: cluster.fabric.etcd.endpoints.join() },
    });

  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    dir = await cluster.scope.tempDir();
    writeFileSync(join(dir, 'password'), PASSWORD);
    const { etcd } = cluster.fabric;
    await etcd.ctl('user', 'add', `root:${PASSWORD}`);
    await etcd.ctl('user', 'grant-role', 'root', 'root');
    await etcd.ctl('auth', 'enable');
    for (const words of [
      ['operator', 'alice'],
      ['node', 'node-1'],
      ['node', 'node-2', 'second'],
    ])
      for (const time of ['first', 'again']) {
        const { code, stderr } = await roles(...words);
        assert.equal(code, 0, `${words.join(' ')}, ${time}: ${stderr}`);
      }
  });
  after(() => cluster.scope.close());

  test('a node does all its work: the plugin alone, the agent, its presence, a reconcile', async () => {
    const env = as('node-1');
    const pod = await node.makePod('alone');
    succeeded(await node.call('ADD', pod, { env }));
    succeeded(await node.call('STATUS', pod, { env }));
    succeeded(await node.call('DEL', pod, { env }));
    const agent = await startAgent({ ...node, env: { ...node.env, ...env } });
    try {
      const served = await node.makePod('served');
      // More addresses than a block has: the node claims another block, and returns it.
      succeeded(await node.call('ADD', served, { env: { ...env, ...agent.env } }));
      await until('the agent to tell that it is alive', async () =>
        /node-1/.test((await etcdctl('node-1', 'get', '--keys-only', '/cellnet/v1/alive/node-1')).stdout),
      );
      const found = JSON.parse((await cnictl('node-1', 'doctor', '-o', 'json')).stdout) as {
        findings: Finding[];
      };
      const ofEtcd = found.findings.filter(({ check }) =>
        /^etcd|^ranges|^set-back|^records|^machine/.test(check),
      );
      assert.deepEqual(
        ofEtcd.filter(({ level }) => level === 'fail'),
        [],
      );
      const permissions = ofEtcd.find(({ check }) => check === 'etcd permissions');
      assert.match(permissions?.detail ?? '', /^user node-1 may do what node node-1 needs/);
      const ran = await cnictl('node-1', 'node', 'reconcile', '--grace', '0');
      assert.equal(ran.code, 0, ran.stdout + ran.stderr);
      succeeded(await node.call('DEL', served, { env: { ...env, ...agent.env } }));
    } finally {
      await agent.stop();
    }
    assert.deepEqual(await remains(node), []);
  });

  test('commands that look work for a node, and those of an operator for an operator', async () => {
    for (const words of ['range list', 'block list', 'ip list', 'node list', 'node show node-1', 'status']) {
      const ran = await cnictl('node-1', ...words.split(' '));
      assert.equal(ran.code, 0, `${words}: ${ran.stderr}`);
    }
    const add = ['range', 'add', '10.30.0.0/24', '--gateway', '10.30.0.1', '--name', 'red'];
    const refused = await cnictl('node-1', ...add);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /permission denied/);
    assert.equal((await cnictl('alice', ...add)).code, 0);
    assert.equal((await cnictl('alice', 'range', 'remove', 'red', '--yes')).code, 0);
    const told = await cnictl('alice', 'doctor', '--cluster', '-o', 'json');
    assert.match(told.stdout, /user alice may read and write below \/cellnet\/v1\//);
  });

  test('a user that lacks a right of its node is told which, and how to grant just that', async () => {
    const ran = await cnictl('second', 'doctor', '-o', 'json');
    const { findings } = JSON.parse(ran.stdout) as { findings: (Finding & { remedy: string })[] };
    const found = findings.find(({ check }) => check === 'etcd permissions');
    assert.ok(found);
    assert.equal(found.level, 'fail');
    assert.match(
      found.detail,
      /user second may not write \/cellnet\/v1\/nodes\/node-1\/, .*machines\/node-1, .*alive\/node-1, .*lost\/node-1$/,
    );
    assert.match(found.remedy, /etcd-roles\.sh node node-1$/);
  });

  test('protected: ranges, the cluster, other nodes, other prefixes', async () => {
    for (const key of [
      'ranges/blue',
      'cluster/kubernetes',
      'nodes/node-2/10.20.0.16/28',
      'nodes/node-10/draining',
      'machines/node-2',
      'machines/node-10',
      'alive/node-2',
      'lost/node-2',
    ]) {
      const ran = await etcdctl('node-1', 'put', `/cellnet/v1/${key}`, 'x');
      assert.notEqual(ran.code, 0, key);
      assert.match(ran.stderr, /permission denied/, key);
    }
    for (const words of [
      ['get', '/registry/x'],
      ['user', 'list'],
      ['auth', 'disable'],
    ])
      assert.notEqual((await etcdctl('node-1', ...words)).code, 0, words.join(' '));
  });

  test('not protected, as the documentation says: blocks and history of other nodes, samples', async () => {
    for (const key of [
      'blocks/blue/10.20.3.0/28',
      'history/blue/10.20.3.0/28/0',
      'usage/hours/2026-01-01T00',
      'usage/forecast',
    ]) {
      const ran = await etcdctl('node-1', 'put', `/cellnet/v1/${key}`, 'x');
      assert.equal(ran.code, 0, `${key}: ${ran.stderr}`);
      assert.equal((await etcdctl('node-1', 'del', `/cellnet/v1/${key}`)).code, 0);
    }
  });

  test('remove takes user and role of a node away, and of no other', async () => {
    assert.equal((await roles('remove', 'node-2', 'second')).code, 0);
    assert.notEqual((await etcdctl('second', 'get', '/cellnet/v1/ranges/blue')).code, 0);
    assert.equal((await etcdctl('node-1', 'get', '/cellnet/v1/ranges/blue')).code, 0);
    for (const words of [[], ['node'], ['node', 'a b'], ['node', 'a/b'], ['else', 'x']])
      assert.equal((await roles(...words)).code, 2, words.join(' '));
  });
});
