import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { hostLinkName } from '../../../cni/protocol/identity.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { startCapture } from '../../support/capture.ts';
import type { AddedPod, Pod, SimulatedNode } from '../../support/node.ts';
import { run, until } from '../../support/proc.ts';
import { nodeReconcile } from '../reconcile/world.ts';
import { BLUE, failed, remains, startCluster, succeeded, type Cluster } from './world.ts';

const BOTH = [{ name: 'ids', ingress: true, egress: true }];
const OUTPUT = [{ name: 'ids', output: true }];

for (const how of ['by the plugin alone', 'with the agent'] as const) {
  suite(`mirrors, ${how}`, () => {
    let cluster: Cluster;
    let node: SimulatedNode;
    let agent: RunningAgent | undefined;
    let peer: AddedPod;
    before(async () => {
      cluster = await startCluster(1, BLUE);
      [node] = cluster.nodes as [SimulatedNode];
      if (how === 'with the agent') agent = cluster.scope.use(await startAgent(node));
      peer = await add('peer');
    });
    after(() => cluster.scope.close());

    const configOf = (mirrors?: unknown): Record<string, unknown> => ({
      agent: agent ? agent.socket : false,
      ...(mirrors !== undefined && { mirrors }),
    });
    const whole = (mirrors?: unknown, more = {}): { config: Record<string, unknown> } => ({
      config: node.networkConfig({ ...configOf(mirrors), ...more }),
    });
    const add = (name: string, mirrors?: unknown): Promise<AddedPod> =>
      node.addPod(name, { config: configOf(mirrors) });
    const del = (pod: Pod): Promise<void> => node.delPod(pod, whole());
    const mirrorNames = async (): Promise<string[]> =>
      (await node.ovs.vsctl('--bare', '--columns=name', 'list', 'Mirror')).split('\n').filter(Boolean).sort();
    const uuidOf = async (pod: Pod): Promise<string> =>
      (await node.ovs.vsctl('get', 'Port', hostLinkName(pod), '_uuid')).trim();
    const column = async (name: string, mirror = 'ids'): Promise<string> =>
      (await node.ovs.vsctl('get', 'Mirror', mirror, name)).trim();

    /** The kinds of ICMP that the pod sees while `from` pings the peer. */
    const seenBy = async (pod: Pod, from: AddedPod): Promise<string[]> => {
      const capture = await startCapture(pod.ns.name, 'eth0', 'icmp');
      await from.ns.exec('ping', '-c', '3', '-i', '0.2', '-W', '2', peer.ip);
      const between = (await capture.stop()).filter(
        (line) => line.includes(from.ip) && line.includes(peer.ip),
      );
      const kinds = between.map((line) => (/ICMP echo (request|reply)/.exec(line) ?? [])[1] ?? line);
      return [...new Set(kinds)].sort();
    };

    const directions = [
      [{ ingress: true }, ['request'], 'the source'],
      [{ egress: true }, ['reply'], 'the output'],
      [{ ingress: true, egress: true }, ['reply', 'request'], 'the output'],
    ] as const;
    // The plugin makes the same rows as the agent.
    for (const [ways, kinds, first] of how === 'with the agent' ? directions : directions.slice(0, 1)) {
      const title = Object.keys(ways).join(' and ');
      test(`${title}: copies of that alone; ${first} comes and goes first`, async () => {
        const parts = [[{ name: 'ids', ...ways }], OUTPUT];
        if (first === 'the output') parts.reverse();
        const pods = [await add('one', parts[0]), await add('two', parts[1])] as const;
        const [source, output] = first === 'the output' ? [pods[1], pods[0]] : pods;
        assert.deepEqual(await mirrorNames(), ['ids']);
        assert.deepEqual(await seenBy(output, source), kinds);
        await del(pods[0]);
        assert.deepEqual(await mirrorNames(), ['ids']);
        if (first === 'the output') await source.ns.pings(peer.ip);
        await del(pods[1]);
        assert.deepEqual(await mirrorNames(), []);
      });
    }

    test('a pod that gets copies carries nothing else; a repeated ADD and CHECK find it as it is', async () => {
      const output = await add('output', OUTPUT);
      const ping = ['-c', '2', '-i', '0.2', '-W', '1', peer.ip];
      assert.notEqual((await run('ping', ping, { netns: output.ns.name })).code, 0);
      const id = await uuidOf(output);
      succeeded(await node.call('ADD', output, whole(OUTPUT)));
      assert.equal(await column('output_port'), id);
      const check = whole(OUTPUT, { prevResult: output.result });
      succeeded(await node.call('CHECK', output, check));
      await node.ovs.vsctl('clear', 'Mirror', 'ids', 'output_port');
      const name = hostLinkName(output);
      const lost = new RegExp(`mirrors of port ${name}: expected ids \\(output\\), found none`);
      failed(await node.call('CHECK', output, check), 105, lost);
      await del(output);
      assert.deepEqual(await mirrorNames(), []);
    });

    const again = how === 'with the agent' ? 'by the agent' : 'by a repeated ADD';
    test(`a port that somebody removed gets its parts again, ${again}`, async () => {
      const [source, output] = await Promise.all([add('source', BOTH), add('output', OUTPUT)]);
      for (const pod of [source, output]) await node.ovs.vsctl('del-port', hostLinkName(pod));
      if (!agent) {
        succeeded(await node.call('ADD', source, whole(BOTH)));
        succeeded(await node.call('ADD', output, whole(OUTPUT)));
      }
      const isWhole = async (): Promise<boolean> =>
        (await mirrorNames()).length === 1 &&
        (await Promise.all(['select_src_port', 'output_port'].map((each) => column(each)))).every(
          (ports) => ports !== '[]',
        );
      await until('both parts', isWhole, 20_000);
      await source.ns.pings(peer.ip);
      assert.deepEqual(await seenBy(output, source), ['reply', 'request']);
      await Promise.all([del(source), del(output)]);
      assert.deepEqual(await mirrorNames(), []);
    });

    test('a mirror that somebody removed is made again by reconcile; the port stays', async () => {
      const source = await add('source', BOTH);
      const id = await uuidOf(source);
      await node.ovs.vsctl('clear', 'bridge', 'br-cell', 'mirrors');
      const reconciled = await nodeReconcile(node);
      assert.equal(reconciled.code, 0, reconciled.stderr);
      assert.equal(await column('select_src_port'), `[${id}]`);
      await del(source);
      assert.deepEqual(await mirrorNames(), []);
    });

    test('another owner’s mirror is refused and left alone, and nothing of the ADD is left', async () => {
      const before = await remains(node);
      await node.ovs.vsctl(
        '--',
        '--id=@m',
        'create',
        'Mirror',
        'name=ids',
        '--',
        'add',
        'bridge',
        'br-cell',
        'mirrors',
        '@m',
      );
      for (const mirrors of [BOTH, OUTPUT]) {
        const pod = await node.makePod('refused');
        failed(
          await node.call('ADD', pod, whole(mirrors)),
          103,
          /mirror 'ids' of bridge 'br-cell' is not cellnet's/,
        );
        await pod.ns.stop();
      }
      assert.equal(await column('select_src_port'), '[]');
      assert.deepEqual(await remains(node), before);
      await node.ovs.vsctl('clear', 'bridge', 'br-cell', 'mirrors');
    });

    test('a second output is refused with the port of the first, and may come after it', async () => {
      const first = await add('first', OUTPUT);
      const id = await uuidOf(first);
      const second = await node.makePod('second');
      const name = new RegExp(`mirror 'ids' .*has an output already, port '${hostLinkName(first)}'`);
      failed(await node.call('ADD', second, whole(OUTPUT)), 11, name);
      assert.equal(await column('output_port'), id);
      await del(first);
      succeeded(await node.call('ADD', second, whole(OUTPUT)));
      await del(second);
      assert.deepEqual(await mirrorNames(), []);
    });

    test('ADDs at once make one mirror of a name; DELs at once leave none', async () => {
      const parts = [BOTH, BOTH, BOTH, OUTPUT, [...BOTH, { name: 'web', egress: true }]];
      const pods = await Promise.all(parts.map((each, i) => add(`at-once-${i}`, each)));
      assert.deepEqual(await mirrorNames(), ['ids', 'web']);
      assert.equal((await column('select_src_port')).split(',').length, 4);
      await Promise.all(pods.map((pod) => del(pod)));
      assert.deepEqual(await mirrorNames(), []);
    });
  });
}
