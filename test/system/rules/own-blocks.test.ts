/**
 * An application whose pods have blocks of their own: a rolling update over two nodes while another
 * application comes and goes, the lines for the firewall, and the end of the rule.
 */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { cidrContains, parseCidr, parseAddress } from '../../../ipam/model/address.ts';
import { OUR_PLUGINS, podArgs } from '../../support/cni.ts';
import { pod as podObject } from '../../support/kube-api.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { run, type RunResult } from '../../support/proc.ts';
import { makeServicesWorld, type ServicesWorld } from '../services/world.ts';

interface Made {
  readonly on: SimulatedNode;
  readonly pod: Pod;
  readonly ip: string;
}

const PODS = 50;

suite('an application with blocks of its own', () => {
  let world: ServicesWorld;
  before(async () => {
    world = await makeServicesWorld();
    await must('range', 'set', 'blue', '--cooldown', '0s');
    await must(...'rule add pay --namespace shop --pod pay-* --range blue --own-blocks'.split(' '));
  });
  after(() => world.stop());

  const must = async (...args: string[]): Promise<RunResult> => {
    const done = await world.fabric.cnictl(...args);
    assert.equal(done.code, 0, done.stderr);
    return done;
  };
  const json = async <T>(...args: string[]): Promise<T> =>
    JSON.parse((await must(...args, '-o', 'json')).stdout) as T;
  const callOf = (pod: Pod, on: SimulatedNode, by: 'agent' | 'plugin') => ({
    args: podArgs('shop', pod.name, pod.uid, pod.containerId),
    config: on.networkConfig(),
    // The environment counts before the configuration, and that of the node says `false`.
    ...(by === 'agent' && { env: world.agents[world.nodes.indexOf(on)]?.env ?? {} }),
  });
  async function add(on: SimulatedNode, name: string, by: 'agent' | 'plugin' = 'agent'): Promise<Made> {
    const pod = await on.makePod(name);
    const { code, stdout, result } = await on.call('ADD', pod, callOf(pod, on, by));
    assert.equal(code, 0, stdout);

    const text = result?.ips?.[0]?.address.split('/')[0] ?? '';
    world.api.putPod(podObject({ namespace: 'shop', name, uid: pod.uid, node: on.name, ips: [text] }));
    return { on, pod, ip: text };
  }
  const end = async ({ on, pod }: Made, by: 'agent' | 'plugin' = 'agent'): Promise<void> => {
    await on.delPod(pod, callOf(pod, on, by));
    world.api.deletePod('shop', pod.name);
  };
  const blocks = async (): Promise<string[]> =>
    (await json<{ blocks: { cidr: string }[] }>('rule', 'show', 'pay')).blocks.map(({ cidr }) => cidr);
  const isIn = (ip: string, cidrs: readonly string[]): boolean =>
    cidrs.some((cidr) => cidrContains(parseCidr(cidr), parseAddress(ip)));
  const check = (...more: string[]): Promise<RunResult> =>
    run(`${OUR_PLUGINS}/cnictl`, ['check', '--grace', '0', '--kubeconfig', world.kubeconfig, ...more], {
      netns: world.fabric.ns.name,
      env: world.fabric.env,
      timeoutMs: 60_000,
    });

  test(`a rolling update of ${PODS} stays in its blocks, and others stay out of them`, async () => {
    const [a, b] = world.nodes;
    const on = (i: number): SimulatedNode => (i % 2 === 0 ? a : b);
    const by = (i: number): 'agent' | 'plugin' => (i % 16 === 14 ? 'plugin' : 'agent');
    let old: Made[] = [];
    for (let i = 0; i < PODS; i += 2)
      old.push(...(await Promise.all([0, 1].map((n) => add(on(i + n), `pay-1-${i + n}`, by(i))))));
    let lines = await blocks();
    assert.equal(lines.length, Math.ceil(PODS / 16));
    const others: Made[] = [];
    const strangers: string[] = [];
    const next: Made[] = [];
    // New pods come before old ones go, on both nodes at once; the other application churns.
    for (let i = 0; i < PODS; i += 2) {
      const [one, two, other] = await Promise.all([
        add(on(i), `pay-2-${i}`, by(i)),
        add(on(i + 1), `pay-2-${i + 1}`, by(i)),
        add(on(i), `web-${i}`),
      ]);
      next.push(one, two);
      others.push(other);
      const gone = others.length > 3 ? others.shift() : undefined;
      await Promise.all([
        ...old.slice(i, i + 2).map((each) => end(each, by(i))),
        ...(gone ? [end(gone)] : []),
      ]);
      strangers.push(other.ip);
    }
    old = [];
    lines = await blocks();
    // Lines only come, so the last ones tell of all moments.
    for (const ip of strangers) assert.ok(!isIn(ip, lines), `${ip} is not the application's`);
    for (const { ip } of next) assert.ok(isIn(ip, lines), `${ip} is in ${lines.join()}`);
    // Two more than pods at any time, and nothing rests.
    assert.ok(lines.length <= Math.ceil((PODS + 2) / 16) + 1, lines.join());
    const done = await check();
    assert.equal(done.code, 0, done.stdout + done.stderr);
    const shown = (await must('rule', 'show', 'pay')).stdout;
    for (const line of lines) assert.ok(shown.includes(line), shown);
    const list = await json<{ name: string; ownBlocks: boolean; blocks: number }[]>('rule', 'list');
    assert.deepEqual(
      list.map(({ name, ownBlocks, blocks: count }) => [name, ownBlocks, count]),
      [['pay', true, lines.length]],
    );
    const told = (await must('events', '--since', '1h', '--node', 'rule:pay', '-o', 'json')).stdout;
    const claimed = told
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; block: string })
      .filter(({ type }) => type === 'block-claimed');
    assert.deepEqual(claimed.map(({ block }) => block).sort(), [...lines].sort());
    // Nobody takes them for a node, and none of them for lost.
    const nodes = await json<{ name: string }[]>('node', 'list');
    assert.deepEqual(nodes.map(({ name }) => name).sort(), [a.name, b.name].sort());
    for (const each of [...next, ...others]) await end(each);
    assert.equal(
      (await json<{ state: string }[]>('ip', 'list')).filter(({ state }) => state === 'used').length,
      0,
    );
    assert.deepEqual(await blocks(), lines, 'the lines of the firewall stay');
  });

  test('a node shows what its pods have of them, and the lines stay when they are empty', async () => {
    const [a, b] = world.nodes;
    const [one, two] = [await add(a, 'pay-3-0'), await add(b, 'pay-3-1')];
    const before = await blocks();
    await end(two);
    const shown = await json<{ addresses: { ip: string }[] }>('node', 'show', a.name);
    assert.ok(
      shown.addresses.some(({ ip }) => ip === one.ip),
      JSON.stringify(shown),
    );
    await end(one);
    assert.deepEqual(await blocks(), before);
  });

  test('without the rule they go back once nobody uses them', async () => {
    const [a] = world.nodes;
    const last = await add(a, 'pay-4-0');
    const lines = await blocks();
    const removed = await must('rule', 'remove', 'pay');
    const own = lines.filter((cidr) => isIn(last.ip, [cidr]));
    for (const cidr of lines)
      assert.match(
        removed.stdout,
        new RegExp(own.includes(cidr) ? `${cidr}.*nothing more` : `returned:.*${cidr}`),
      );
    const after = await add(a, 'pay-4-1');
    assert.ok(!isIn(after.ip, own), 'nothing more is given out of them');
    await world.nodes[1].makePod('living').then((pod) => pod.ns.stop());
    world.api.putPod(podObject({ namespace: 'shop', name: 'other', uid: 'u', node: a.name, ips: [] }));
    await end(last);
    const released = await check('--release', '--yes');
    assert.equal(released.code, 0, released.stdout + released.stderr);
    assert.match(released.stderr, new RegExp(`returned ${own.join()}: their rules are gone`));
    const left = await json<{ node: string }[]>('block', 'list');
    assert.deepEqual(
      left.filter(({ node }) => node.startsWith('rule:')),
      [],
    );
    await end(after);
  });
});
