/** The support bundle of a cluster: real etcd, agent and node, and the tests' API server. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { inNamespace, openNamespace } from '../../../cni/netlink/netns.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { node as kubeNode, pod, startKubeApi, type KubeApiServer } from '../../support/kube-api.ts';
import type { PodPrograms } from '../../support/kube-api-exec.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { run, type RunResult } from '../../support/proc.ts';
import { BLUE, startCluster, succeeded, type Cluster } from '../plugin/world.ts';

const SECRETS = { log: 'planted-bearer', file: 'planted-network-secret', token: 'planted-kube-token' };

suite('the support bundle', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let agent: RunningAgent;
  let api: KubeApiServer;
  let dir: string;
  let confDir: string;
  let env: Record<string, string | undefined>;

  const cnictl = (
    args: readonly string[],
    more: Record<string, string | undefined> = {},
  ): Promise<RunResult> =>
    run(join(OUR_PLUGINS, 'cnictl'), args, {
      env: { ...env, ...more },
      netns: node.ns.name,
      timeoutMs: 90_000,
    });

  /** What cnictl does in the pod of each node's agent. */
  const programs: PodPrograms = async ({ pod: name, container, argv }) => {
    assert.deepEqual([container, argv], ['cellnetd', ['cnictl', 'support-bundle', '--this-node']]);
    if (name === 'cellnet-2') return 'hang';
    if (name === 'cellnet-3') return { stderr: "cnictl: unknown command 'support-bundle'\n", code: 2 };
    if (name === 'cellnet-4') {
      const files = { '../../escape.txt': 'x', 'doctor.json': `password=${SECRETS.token}-4\n` };
      return { stdout: JSON.stringify({ node: 'node-4', files }) };
    }
    const own = {
      ...node.env,
      ...agent.env,
      KUBECONFIG: undefined,
      HOME: confDir,
      CELLNET_LOG_FILE: join(dir, 'plugin.log'),
    };
    const { code, stdout, stderr } = await cnictl(argv.slice(1), own);
    return { stdout, stderr, code: code ?? 1 };
  };

  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    [dir, confDir] = [await cluster.scope.tempDir(), await cluster.scope.tempDir()];
    agent = cluster.scope.use({ ...(await startAgent(node)), close: () => agent.stop() });
    const logs = `ready\nAuthorization: Bearer ${SECRETS.log}\n`;
    const space = openNamespace(node.ns.path);
    api = await startKubeApi({
      listenIn: (listen) => inNamespace(space, listen),
      exec: programs,
      writes: { serviceSubnets: ['10.96.0.'], log: (_, name) => (name === 'cellnet-5' ? undefined : logs) },
    });
    space.close();
    cluster.scope.defer(() => api.close());
    for (const n of [1, 2, 3, 4, 5]) {
      api.putNode(kubeNode({ name: `node-${n}` }));
      api.putPod(agentPod(n, n === 5 ? 'Pending' : 'Running'));
    }
    env = { ...node.env, HOME: confDir, KUBECONFIG: join(dir, 'kubeconfig') };
    api.writeKubeconfig(join(dir, 'kubeconfig'));
    writeFileSync(join(dir, 'plugin.log'), `began\npassword: ${SECRETS.file}\n`);
    succeeded(await node.call('ADD', await node.makePod('web-1'), { env: agent.env }));
  });
  after(() => cluster.scope.close());

  const listed = (file: string): string[] =>
    execFileSync('tar', ['-tzf', file]).toString().trim().split('\n');
  const extracted = (file: string, name: string): string =>
    execFileSync('tar', ['-xzOf', file, `cellnet-support/${name}`]).toString();

  test('etcd, pods and their logs, each node by its pod; who is missing is named, with status 2', async () => {
    const file = join(dir, 'all.tar.gz');
    const wanted = ['node-1', 'node-3', 'node-4', 'node-5'].flatMap((name) => ['--node', name]);
    const ran = await cnictl(['support-bundle', file, ...wanted]);
    assert.equal(ran.code, 2, ran.stderr);
    const names = listed(file);
    assert.equal(names[0], 'cellnet-support/README.txt');
    for (const name of [
      'cluster/status.json',
      'cluster/nodes.json',
      'cluster/blocks.json',
      'cluster/events.jsonl',
      'cluster/keys.jsonl',
      'kubernetes/pods.json',
      'kubernetes/logs/cellnet-1.cellnetd.txt',
      'nodes/node-1/doctor.json',
      'nodes/node-1/agent-recent.jsonl',
      'nodes/node-1/ovs-show.txt',
    ])
      assert.ok(names.includes(`cellnet-support/${name}`), `${name} is not in ${names.join('\n')}`);
    assert.equal(
      names.filter((name) => name.split('/').includes('..')).length,
      0,
      'nothing leads out of the folder',
    );
    const status = JSON.parse(extracted(file, 'cluster/status.json')) as { agents: { alive: number } };
    assert.equal(status.agents.alive, 1);
    assert.match(extracted(file, 'cluster/events.jsonl'), /"type":"assigned"/);
    assert.match(extracted(file, 'nodes/node-1/agent-recent.jsonl'), /"msg":"served"/);
    const readme = extracted(file, 'README.txt');
    assert.match(readme, /nodes\/node-1\/ +node node-1: 1\d files/);
    assert.match(readme, /nodes\/node-3\/: its cnictl is of a release before 0\.2\.0/);
    assert.match(readme, /nodes\/node-5\/: no pod of its agent runs there/);
    assert.match(readme, /logs\/cellnet-5\.cellnetd\.txt: .*waiting to start/);
    assert.match(ran.stderr, /node-3: its cnictl is of a release before/);
    const all = gunzipSync(readFileSync(file)).toString();
    for (const secret of Object.values(SECRETS)) assert.ok(!all.includes(secret), secret);
    assert.match(
      extracted(file, 'kubernetes/logs/cellnet-1.cellnetd.txt'),
      /^ready\nAuthorization: \[redacted\]/,
    );
    assert.match(extracted(file, 'nodes/node-1/plugin-log.txt'), /^began\npassword: \[redacted\]/);
    assert.doesNotMatch(extracted(file, 'kubernetes/pods.json'), /env|annotations/);
  });

  test('a node that hangs costs no more than the time for it, and is named', async () => {
    const file = join(dir, 'hang.tar.gz');
    const began = performance.now();
    const ran = await cnictl(['support-bundle', file, '--node', 'node-2', '--timeout', '2s', '-o', 'json']);
    assert.equal(ran.code, 2, ran.stderr);
    assert.ok(performance.now() - began < 20_000);
    const { parts } = JSON.parse(ran.stdout) as { parts: { name: string; problem?: string }[] };
    const hung = parts.find(({ name }) => name === 'nodes/node-2/');
    assert.equal(hung?.problem, 'no answer of pod kube-system/cellnet-2 within 2 s');
  });

  test('without an API server, and with one that forbids: this node, and a word about it', async () => {
    for (const [name, more, why] of [
      ['none', { KUBECONFIG: undefined }, /no API server is configured/],
      ['away', { KUBECONFIG: join(dir, 'kubeconfig') }, /forbid|403/],
    ] as const) {
      const file = join(dir, `${name}.tar.gz`);
      if (name === 'away') api.faults.when(() => ({ kind: 'status', status: 403, reason: 'Forbidden' }));
      const ran = await cnictl(['support-bundle', file], { ...agent.env, ...more });
      assert.equal(ran.code, 2, ran.stderr);
      const readme = extracted(file, 'README.txt');
      assert.match(readme, why);
      assert.match(readme, /nodes\/node-1\/ +node node-1: 1\d files/);
    }
  });
});

/** A pod of the DaemonSet, with what the bundle must leave out. */
function agentPod(n: number, phase: string): ReturnType<typeof pod> {
  const made = pod({ namespace: 'kube-system', name: `cellnet-${n}`, node: `node-${n}`, phase });
  const container = { name: 'cellnetd', image: 'registry.example/cellnet:0.2.0' };
  return {
    ...made,
    metadata: {
      ...made.metadata,
      labels: { 'app.kubernetes.io/name': 'cellnet' },
      annotations: { note: SECRETS.token },
    },
    spec: {
      ...made.spec,
      containers: [{ ...container, env: [{ name: 'PLAIN', value: SECRETS.token }], args: [SECRETS.token] }],
    },
    status: { ...made.status, phase },
  };
}
