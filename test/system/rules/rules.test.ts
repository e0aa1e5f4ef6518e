import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { podArgs } from '../../support/cni.ts';
import { namespace, node, pod } from '../../support/kube-api.ts';
import type { RunResult } from '../../support/proc.ts';
import { makeServicesWorld, type ServicesWorld } from '../services/world.ts';

suite('rules on real parts', () => {
  let world: ServicesWorld;
  before(async () => {
    world = await makeServicesWorld();
    const shop = namespace('shop');
    world.api.namespaces.put({ ...shop, metadata: { ...shop.metadata, labels: { team: 'a' } } });
    await must('range', 'set', 'red', '--named-only');
  });
  after(() => world.stop());

  const must = async (...args: string[]): Promise<RunResult> => {
    const done = await world.fabric.cnictl(...args);
    assert.equal(done.code, 0, done.stderr);
    return done;
  };
  const remove = (...names: string[]): Promise<unknown> =>
    Promise.all(names.map((name) => must('rule', 'remove', name)));

  interface Added {
    readonly ip: string;
    readonly code: number | null;
    readonly text: string;
    readonly end: () => Promise<void>;
  }
  /** Adds a pod of the namespace by the agent, or by the plugin alone. */
  async function add(space: string, name: string, by: 'agent' | 'plugin' = 'agent'): Promise<Added> {
    const [on] = world.nodes;
    const made = await on.makePod(name);
    const call = {
      args: podArgs(space, name, made.uid, made.containerId),
      config: on.networkConfig(),
      // The environment counts before the configuration, and that of the node says `false`.
      env: { KUBECONFIG: world.kubeconfig, ...(by === 'agent' && world.agents[0]?.env) },
    };
    world.api.putPod(pod({ namespace: space, name, uid: made.uid, node: on.name, labels: labelsOf(name) }));
    const { code, stdout, result } = await on.call('ADD', made, call);
    const end = async (): Promise<void> => {
      await on.delPod(made, call);
      world.api.deletePod(space, name);
    };
    return { ip: result?.ips?.[0]?.address.split('/')[0] ?? '', code, text: stdout, end };
  }
  const labelsOf = (name: string): Record<string, string> => ({ app: name.split('-')[0] ?? '' });

  for (const by of ['agent', 'plugin'] as const) {
    test(`a namespace's pods get addresses and VLAN of its range, by the ${by}`, async () => {
      await must('rule', 'add', 'shop', '--namespace', 'shop', '--range', 'red');
      const [mine, other] = [await add('shop', 'web-1', by), await add('default', 'web-1', by)];
      assert.match(mine.ip, /^10\.30\./, mine.text);
      assert.match(other.ip, /^10\.20\./, other.text);
      const ports = await world.nodes[0].ovs.vsctl(
        ...['--format=csv', '--no-headings', '--columns=tag', 'find', 'port'],
        `external_ids:ip=${mine.ip}`,
      );
      assert.equal(ports.trim(), '130');
      await mine.end();
      await other.end();
      await remove('shop');
    });

    test(`labels are looked up in Kubernetes; while it is away the pod waits, by the ${by}`, async () => {
      await must(...'rule add webs --namespace shop --label app=web --range red'.split(' '));
      await must(...'rule add team --namespace sh* --namespace-label team=a --range blue'.split(' '));
      const [web, db] = [await add('shop', 'web-1', by), await add('shop', 'db-1', by)];
      assert.match(web.ip, /^10\.30\./, web.text);
      assert.match(db.ip, /^10\.20\./, db.text);
      const before = (await must('ip', 'list', '-o', 'json')).stdout;
      world.api.faults.when(() => ({ kind: 'reset' }));
      try {
        const waits = await add('shop', 'web-2', by);
        assert.notEqual(waits.code, 0);
        const { code, msg } = JSON.parse(waits.text) as { code: number; msg: string };
        assert.equal(code, 11, waits.text);
        assert.match(msg, /a rule for pod shop\/web-2 asks for pod and namespace in Kubernetes/);
        assert.equal((await must('ip', 'list', '-o', 'json')).stdout, before);
      } finally {
        world.api.faults.clear();
      }
      const later = await add('shop', 'web-3', by);
      assert.match(later.ip, /^10\.30\./, later.text);
      for (const each of [web, db, later]) await each.end();
      await remove('webs', 'team');
    });
  }

  test('the label of the node decides', async () => {
    const [on] = world.nodes;
    world.api.putNode(node({ name: on.name, labels: { rack: 'r1' } }));
    await must(...'rule add rack --namespace * --nodes rack=r1 --range red'.split(' '));
    await must(...'rule add none --namespace * --pod db-* --nodes rack=r2 --range red'.split(' '));
    const found = await add('default', 'db-9');
    assert.match(found.ip, /^10\.30\./, found.text);
    await found.end();
    await remove('rack', 'none');
  });

  test('full ranges: the error names the rule; with --fallback the others serve', async () => {
    await must(
      ...'range add 10.40.0.0/29 --name tiny --vlan 140 --gateway 10.40.0.1 --block-size 4'.split(' '),
    );
    await must('range', 'set', 'tiny', '--named-only');
    await must(...'rule add small --namespace small --range tiny'.split(' '));
    const pods = [];
    for (let i = 0; i < 5; i++) pods.push(await add('small', `p-${i}`));
    assert.deepEqual([...new Set(pods.map(({ code }) => code))], [0]);
    const waits = await add('small', 'p-5');
    assert.match(waits.text, /"code":\s*11/);
    assert.match(waits.text, /by rule 'small'/);
    const told = await world.fabric.cnictl('doctor');
    assert.match(told.stdout, /rule small: its ranges are full/);
    await remove('small');
    await must(...'rule add small --namespace small --range tiny --fallback'.split(' '));
    const other = await add('small', 'p-6');
    assert.match(other.ip, /^10\.20\./, other.text);
    for (const each of [...pods, other]) await each.end();
    await remove('small');
  });

  test('what a rule would concern is told first; what it concerns, later', async () => {
    const one = await add('shop', 'web-1');
    const dry = await must(...'rule add shop --namespace shop --range red --dry-run'.split(' '));
    assert.match(dry.stdout, /would be added: shop\/\* -> red/);
    assert.match(dry.stdout, /1 address of pods that live now, 1 address in other ranges/);
    assert.match(dry.stdout, new RegExp(`shop/web-1 +${one.ip.replaceAll('.', '\\.')} +blue`));
    assert.match((await must('rule', 'list')).stdout, /No rules/);
    await must(...'rule add shop --namespace shop --range red'.split(' '));
    assert.match((await must('rule', 'list')).stdout, /shop +shop\/\* +red/);
    const shown = JSON.parse((await must('rule', 'show', 'shop', '-o', 'json')).stdout) as { pods: object[] };
    assert.equal(shown.pods.length, 1);
    const equal = await world.fabric.cnictl(...'rule add again --namespace shop --range blue'.split(' '));
    assert.equal(equal.code, 2);
    assert.match(equal.stderr, /rule 'again' and rule 'shop' may be for one pod/);
    const busy = await world.fabric.cnictl('range', 'remove', 'red', '--yes');
    assert.equal(busy.code, 2);
    assert.match(busy.stderr, /rule 'shop' names it/);
    await one.end();
    await remove('shop');
  });
});
