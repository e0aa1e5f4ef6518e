import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, afterEach, before, suite, test } from 'node:test';
import { namespace, pod } from '../../support/kube-api.ts';
import { setMasquerade } from '../../support/masquerade.ts';
import { childEnv, until, type RunResult } from '../../support/proc.ts';
import { makeConnectivityWorld, NAMESPACE, type ConnectivityWorld } from './connectivity-world.ts';
import { dumpFlows } from './world.ts';

interface Row {
  readonly result: 'ok' | 'failed' | 'skipped';
  readonly check: string;
  readonly from?: string;
  readonly seen?: string;
  readonly reason?: string;
}
interface Report {
  readonly nodes: readonly { readonly name: string }[];
  readonly families: readonly string[];
  readonly counts: { readonly ok: number; readonly failed: number; readonly skipped: number };
  readonly checks: readonly Row[];
}

/** Verbs and resources that the operator may not. */
const forbidden = new Set<string>();

suite('cnictl connectivity test', () => {
  let world: ConnectivityWorld;
  before(async () => {
    world = await makeConnectivityWorld((_user, verb, resource) => forbidden.has(`${verb} ${resource}`));
  });
  afterEach(() => forbidden.clear());
  after(() => world.stop());

  async function report(
    ...args: string[]
  ): Promise<Report & { readonly code: number | null; readonly stderr: string }> {
    const { code, stdout, stderr } = await world.test('-o', 'json', ...args);
    assert.notEqual(stdout, '', stderr);
    return { ...(JSON.parse(stdout) as Report), code, stderr };
  }
  const told = ({ checks }: Report, result: Row['result']): string[] =>
    checks
      .filter((row) => row.result === result)
      .map(({ check, from, seen, reason }) => [check, from, seen, reason].filter(Boolean).join(' | '));
  const assertClean = (): void => {
    assert.equal(world.api.namespaces.get(`/${NAMESPACE}`), undefined);
    assert.deepEqual(world.kubelet.running(), []);
    assert.ok(!world.api.services.all().some(({ metadata }) => metadata.namespace === NAMESPACE));
  };

  test('--keep leaves all of it, and clients that can be traced', async () => {
    const kept = await world.test('--keep', '--no-kube-proxy');
    assert.equal(kept.code, 0, kept.stdout);
    assert.match(kept.stderr, /kept, as asked: kubectl delete namespace cellnet-connectivity-test/);
    for (const name of ['server-a', 'client-a', 'host-client-a'])
      assert.equal(world.api.pods.get(`${NAMESPACE}/${name}`)?.status?.['phase'], 'Running', name);
    const service = world.api.services.get(`${NAMESPACE}/only-a`);
    const traced = await world.trace(`${NAMESPACE}/client-a`, `${String(service?.spec?.['clusterIP'])}:80`);
    assert.equal(traced.code, 0, traced.stderr);
    assert.match(traced.stdout, /cellnet-connectivity-test\/server-a/);
    world.api.putPod(pod({ namespace: NAMESPACE, name: 'left', node: 'svc-a' }));
  });

  test('two nodes that do as they should: all is well, and nothing is left, also of the kept run', async () => {
    const all = await report('--external-ip', '198.51.100.7', '--masquerade-forwarded');
    assert.deepEqual(told(all, 'failed'), []);
    assert.deepEqual(
      all.checks.filter(({ result }) => result === 'skipped').map(({ check }) => check),
      ['from the node over IPv6'],
    );
    assert.ok(all.counts.ok > 70, JSON.stringify(all.counts));
    assert.deepEqual(all.families, ['ipv4', 'ipv6']);
    assert.equal(all.code, 0);
    assert.match(all.stderr, /is left from an earlier run: it is deleted first/);
    assertClean();
  });

  test('a node whose bridge lost its Services: the rows of its pods fail, and tell what to look at', async () => {
    const [a] = world.nodes;
    // Before the program's own flows: cluster addresses lead nowhere from this node's pods.
    await a.ovs.ofctl('add-flow', 'br-cell', 'table=0,priority=40000,ip,nw_dst=10.96.7.0/24,actions=drop');
    const { code, stdout } = await world.test('--no-kube-proxy', '--timeout', '90s');
    await a.ovs.ofctl('--strict', 'del-flows', 'br-cell', 'table=0,priority=40000,ip,nw_dst=10.96.7.0/24');
    assert.equal(code, 1, stdout);
    assert.match(stdout, /failed +an endpoint on its node, TCP +from client-a on svc-a \(10\.20\./);
    assert.match(stdout, /expected: server-a answers, and sees the client's own address/);
    assert.match(stdout, /seen: no answer after 3\d\d\d ms/);
    assert.match(
      stdout,
      /→ With --keep, on node svc-a: cnictl service show cellnet-connectivity-test\/only-a; cnictl trace cellnet-connectivity-test\/client-a 10\.96\.7\.\d+:80/,
    );
    assert.match(
      stdout,
      /ok +an endpoint on its node, TCP +client-b on svc-b: server-b answered and saw 10\.20\./,
    );
    assert.match(stdout, /ok +an endpoint on its node, TCP, IPv6 +client-a/);
    assert.match(stdout, /skipped +Services from the node, and NodePorts +kube-proxy is not here/);
    assertClean();
    assert.ok((await dumpFlows(a)).length > 0);
  });

  test('a cluster of one node, whose namespace cannot be deleted: what needs two is skipped', async () => {
    const [, { nodeName }] = world.nodes;
    const second = world.api.nodes.get(`/${nodeName}`);
    assert.ok(second);
    world.api.putNode({ ...second, spec: { unschedulable: true } });
    forbidden.add('delete namespaces');
    const one = await report();
    world.api.putNode(second);
    assert.deepEqual(told(one, 'failed'), []);
    const skipped = told(one, 'skipped');
    assert.ok(
      skipped.includes('an endpoint on another node | there is only one node to test on'),
      skipped.join('\n'),
    );
    assert.deepEqual(
      one.nodes.map(({ name }) => name),
      ['svc-a'],
    );
    assert.match(one.stderr, /"delete" on the resource "namespaces"/);
    assert.match(one.stderr, /may be left: kubectl delete namespace cellnet-connectivity-test/);
    assert.equal(one.code, 2);
    // The next test meets its end.
    const left = world.api.namespaces.get(`/${NAMESPACE}`);
    assert.ok(left);
    const deletionTimestamp = new Date().toISOString();
    world.api.namespaces.put({ ...left, metadata: { ...left.metadata, deletionTimestamp } });
  });

  test('nodes that do not masquerade: what needs it is skipped', async () => {
    const [agent] = world.agents;
    const [a] = world.nodes;
    assert.ok(agent);
    await setMasquerade(a, agent, false);
    const usual = await report();
    await setMasquerade(a, agent, true);
    assert.deepEqual([told(usual, 'failed'), usual.code], [[], 0]);
    const skipped = told(usual, 'skipped').filter((text) => /key masqueradeForwarded/.test(text));
    assert.ok(
      skipped.some((text) => text.startsWith('hostPort | this machine')),
      skipped.join('\n'),
    );
  });

  suite('what cannot be tried ends with status 2, and leaves nothing', () => {
    const refused = (ran: RunResult, expected: RegExp): void => {
      assert.equal(ran.code, 2, ran.stdout);
      assert.match(ran.stderr, expected);
    };

    test("a namespace of that name that is not the test's is left alone", async () => {
      world.api.namespaces.put(namespace('shop'));
      refused(await world.test('--namespace', 'shop'), /namespace 'shop' exists and is not of this test/);
      assert.equal(world.api.namespaces.get('/shop')?.metadata.deletionTimestamp, undefined);
    });

    test('a right that is missing is named, with the resource', async () => {
      forbidden.add('create services');
      const ran = await world.test();
      refused(
        ran,
        /the verb "create" on the resource "services" of the core API group, in the namespace cellnet-connectivity-test, is needed/,
      );
      assert.match(ran.stderr, /docs\/operations\/connectivity\.md lists the rights/);
      assertClean();
    });

    test('no DaemonSet: the image must be named', async () => {
      forbidden.clear();
      const [agents] = world.api.daemonsets.all();
      assert.ok(agents);
      world.api.daemonsets.delete('kube-system/cellnet');
      const ran = await world.test();
      world.api.daemonsets.put(agents);
      refused(ran, /no DaemonSet has the label[^]*--image IMAGE/);
    });

    test('a node that is not there', async () => {
      refused(await world.test('--node', 'svc-z'), /--node 'svc-z': that node does not exist/);
    });

    test('stopped, while another one wants its namespace: it takes all away, also pods that have begun', async () => {
      const [program = '', ...args] = world.command;
      const words = ['netns', 'exec', world.fabric.ns.name, program, ...args];
      const child = spawn('ip', words, { env: childEnv(world.env), stdio: ['ignore', 'ignore', 'pipe'] });
      let stderr = '';
      child.stderr.on('data', (text) => (stderr += String(text)));
      const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
      await until('pods run', () => world.kubelet.running().length > 3);
      refused(
        await world.test(),
        /another test works in namespace 'cellnet-connectivity-test': run [-0-9a-f]+, begun \d+s ago/,
      );
      child.kill('SIGHUP');
      assert.equal(await ended, 2);
      assert.match(stderr, /stopped by SIGHUP/);
      assertClean();
    });
  });
});
