/** Pods whose annotations say which addresses they get, where a rule allows them. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { podArgs } from '../../support/cni.ts';
import { pod as podObject } from '../../support/kube-api.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { sleep, until, type RunResult } from '../../support/proc.ts';
import { makeServicesWorld, type ServicesWorld } from '../services/world.ts';

type By = 'agent' | 'plugin';
type Annotations = Record<string, string>;

interface Made {
  readonly ip: string;
  readonly code: number;
  readonly msg: string;
  /** As the kubelet does: the same sandbox, once more. */
  readonly again: (annotations?: Annotations) => Promise<Made>;
  readonly end: () => Promise<void>;
}

suite('annotations on real parts', () => {
  let world: ServicesWorld;
  let a: SimulatedNode;
  let b: SimulatedNode;
  before(async () => {
    world = await makeServicesWorld();
    [a, b] = world.nodes;
    await must('range', 'set', 'red', '--named-only');
    await must(
      ...'rule add own --namespace shop --range red --range blue --allow-annotations ranges,ip,keep --keep-at-most 2d'.split(
        ' ',
      ),
    );
  });
  after(() => world.stop());

  const must = async (...args: string[]): Promise<RunResult> => {
    const done = await world.fabric.cnictl(...args);
    assert.equal(done.code, 0, done.stderr);
    return done;
  };
  const shown = async (ip: string): Promise<Record<string, unknown>> =>
    JSON.parse((await must('ip', 'show', ip, '-o', 'json')).stdout) as Record<string, unknown>;

  const used = async (): Promise<string[]> =>
    (JSON.parse((await must('ip', 'list', '-o', 'json')).stdout) as { ip: string; state: string }[])
      .filter(({ state }) => state === 'used')
      .map(({ ip }) => ip);

  async function add(
    on: SimulatedNode,
    name: string,
    annotations: Annotations,
    by: By = 'agent',
    more: { readonly space?: string; readonly args?: Record<string, string> } = {},
  ): Promise<Made> {
    const { space = 'shop' } = more;
    const made = await on.makePod(name);
    return await attempt(on, made, space, annotations, by, more.args ?? {});
  }

  async function attempt(
    on: SimulatedNode,
    made: Pod,
    space: string,
    annotations: Annotations,
    by: By,
    args: Record<string, string>,
  ): Promise<Made> {
    const { name, uid } = made;
    const call = {
      args: { ...podArgs(space, name, uid, made.containerId), ...args },
      config: on.networkConfig(),
      env: {
        KUBECONFIG: world.kubeconfig,
        ...(by === 'agent' && world.agents[world.nodes.indexOf(on)]?.env),
      },
    };
    world.api.putPod(podObject({ namespace: space, name, uid, node: on.name, annotations }));
    const { code, stdout, result } = await on.call('ADD', made, call);
    const told = code === 0 ? { code: 0, msg: '' } : (JSON.parse(stdout) as { code: number; msg: string });
    return {
      ip: result?.ips?.[0]?.address.split('/')[0] ?? '',
      ...{ code: told.code, msg: told.msg },
      again: (next = annotations) => attempt(on, made, space, next, by, args),
      end: async () => {
        await on.delPod(made, call);
        world.api.deletePod(space, name);
      },
    };
  }

  for (const by of ['agent', 'plugin'] as const) {
    test(`the range, and with it the VLAN, by the ${by}`, async () => {
      const mine = await add(a, 'web-1', { 'cellnet.io/ranges': 'red' }, by);
      assert.match(mine.ip, /^10\.30\./, mine.msg);
      const tag = await a.ovs.vsctl(
        ...['--format=csv', '--no-headings', '--columns=tag', 'find', 'port'],
        `external_ids:ip=${mine.ip}`,
      );
      assert.equal(tag.trim(), '130');
      assert.deepEqual((await shown(mine.ip))['chosenBy'], ['ranges']);
      assert.match(
        (await must('ip', 'show', mine.ip)).stdout,
        /Chosen: +by annotation cellnet\.io\/ranges of/,
      );
      assert.match(
        (await must('pod', 'show', 'shop/web-1')).stdout,
        new RegExp(
          `Annotations: +${mine.ip.replaceAll('.', '\\.')} chosen by annotation cellnet\\.io/ranges`,
        ),
      );
      await mine.end();
    });

    test(`one address, and who has it, on whichever node, by the ${by}`, async () => {
      const last = by === 'agent' ? 20 : 40;
      const ip = `10.30.0.${last}`;
      const wish = { 'cellnet.io/ip': ip, 'cellnet.io/keep': 'none' };
      const neighbour = await add(a, 'near', { 'cellnet.io/ip': `10.30.0.${last + 1}` }, by);
      const first = await add(a, 'fixed-1', wish, by);
      assert.equal(first.ip, ip, first.msg);
      const waits = await add(b, 'fixed-2', wish, by);
      assert.equal(waits.code, 11);
      assert.match(
        waits.msg,
        new RegExp(`${ip} \\(annotation cellnet\\.io/ip\\) is given to pod shop/fixed-1 on`),
      );
      await first.end();
      // Not this pod's: it rests.
      const rests = await waits.again();
      assert.equal(rests.code, 11);
      assert.match(rests.msg, /is cooling, free in \d+ s/);
      await must('range', 'set', 'red', '--cooldown', '0');
      const second = await rests.again();
      assert.equal(second.ip, ip, second.msg);
      const { node, block } = await shown(ip);
      assert.deepEqual([node, block], [b.nodeName, (await shown(neighbour.ip))['block']]);
      const { stdout } = await must('check', '--grace', '0', '--kubeconfig', world.kubeconfig);
      assert.match(stdout, /nothing leaked, nothing missing/);
      await second.end();
      await neighbour.end();
      await must('range', 'set', 'red', '--cooldown', '30s');
    });

    test(`an address that the pod keeps, on another node, by the ${by}`, async () => {
      const wish = { 'cellnet.io/keep': '24h', 'cellnet.io/ranges': 'red' };
      const first = await add(a, 'db-0', wish, by);
      assert.equal(first.code, 0, first.msg);
      await first.end();
      const text = (await must('ip', 'show', first.ip)).stdout;
      assert.match(text, /Kept: +for this pod, for 1d, .* more, by its annotation, which rule own allows/);
      const second = await add(b, 'db-0', wish, by);
      assert.equal(second.ip, first.ip, second.msg);
      await second.end();
      // The last time.
      const third = await add(a, 'db-0', { 'cellnet.io/ranges': 'red' }, by);
      assert.equal(third.ip, first.ip, third.msg);
      await third.end();
      assert.equal((await shown(first.ip))['state'], 'cooling');
    });

    test(`what is bad is told, and mended in place, by the ${by}`, async () => {
      const before = await used();
      const bad = await add(a, 'bad', { 'cellnet.io/keep': 'forever' }, by);
      assert.equal(bad.code, 7);
      assert.match(
        bad.msg,
        /annotation cellnet\.io\/keep of the pod is "forever": expected at most 2d, for its rule allows no more/,
      );
      const other = await bad.again({ 'cellnet.io/ranges': 'green' });
      assert.equal(other.code, 7);
      assert.match(other.msg, /"green": expected ranges that rule 'own' allows \(blue, red\), not 'green'/);
      assert.deepEqual(await used(), before);
      const good = await other.again({ 'cellnet.io/ranges': 'blue' });
      assert.match(good.ip, /^10\.20\./, good.msg);
      await good.end();
    });

    test(`without the API server the pod waits; where no rule allows them nobody asks, by the ${by}`, async () => {
      world.api.faults.when(() => ({ kind: 'reset' }));
      for (const watch of world.api.watches) watch.cut();
      try {
        const waits = await add(a, 'web-2', {}, by);
        assert.equal(waits.code, 11);
        assert.match(waits.msg, /a rule for pod shop\/web-2 asks for pod in Kubernetes/);
        const free = await add(a, 'web-2', { 'cellnet.io/ranges': '?' }, by, { space: 'other' });
        assert.match(free.ip, /^10\.20\./, free.msg);
        await free.end();
        world.api.faults.clear();
        const later = await waits.again();
        assert.equal(later.code, 0, later.msg);
        await later.end();
      } finally {
        world.api.faults.clear();
      }
    });

    test(`the runtime's request and the annotation must agree, by the ${by}`, async () => {
      const ip = by === 'agent' ? '10.30.0.77' : '10.30.0.79';
      const wish = { 'cellnet.io/ip': ip };
      const differs = await add(a, 'asked', wish, by, { args: { IP: '10.30.0.78' } });
      assert.equal(differs.code, 7);
      assert.match(
        differs.msg,
        /the runtime requests 10\.30\.0\.78 for the pod, its annotation .* 10\.30\.0\.7/,
      );
      const agrees = await add(a, 'asked-2', wish, by, { args: { IP: ip } });
      assert.equal(agrees.ip, ip, agrees.msg);
      await agrees.end();
    });
  }

  test('the agent follows the pods of its node, and asks for none that it knows', async () => {
    // The first question begins it: what failed before has ended it.
    const first = await add(a, 'first', {});
    const name = 'known';
    const made = await a.makePod(name);
    const isOwn = ({ path }: { path: string }): boolean => path.endsWith(`/pods/${name}`);
    world.api.putPod(podObject({ namespace: 'shop', name, uid: made.uid, node: a.name }));
    await until('the agent to follow', () =>
      Promise.resolve(
        [...world.api.watches].some(
          ({ request }) => request.query.get('fieldSelector') === `spec.nodeName=${a.name}`,
        ),
      ),
    );
    // A watch is well once it has lasted for a second.
    await sleep(1_500);
    const known = await attempt(a, made, 'shop', { 'cellnet.io/ip': '10.30.0.90' }, 'agent', {});
    assert.equal(known.ip, '10.30.0.90', known.msg);
    assert.deepEqual(world.api.requests.filter(isOwn), []);
    // The log comes by a pipe, the answer by a socket.
    await until('the agent to tell that it served the pod', () =>
      Promise.resolve(world.agents[0]?.logged('served').some((line) => line['pod'] === `shop/${name}`)),
    );
    await known.end();
    await first.end();
  });

  test('the rule is shown, and its end frees what annotations keep', async () => {
    assert.match((await must('rule', 'show', 'own')).stdout, /Annotations: +ranges ip keep \(at most 2d\)/);
    const lives = await add(a, 'lives', { 'cellnet.io/keep': '1h' });
    const gone = await add(a, 'gone', { 'cellnet.io/keep': '1h' });
    await gone.end();
    assert.match(
      (await must('rule', 'list')).stdout,
      /own .*annotations ranges ip keep \(at most 2d\) +\d+ +- +1\n/,
    );
    // Another rule comes, for other pods of the namespace.
    await must(...'rule add webs --namespace shop --pod web-* --range red'.split(' '));
    assert.equal((await shown(gone.ip))['state'], 'kept');
    const removed = await must('rule', 'remove', 'own');
    assert.match(removed.stdout, /free again: 1 address kept for pods that are gone/);
    assert.equal((await shown(gone.ip))['state'], 'cooling');
    assert.equal((await shown(lives.ip))['keep'], null);
    // Pods that run: their annotations count from now on.
    const added = await must(
      ...'rule add own --namespace shop --range red --range blue --allow-annotations keep --kubeconfig'.split(
        ' ',
      ),
      world.kubeconfig,
    );
    assert.match(added.stdout, /kept from now on: 1 address of pods that live/);
    assert.deepEqual((await shown(lives.ip))['keep'], {
      ...{ rule: 'own', forMs: 3_600_000, anyPod: false, byAnnotation: true },
    });
    await lives.end();
    await must('rule', 'remove', 'own');
    await must('rule', 'remove', 'webs');
  });

  test('what is not right is refused; a free choice is warned of', async () => {
    const refused = async (text: string, ...args: string[]): Promise<void> => {
      const { code, stderr } = await world.fabric.cnictl('rule', 'add', 'x', '--namespace', 'shop', ...args);
      assert.equal(code, 2);
      assert.match(stderr, new RegExp(text));
    };
    await refused("--allow-annotations 'ips': expected some of ranges,ip,keep", '--allow-annotations', 'ips');
    await refused(
      '--keep-at-most: expected with --allow-annotations',
      '--range',
      'red',
      '--keep-at-most',
      '1h',
    );
    const dry = await must(...'rule add x --namespace shop --allow-annotations ip --dry-run'.split(' '));
    assert.match(dry.stdout, /rule x would be added: shop\/\* -> any, annotations ip\n/);
    assert.match(dry.stderr, /lets its pods choose any free address of every range without --named-only/);
  });
});
