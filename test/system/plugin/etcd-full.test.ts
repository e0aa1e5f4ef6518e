import assert from 'node:assert/strict';
import http from 'node:http';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS, type CniOutcome } from '../../support/cni.ts';
import { startFabric } from '../../support/fabric.ts';
import { newScope } from '../../support/netns.ts';
import { startNode, type Pod, type SimulatedNode } from '../../support/node.ts';
import { run, until, type RunResult } from '../../support/proc.ts';
import { addRange, BLUE, failed, succeeded, type Cluster } from './world.ts';

const QUOTA = 4 * 1024 ** 2;
const FULL = /etcd at .* has used up its quota \(alarm NOSPACE\), so it refuses every write/;
const DISARM = /[Cc]ompact.*etcdctl alarm disarm/;

const healthOf = (socketPath: string): Promise<{ ok: boolean; reasons: string[] }> =>
  new Promise((resolve, reject) => {
    http
      .get({ socketPath, path: '/healthz' }, (res) => {
        let body = '';
        res.on('data', (chunk: Buffer) => (body += chunk.toString()));
        res.on('end', () => resolve(JSON.parse(body) as { ok: boolean; reasons: string[] }));
      })
      .on('error', reject);
  });

suite('etcd has used up its quota: it answers every read and refuses every write', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  let pod: Pod;
  before(async () => {
    const scope = newScope();
    const fabric = scope.use(await startFabric({ etcd: { args: [`--quota-backend-bytes=${QUOTA}`] } }));
    node = scope.use(await startNode(fabric, 'node-1'));
    cluster = { scope, fabric, nodes: [node] };
    await addRange(fabric, ...BLUE);
    pod = await node.makePod('p');
    agent = scope.use(await startAgent(node));
  });
  after(() => cluster.scope.close());

  const status = (env: Record<string, string> = {}, plugin = 'cellnet'): Promise<CniOutcome> =>
    node.call('STATUS', pod, { plugin: `${OUR_PLUGINS}/${plugin}`, env });
  const cnictl = (...words: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), words, {
      netns: node.ns.name,
      env: { ...node.env, ...agent.env, KUBECONFIG: undefined, HOME: '/nonexistent' },
      timeoutMs: 60_000,
    });
  const fill = async (): Promise<void> => {
    const { etcd } = cluster.fabric;
    for (let n = 0; n < 100; n++) {
      const answer = await etcd.ctl('put', `filler/${n}`, 'x'.repeat(100_000)).catch(String);
      if (/database space exceeded/.test(answer)) return;
    }
    assert.fail('etcd takes more than its quota');
  };
  const makeRoom = async (): Promise<void> => {
    const { etcd } = cluster.fabric;
    await etcd.ctl('del', '--prefix', 'filler/');
    await etcd.ctl('compact', `${await etcd.revision()}`);
    await etcd.ctl('defrag');
    await etcd.ctl('alarm', 'disarm');
  };

  test('STATUS, the health of the agent, doctor and status tell it, and each its end', async () => {
    const { etcd } = cluster.fabric;
    await until(
      'the agent to tell that it is alive',
      async () => (await etcd.count('/cellnet/v1/alive/')) > 0,
    );
    const revision = await etcd.revision();
    for (const env of [{}, agent.env]) succeeded(await status(env));
    assert.equal(await etcd.revision(), revision, 'STATUS writes nothing');
    assert.equal((await healthOf(agent.metricsSocket)).ok, true);

    await fill();
    for (const plugin of ['cellnet', 'cellnet-ipam']) {
      const alone = await status({}, plugin);
      failed(alone, 50, FULL);
      assert.match(alone.result?.details ?? '', DISARM);
    }
    const added = await node.call('ADD', pod, { env: agent.env });
    failed(added, 108, FULL);
    assert.match(added.result?.details ?? '', DISARM);
    // The agent remembers its own refused write.
    failed(await status(agent.env), 50, FULL);
    // A read that succeeds does not make it well again.
    succeeded(await node.call('DEL', pod, { env: agent.env }));
    const health = await healthOf(agent.metricsSocket);
    assert.equal(health.ok, false);
    assert.match(health.reasons.join(), /etcd-writes at .* fails since .*alarm NOSPACE/);
    const [doctor, told] = [await cnictl('doctor'), await cnictl('status')];
    assert.equal(doctor.code, 1);
    assert.match(doctor.stdout, /fail +etcd alarms +NOSPACE of member/);
    assert.match(doctor.stdout, /fail +agent +is not well: .*etcd-writes/);
    assert.equal(told.code, 2);
    assert.match(told.stdout, /Writes: +etcd at .*alarm NOSPACE.*etcdctl alarm disarm/);

    await makeRoom();
    succeeded(await status());
    const isWell = async (): Promise<boolean> => (await healthOf(agent.metricsSocket)).ok;
    await until('the agent to find out by itself', isWell, 20_000);
    succeeded(await status(agent.env));
    assert.equal((await cnictl('status')).code, 0);
    succeeded(await node.call('ADD', pod, { env: agent.env }));
    succeeded(await node.call('DEL', pod, { env: agent.env }));
  });

  test('an agent without a pod finds out by itself, and a first STATUS asks', async () => {
    await fill();
    const fresh = await startAgent(node);
    try {
      failed(await status(fresh.env), 50, FULL);
      const isUnwell = async (): Promise<boolean> => !(await healthOf(fresh.metricsSocket)).ok;
      await until('its health to tell', isUnwell, 20_000);
    } finally {
      await fresh.stop();
      await makeRoom();
    }
  });

  test('a user who may only read: STATUS names what etcd refuses', async () => {
    const { etcd } = cluster.fabric;
    const dir = await cluster.scope.tempDir();
    const password = join(dir, 'password');
    await run('sh', ['-c', `printf secret > ${password}`]);
    await etcd.ctl('user', 'add', 'root:secret');
    await etcd.ctl('user', 'grant-role', 'root', 'root');
    await etcd.ctl('role', 'add', 'reader');
    await etcd.ctl('role', 'grant-permission', 'reader', '--prefix=true', 'read', '/cellnet/v1/');
    await etcd.ctl('user', 'add', 'reader:secret');
    await etcd.ctl('user', 'grant-role', 'reader', 'reader');
    await etcd.ctl('auth', 'enable');
    const env = { CELLNET_ETCD_USERNAME: 'reader', CELLNET_ETCD_PASSWORD_FILE: password };
    const outcome = await status(env);
    const reader = { ...node, env: { ...node.env, ...env } };
    const other = await startAgent(reader);
    const served = await status({ ...env, ...other.env });
    await other.stop();
    await etcd.ctl('--user', 'root:secret', 'auth', 'disable');
    failed(outcome, 50, /etcd at .* refused: .*permission denied/);
    failed(served, 50, /etcd at .* refused: .*permission denied/);
  });
});
