import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, before, suite, test } from 'node:test';
import { until } from '../../support/proc.ts';
import type { AddedPod } from '../../support/node.ts';
import {
  addRange,
  BLUE,
  failed,
  given,
  GREEN,
  podLinks,
  remains,
  startCluster,
  succeeded,
  type Cluster,
} from './world.ts';

suite('an attachment', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startCluster(1, [
      ...BLUE,
      '--route',
      '10.96.0.0/12 via 10.20.0.2',
      '--route',
      '10.112.0.0/12',
    ]);
  });
  after(() => cluster.scope.close());
  const node = (): Cluster['nodes'][number] => cluster.nodes[0] ?? assert.fail();
  const pods: AddedPod[] = [];
  const addPod: Cluster['nodes'][number]['addPod'] = async (...args) => {
    const pod = await node().addPod(...args);
    pods.push(pod);
    return pod;
  };
  // What a failed test leaves must not fail those after it.
  afterEach(async () => {
    for (const pod of pods.splice(0).filter(({ ns }) => existsSync(ns.path))) await node().delPod(pod);
  });
  const json = async (pod: AddedPod, ...args: string[]): Promise<Record<string, unknown>[]> =>
    JSON.parse(await pod.ns.exec('ip', '-j', '-d', ...args)) as Record<string, unknown>[];

  test('is in the pod, on the bridge and in etcd just as the reply says', async () => {
    const pod = await addPod('web');
    const [host, inside] = pod.result.interfaces ?? [];
    assert.match(host?.name ?? '', /^cell[0-9a-f]{11}$/);
    assert.equal(inside?.name, 'eth0');
    assert.equal(inside.sandbox, pod.ns.path);
    const bytes = pod.ip.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
    assert.equal(inside.mac, `0a:58:${bytes.join(':')}`);
    assert.deepEqual(pod.result.ips, [{ address: `${pod.ip}/22`, gateway: '10.20.0.1', interface: 1 }]);
    assert.deepEqual(pod.result.routes, [
      { dst: '0.0.0.0/0', gw: '10.20.0.1' },
      { dst: '10.96.0.0/12', gw: '10.20.0.2' },
      { dst: '10.112.0.0/12', gw: '10.20.0.1' },
    ]);

    const [link] = await json(pod, 'address', 'show', 'eth0');
    assert.equal(link?.['address'], inside.mac);
    assert.equal(link['mtu'], 1500);
    assert.ok((link['flags'] as string[]).includes('UP'));
    const [address, ...others] = link['addr_info'] as { local: string; prefixlen: number }[];
    assert.deepEqual([address?.local, address?.prefixlen, others], [pod.ip, 22, []]);
    const routes = (await json(pod, 'route')).map(
      (route) => `${String(route['dst'])} ${typeof route['gateway'] === 'string' ? route['gateway'] : ''}`,
    );
    assert.deepEqual(routes.sort(), [
      '10.112.0.0/12 10.20.0.1',
      '10.20.0.0/22 ',
      '10.96.0.0/12 10.20.0.2',
      'default 10.20.0.1',
    ]);
    assert.match(await pod.ns.exec('ethtool', '-k', 'eth0'), /tx-checksumming: off/);

    const onHost = await node().ns.exec('ip', '-d', 'link', 'show', host?.name ?? '');
    assert.match(onHost, new RegExp(`alias cellnet:${pod.containerId}:eth0`));
    assert.match(onHost, /state UP/);
    assert.equal((await node().ns.exec('ip', '-6', 'address', 'show', 'dev', host?.name ?? '')).trim(), '');

    for (const table of ['port', 'interface']) {
      const ids = await node().ovs.vsctl('get', table, host?.name ?? '', 'external_ids');
      for (const each of [
        'owner=cellnet',
        `container-id="?${pod.containerId}"?`,
        'ifname=eth0',
        'pod-namespace=default',
        'pod-name=web',
        `pod-uid="?${pod.uid}"?`,
        `ip="${pod.ip}"`,
      ]) {
        assert.match(ids, new RegExp(each), `${table} ${ids}`);
      }
    }
    assert.equal((await node().ovs.vsctl('get', 'port', host?.name ?? '', 'tag')).trim(), '120');
    assert.equal((await given(cluster.fabric)).get(pod.ip), pod.containerId);
    await pod.ns.pings('10.20.0.1');

    succeeded(await node().call('DEL', pod));
    assert.deepEqual(await remains(node()), []);
    assert.deepEqual(await podLinks(pod), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  });

  for (const version of ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']) {
    test(`is told in the shape of ${version}`, async () => {
      const pod = await addPod('shape', { config: { cniVersion: version } });
      assert.equal(pod.result.cniVersion, version);
      const old = version.startsWith('0.');
      assert.equal(pod.result.ips?.[0]?.version, old ? '4' : undefined);
      assert.equal(pod.result.interfaces?.[1]?.mtu, version === '1.1.0' ? 1500 : undefined);
      await node().delPod(pod, { config: node().networkConfig({ cniVersion: version }) });
    });
  }

  test('is the same when asked again, and a running pod notices nothing', async () => {
    const pod = await addPod('again');
    const port = pod.result.interfaces?.[0]?.name ?? '';
    const identity = async (): Promise<unknown[]> => [
      (await json(pod, 'link', 'show', 'eth0'))[0]?.['ifindex'],
      await node().ovs.vsctl('get', 'port', port, '_uuid'),
      await node().ovs.vsctl('get', 'interface', port, '_uuid', 'ofport'),
    ];
    const before = await identity();
    // A busy switch may answer late. A remade interface would lose many answers.
    const pinging = pod.ns.exec('ping', '-i0.02', '-c40', '-W10', '10.20.0.1');
    const again = await node().call('ADD', pod);
    succeeded(again);
    assert.deepEqual(again.result, pod.result);
    assert.match(await pinging, / 0% packet loss/);
    assert.deepEqual(await identity(), before);
    assert.equal(
      [...(await given(cluster.fabric)).values()].filter((id) => id === pod.containerId).length,
      1,
    );
    await node().delPod(pod);
  });

  test('is one of several of a container', async () => {
    const pod = await addPod('multi');
    const second = { ...pod, ifname: 'net1' };
    const added = await node().call('ADD', second, { ifname: 'net1' });
    succeeded(added);
    assert.notEqual(added.result?.ips?.[0]?.address, pod.result.ips?.[0]?.address);
    assert.deepEqual((await podLinks(pod)).sort(), ['eth0', 'net1']);
    succeeded(await node().call('DEL', second, { ifname: 'net1' }));
    assert.deepEqual(await podLinks(pod), ['eth0']);
    await node().delPod(pod);
    assert.deepEqual(await remains(node()), []);
  });

  suite('its MTU', () => {
    test('is what the configuration says', async () => {
      const pod = await addPod('mtu', { config: { mtu: 1450 } });
      assert.match(await pod.ns.exec('ip', 'link', 'show', 'eth0'), /mtu 1450/);
      await node().delPod(pod);
    });

    test("is else the uplink's", async () => {
      await node().ns.exec('ip', 'link', 'set', 'uplink0', 'mtu', '1400');
      await until(
        'vswitchd to see it',
        async () => (await node().ovs.vsctl('get', 'interface', 'uplink0', 'mtu')).trim() === '1400',
        5_000,
      );
      const pod = await addPod('mtu');
      assert.match(await pod.ns.exec('ip', 'link', 'show', 'eth0'), /mtu 1400/);
      await node().delPod(pod);
      await node().ns.exec('ip', 'link', 'set', 'uplink0', 'mtu', '1500');
      await until(
        'vswitchd to see it',
        async () => (await node().ovs.vsctl('get', 'interface', 'uplink0', 'mtu')).trim() === '1500',
        5_000,
      );
    });
  });

  suite('CHECK', () => {
    const checked = (pod: AddedPod, name = 'eth0'): ReturnType<Cluster['nodes'][number]['call']> =>
      node().call('CHECK', pod, { ifname: name, config: node().networkConfig({ prevResult: pod.result }) });

    test('passes right after ADD', async () => {
      const pod = await addPod('check');
      succeeded(await checked(pod));
      await node().delPod(pod);
    });

    const port = (pod: AddedPod): string => pod.result.interfaces?.[0]?.name ?? '';
    const harms: [what: string, harm: (pod: AddedPod) => Promise<unknown>, message: RegExp][] = [
      [
        'the address is gone',
        (pod) => pod.ns.exec('ip', 'address', 'flush', 'dev', 'eth0', 'scope', 'global'),
        /address of eth0: expected 10\.20\..*\/22, found none/,
      ],
      [
        'a route is gone',
        (pod) => pod.ns.exec('ip', 'route', 'del', '10.96.0.0/12'),
        /route of eth0: expected 10\.96\.0\.0\/12 via 10\.20\.0\.2, found/,
      ],
      [
        'the MTU is another',
        (pod) => pod.ns.exec('ip', 'link', 'set', 'eth0', 'mtu', '1300'),
        /MTU of eth0: expected 1500, found 1300/,
      ],
      [
        'the MAC is another',
        (pod) => pod.ns.exec('ip', 'link', 'set', 'eth0', 'address', '0a:58:00:00:00:01'),
        /MAC of eth0: expected 0a:58:0a:14.*found 0a:58:00:00:00:01/,
      ],
      [
        'the interface is down',
        (pod) => pod.ns.exec('ip', 'link', 'set', 'eth0', 'down'),
        /interface eth0: expected up, found down/,
      ],
      [
        'the VLAN is another',
        (pod) => node().ovs.vsctl('set', 'port', port(pod), 'tag=130'),
        /VLAN of port cell.*: expected 120, found 130/,
      ],
      [
        'the port is gone',
        (pod) => node().ovs.vsctl('del-port', port(pod)),
        /port cell.*: expected on bridge br-cell, found none/,
      ],
      [
        'the mark is gone',
        (pod) => node().ovs.vsctl('remove', 'port', port(pod), 'external_ids', 'owner'),
        /found none of ours/,
      ],
      [
        'the host link is another',
        (pod) => node().ns.exec('ip', 'link', 'set', port(pod), 'alias', 'other'),
        /alias of link cell.*found 'other'/,
      ],
      [
        'the allocation is gone',
        (pod) => cluster.fabric.cnictl('release', pod.ip, '--yes', '--force'),
        /allocation in etcd: expected 10\.20\..*\/22, found none/,
      ],
    ];
    for (const [what, harm, message] of harms) {
      test(`fails when ${what}`, async () => {
        const pod = await addPod('harm');
        succeeded(await checked(pod));
        await harm(pod);
        failed(await checked(pod), 105, message);
        if (what === 'the host link is another') {
          await node().ns.exec('ip', 'link', 'set', port(pod), 'alias', `cellnet:${pod.containerId}:eth0`);
        }
        if (what === 'the mark is gone') await node().ovs.vsctl('del-port', port(pod));
        await node().delPod(pod);
        assert.deepEqual(await remains(node()), []);
      });
    }
  });

  test('CHECK sees another MTU of the host’s end also where the result tells none, before 1.1.0', async () => {
    const config = { cniVersion: '1.0.0' };
    const pod = await addPod('mtu', { config });
    const link = pod.result.interfaces?.[0]?.name ?? '';
    const check = { config: node().networkConfig({ ...config, prevResult: pod.result }) };
    succeeded(await node().call('CHECK', pod, check));
    await node().ns.exec('ip', 'link', 'set', link, 'mtu', '1400');
    failed(await node().call('CHECK', pod, check), 105, /MTU of link cell.*: expected 1500, found 1400/);
    await node().delPod(pod);
  });

  test('a second range is chosen by ipam.ranges', async () => {
    await addRange(cluster.fabric, ...GREEN);
    const { ipam } = node().networkConfig() as { ipam: object };
    const pod = await addPod('green', { config: { ipam: { ...ipam, ranges: ['green'] } } });
    assert.match(pod.ip, /^10\.30\.0\./);
    assert.equal(
      (await node().ovs.vsctl('get', 'port', pod.result.interfaces?.[0]?.name ?? '', 'tag')).trim(),
      '130',
    );
    await node().delPod(pod);
  });
});
