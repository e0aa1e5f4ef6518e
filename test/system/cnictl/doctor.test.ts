import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { AlarmAction, AlarmType, Etcd3 } from 'etcd3';
import { openEtcdInspector } from '../../../ipam/store/etcd/inspect.ts';
import { startAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd } from '../../support/etcd.ts';
import { node as kubeNode, startKubeApi } from '../../support/kube-api.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { must, run, type RunResult } from '../../support/proc.ts';
import { BLUE, GREEN, startCluster, type Cluster } from '../plugin/world.ts';

interface Finding {
  readonly check: string;
  readonly level: string;
  readonly detail: string;
}
const findings = ({ stdout }: RunResult): Map<string, Finding> =>
  new Map((JSON.parse(stdout) as { findings: Finding[] }).findings.map((each) => [each.check, each]));
const levels = (ran: RunResult, level: string): string[] =>
  [...findings(ran).values()].filter((each) => each.level === level).map(({ check }) => check);

suite('doctor on a node', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let confDir: string;
  before(async () => {
    cluster = await startCluster(1, BLUE, GREEN);
    [node] = cluster.nodes as [SimulatedNode];
    confDir = await cluster.scope.tempDir();
    const plugin = { type: 'cellnet', ipam: { type: 'cellnet-ipam' } };
    writeFileSync(
      join(confDir, '10-cell.conflist'),
      JSON.stringify({ cniVersion: '1.0.0', name: 'cell', plugins: [plugin] }),
    );
  });
  after(() => cluster.scope.close());

  const doctor = (env: Record<string, string> = {}, ...args: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), ['doctor', '--conf-dir', confDir, '--bin-dir', OUR_PLUGINS, ...args], {
      env: { ...node.env, KUBECONFIG: undefined, HOME: confDir, ...env },
      netns: node.ns.name,
      timeoutMs: 60_000,
    });
  const json = (env?: Record<string, string>): Promise<RunResult> => doctor(env, '-o', 'json');
  const revision = async (): Promise<string> =>
    /"revision":(\d+)/.exec(await cluster.fabric.etcd.ctl('get', 'x', '-w', 'json'))?.[1] ?? '';

  test('a node that is well: only what a test machine lacks is told, and etcd is not changed', async () => {
    const agent = await startAgent(node);
    try {
      // ovs-ctl sets this when it starts Open vSwitch.
      await node.ovs.vsctl('set', 'Open_vSwitch', '.', 'ovs_version=3.1.0');
      const pod = await node.addPod('p');
      const before = await revision();
      const ran = await json(agent.env);
      assert.equal(ran.code, 1, ran.stderr);
      assert.deepEqual(levels(ran, 'fail'), [], ran.stdout);
      // The latency of etcd depends on the machine.
      const warned = levels(ran, 'warn').filter((check) => check !== 'etcd latency');
      assert.deepEqual(warned, ['etcd members', 'API server'], ran.stdout);
      const found = findings(ran);
      assert.match(found.get('Open vSwitch')?.detail ?? '', /^version \d+\.\d+/);
      assert.match(found.get('bridge')?.detail ?? '', /userspace \(netdev\)/);
      assert.match(found.get('uplink uplink0')?.detail ?? '', /up, with link/);
      assert.match(found.get('VLANs')?.detail ?? '', /^120, 130 of the ranges/);
      assert.match(found.get('agent')?.detail ?? '', /version .*, well/);
      assert.match(found.get('records')?.detail ?? '', /agree: 1 block/);
      assert.equal(await revision(), before);
      await node.delPod(pod);
    } finally {
      await agent.stop();
    }
  });

  test('each fault is a line of its own', async () => {
    mkdirSync(join(node.stateDir, 'pending'), { recursive: true });
    writeFileSync(join(node.stateDir, 'pending', 'x.json'), '{}');
    await must('ip', ['-n', node.ns.name, 'link', 'set', 'uplink0', 'down']);
    await node.ovs.vsctl('set', 'port', 'uplink0', 'trunks=120');
    // A node claims blocks at random places, so this picks a block that node-1 does not hold.
    const index = '/cellnet/v1/nodes/node-1/';
    const held = await cluster.fabric.etcd.ctl('get', '--prefix', '--keys-only', index);
    const stray = ['10.20.2.0/28', '10.20.3.0/28']
      .map((cidr) => `${index}${cidr}`)
      .find((key) => !held.includes(key));
    assert.ok(stray);
    await cluster.fabric.etcd.ctl(
      'put',
      stray,
      '{"v":1,"range":"blue","claimedAt":"2026-01-01T00:00:00.000Z"}',
    );
    node.ovs.pauseVswitchd();
    try {
      const ran = await json({ CELLNET_AGENT: join(confDir, 'none.sock') });
      assert.equal(ran.code, 1);
      const failed = levels(ran, 'fail');
      for (const check of ['ovs-vswitchd', 'VLANs', 'records'])
        assert.ok(failed.includes(check), `${check}: ${ran.stdout}`);
      for (const check of ['agent', 'put-off teardowns'])
        assert.equal(findings(ran).get(check)?.level, 'warn', check);
      assert.match(findings(ran).get('VLANs')?.detail ?? '', /does not let VLAN 130 /);
    } finally {
      node.ovs.resumeVswitchd();
      await cluster.fabric.etcd.ctl('del', stray);
    }
  });

  test('etcd and the database of Open vSwitch dead: an end all the same, and an archive', async () => {
    await node.ovs.killDatabase();
    cluster.fabric.etcd.pause();
    const file = join(confDir, 'bundle.tar.gz');
    try {
      const ran = await doctor({}, '--bundle', file);
      assert.equal(ran.code, 1, ran.stderr);
      assert.match(ran.stdout, /fail +etcd latency +etcd at .* did not answer in time/);
      assert.match(ran.stdout, /fail +Open vSwitch/);
    } finally {
      cluster.fabric.etcd.resume();
      await node.ovs.startDatabase();
    }
    const listed = await must('tar', ['-tzf', file]);
    assert.match(listed, /cellnet-support\/doctor\.json/);
    assert.doesNotMatch(readFileSync(file).toString('latin1'), /BEGIN/);
  });
});

