import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { cni, OUR_PLUGINS, STOCK_PLUGINS, type CniOutcome, type Verb } from '../../support/cni.ts';
import { makeFaultyPlugin } from '../../support/faulty.ts';
import { must } from '../../support/proc.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import {
  BLUE,
  failed,
  given,
  podLinks,
  remains,
  startCluster,
  stateFiles,
  succeeded,
  type Cluster,
} from './world.ts';

suite('delegation', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let dataDir: string;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    dataDir = await cluster.scope.tempDir();
  });
  after(() => cluster.scope.close());

  suite('cellnet with another IPAM plugin', () => {
    const hostLocal = (): Record<string, unknown> =>
      node.networkConfig({
        cniVersion: '1.0.0',
        vlan: 120,
        ipam: {
          type: 'host-local',
          dataDir,
          ranges: [
            [
              {
                subnet: '10.20.0.0/22',
                rangeStart: '10.20.1.10',
                rangeEnd: '10.20.1.11',
                gateway: '10.20.0.1',
              },
            ],
          ],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      });

    test('host-local: its address, our interface; etcd has no part in it', async () => {
      const pod = await node.makePod('p');
      const added = await node.call('ADD', pod, { config: hostLocal() });
      succeeded(added);
      assert.equal(added.result?.ips?.[0]?.address, '10.20.1.10/22');
      assert.deepEqual(added.result.routes, [{ dst: '0.0.0.0/0', gw: '10.20.0.1' }]);
      await pod.ns.pings('10.20.0.1');
      assert.equal((await given(cluster.fabric)).size, 0);
      succeeded(await node.call('CHECK', pod, { config: { ...hostLocal(), prevResult: added.result } }));
      succeeded(await node.call('DEL', pod, { config: hostLocal() }));
      assert.deepEqual(await remains(node), []);
    });

    test('its error and its code are passed on, and nothing is left', async () => {
      const pods = await Promise.all(['a', 'b', 'c'].map((name) => node.makePod(name)));
      const [a, b, c] = pods as [Pod, Pod, Pod];
      succeeded(await node.call('ADD', a, { config: hostLocal() }));
      succeeded(await node.call('ADD', b, { config: hostLocal() }));
      const outcome = await node.call('ADD', c, { config: hostLocal() });
      assert.equal(outcome.code, 1);
      assert.match(outcome.result?.msg ?? '', /plugin 'host-local': .*no IP addresses available/);
      assert.deepEqual(await podLinks(c), []);
      for (const pod of [a, b]) succeeded(await node.call('DEL', pod, { config: hostLocal() }));
      assert.deepEqual(await remains(node), []);
    });

    test('a failure of ours gives its address back', async () => {
      const pod = await node.makePod('p');
      const missing = { ...hostLocal(), bridge: 'br-none' };
      failed(
        await node.call('ADD', pod, { config: missing, env: { CELLNET_BRIDGE: undefined } }),
        100,
        /br-none/,
      );
      const added = await node.call('ADD', pod, { config: hostLocal() });
      succeeded(added);
      succeeded(await node.call('DEL', pod, { config: hostLocal() }));
    });

    test('a repeated ADD has the same result, and the plugin is not asked again', async () => {
      const pod = await node.makePod('p');
      const added = await node.call('ADD', pod, { config: hostLocal() });
      succeeded(added);
      const again = await node.call('ADD', pod, { config: hostLocal() });
      succeeded(again);
      assert.deepEqual(again.result, added.result);
      await pod.ns.pings('10.20.0.1');
      succeeded(await node.call('DEL', pod, { config: hostLocal() }));
      assert.deepEqual(await remains(node), []);
    });

    test('an ADD killed at any step, then ADD again: its address, and DEL leaves nothing', async () => {
      const faulty = await makeFaultyPlugin(await cluster.scope.tempDir());
      for (const step of ['create-link', 'mark-link', 'allocate'] as const) {
        const pod = await node.makePod('p');
        const env = { FAULT_STEP: `ADD/${step}`, FAULT_WHEN: 'after', FAULT_KIND: 'kill' };
        const killed = await node.call('ADD', pod, { config: hostLocal(), plugin: faulty, env });
        assert.notEqual(killed.code, 0);
        succeeded(await node.call('ADD', pod, { config: hostLocal() }));
        await pod.ns.pings('10.20.0.1');
        succeeded(await node.call('DEL', pod, { config: hostLocal() }));
        assert.deepEqual(await remains(node), []);
      }
    });

    test('an address that another host has is refused, and given back', async () => {
      const config = node.networkConfig({
        cniVersion: '1.0.0',
        vlan: 120,
        addressProbe: { count: 2, intervalMs: 100 },
        ipam: { type: 'static', addresses: [{ address: '10.20.3.8/22', gateway: '10.20.0.1' }] },
      });
      const other = await cluster.fabric.addGateway({ vlan: 120, address: '10.20.3.8/22' });
      const pod = await node.makePod('p');
      failed(await node.call('ADD', pod, { config }), 11, /10\.20\.3\.8 is in use already/);
      assert.deepEqual(await remains(node), []);
      assert.deepEqual(await podLinks(pod), []);
      await must('ip', ['-n', cluster.fabric.ns.name, 'address', 'del', '10.20.3.8/22', 'dev', other]);
      const added = await node.call('ADD', pod, { config });
      succeeded(added);
      await pod.ns.pings('10.20.0.1');
      succeeded(await node.call('DEL', pod, { config }));
      assert.deepEqual(await remains(node), []);
    });

    test('addresses of two families', async () => {
      const pod = await node.makePod('p');
      const config = node.networkConfig({
        cniVersion: '1.0.0',
        vlan: 120,
        ipam: {
          type: 'static',
          addresses: [{ address: '10.20.3.9/22', gateway: '10.20.0.1' }, { address: 'fd00:20::9/64' }],
        },
      });
      const peer = await node.makePod('peer');
      const ipam = { type: 'static', addresses: [{ address: 'fd00:20::a/64' }] };
      succeeded(await node.call('ADD', peer, { config: { ...config, ipam } }));
      const added = await node.call('ADD', pod, { config });
      succeeded(added);
      await pod.ns.pings('10.20.0.1');
      await pod.ns.pings('fd00:20::a');
      succeeded(await node.call('CHECK', pod, { config: { ...config, prevResult: added.result } }));
      for (const each of [pod, peer]) succeeded(await node.call('DEL', each, { config }));
      assert.deepEqual(await remains(node), []);
    });

    test('static', async () => {
      const pod = await node.makePod('p');
      const config = node.networkConfig({
        cniVersion: '1.0.0',
        vlan: 120,
        ipam: { type: 'static', addresses: [{ address: '10.20.3.9/22', gateway: '10.20.0.1' }] },
      });
      const added = await node.call('ADD', pod, { config });
      succeeded(added);
      assert.equal(added.result?.ips?.[0]?.address, '10.20.3.9/22');
      // The interface was there before its address was known.
      assert.match(added.result.interfaces?.[1]?.mac ?? '', /^0e:/);
      await pod.ns.pings('10.20.0.1');
      succeeded(await node.call('DEL', pod, { config }));
      assert.deepEqual(await remains(node), []);
    });
  });

  suite('cellnet-ipam for another main plugin', () => {
    const etcd = (): unknown => (node.networkConfig()['ipam'] as { etcd: unknown }).etcd;
    const configOf = (type: string, more: object): object => ({
      cniVersion: '1.0.0',
      name: 'foreign',
      type,
      ...more,
      ipam: { type: 'cellnet-ipam', etcd: etcd(), node: node.name },
    });
    const call = (verb: Verb, pod: Pod, type: string, config: object): Promise<CniOutcome> =>
      cni(`${STOCK_PLUGINS}/${type}`, verb, {
        containerId: pod.containerId,
        netns: pod.ns.path,
        config,
        runIn: node.ns.name,
        env: node.env,
        path: `${OUR_PLUGINS}:${STOCK_PLUGINS}`,
      });

    for (const [type, more] of [
      ['bridge', { bridge: 'ref0' }],
      ['macvlan', { master: 'wire0' }],
    ] as const) {
      test(`${type}: address from etcd, containers reach each other, DEL releases`, async () => {
        if (type === 'macvlan') {
          const veth = ['link', 'add', 'wire0', 'up', 'type', 'veth', 'peer', 'name', 'wire1'];
          await must('ip', ['-n', node.ns.name, ...veth]);
          await must('ip', ['-n', node.ns.name, 'link', 'set', 'wire1', 'up']);
        }
        const config = configOf(type, more);
        const pods = [await node.makePod('a'), await node.makePod('b')] as const;
        const ips: string[] = [];
        for (const pod of pods) {
          const added = await call('ADD', pod, type, config);
          succeeded(added);
          assert.equal(added.result?.ips?.[0]?.gateway, '10.20.0.1');
          ips.push(added.result.ips[0].address.split('/')[0] ?? '');
          succeeded(await call('CHECK', pod, type, { ...config, prevResult: added.result }));
        }
        const held = await given(cluster.fabric);
        assert.deepEqual(
          ips.map((ip) => held.get(ip)),
          pods.map((pod) => pod.containerId),
        );
        await pods[0].ns.pings(ips[1] ?? '');
        for (const pod of pods) succeeded(await call('DEL', pod, type, config));
        assert.equal((await given(cluster.fabric)).size, 0);
        assert.deepEqual(stateFiles(node), []);
        if (type === 'macvlan') await must('ip', ['-n', node.ns.name, 'link', 'del', 'wire0']);
      });
    }

    test('DEL while etcd is away succeeds, and the address is released later', async () => {
      const config = configOf('bridge', { bridge: 'ref0' });
      const pod = await node.makePod('p');
      succeeded(await call('ADD', pod, 'bridge', config));
      cluster.fabric.etcd.pause();
      const outcome = await call('DEL', pod, 'bridge', config);
      cluster.fabric.etcd.resume();
      succeeded(outcome);
      assert.deepEqual(stateFiles(node), [`pending/${pod.containerId},eth0.json`]);
      const next = await node.makePod('next');
      succeeded(await call('ADD', next, 'bridge', config));
      assert.deepEqual([...(await given(cluster.fabric)).values()], [next.containerId]);
      succeeded(await call('DEL', next, 'bridge', config));
      assert.deepEqual(stateFiles(node), []);
    });

    test('an exhausted range is code 11 through the main plugin', async () => {
      const pod = await node.makePod('p');
      const base = configOf('bridge', { bridge: 'ref0' }) as { ipam: object };
      const config = { ...base, ipam: { ...base.ipam, families: ['ipv6'] } };
      failed(await call('ADD', pod, 'bridge', config), 11, /no IPv6 address left/);
    });
  });
});