suite('doctor on a cluster', () => {
  let scope: Scope;
  before(() => {
    scope = newScope();
  });
  after(() => scope.close());
  const cnictl = (env: Record<string, string>, ...args: string[]): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), ['doctor', '--cluster', '-o', 'json', ...args], {
      env,
      timeoutMs: 60_000,
    });

  test('an alarm, a user that may not write, an API server that forbids: each is told', async () => {
    const dir = await scope.tempDir();
    const password = 'planted-secret';
    const etcd = scope.use(await startEtcd({ auth: { username: 'root', password } }));
    for (const words of [
      ['role', 'add', 'reader'],
      ['role', 'grant-permission', 'reader', '--prefix=true', 'read', '/cellnet/'],
      ['user', 'add', `reader:${password}`],
      ['user', 'grant-role', 'reader', 'reader'],
    ])
      await etcd.ctl(...words);
    const api = await startKubeApi({
      forbid: (_user, verb, resource) => verb === 'list' && resource === 'pods',
    });
    scope.defer(() => api.close());
    api.putNode(kubeNode({ name: 'node-1' }));
    const [kubeconfig, passwordFile] = [join(dir, 'kubeconfig'), join(dir, 'password')];
    api.writeKubeconfig(kubeconfig);
    writeFileSync(passwordFile, password);
    const env = {
      CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(),
      CELLNET_ETCD_USERNAME: 'reader',
      CELLNET_ETCD_PASSWORD_FILE: passwordFile,
      KUBECONFIG: kubeconfig,
    };
    const file = join(dir, 'bundle.tar.gz');
    const ran = await cnictl(env, '--bundle', file);
    assert.equal(ran.code, 1, ran.stderr);
    assert.deepEqual(
      levels(ran, 'fail'),
      ['etcd permissions', 'ranges', 'API server: list pods'],
      ran.stdout,
    );
    assert.match(
      findings(ran).get('etcd permissions')?.detail ?? '',
      /user reader may not write below \/cellnet\/v1\/ranges\//,
    );
    assert.equal(await etcd.count('/cellnet/'), 0);
    const all = await must('tar', ['-xOzf', file]);
    assert.ok(!all.includes(password));

    const client = new Etcd3({ hosts: etcd.endpoints, auth: { username: 'root', password } });
    try {
      const { header } = await client.maintenance.status();
      await client.maintenance.alarm({
        action: AlarmAction.Activate,
        alarm: AlarmType.Nospace,
        memberID: header.member_id,
      });
    } finally {
      client.close();
    }
    const alarmed = findings(await cnictl(env));
    assert.match(alarmed.get('etcd alarms')?.detail ?? '', /^NOSPACE of member [0-9a-f]+$/);
  });

  test('over TLS, with client certificates: the clock and the permissions too', async () => {
    const etcd = scope.use(await startEtcd({ tls: true }));
    const { endpoints, caFile, certFile, keyFile } = etcd;
    assert.ok(caFile !== undefined && certFile !== undefined && keyFile !== undefined);
    const inspector = openEtcdInspector({ endpoints, prefix: '/cellnet', caFile, certFile, keyFile });
    try {
      assert.equal(await inspector.mayWrite('blocks'), true);
      assert.equal(await inspector.members(), 1);
      const { serverTime = 0, asked } = await inspector.clock();
      assert.ok(Math.abs(serverTime - asked) < 60_000);
    } finally {
      inspector.close();
    }
  });
});
