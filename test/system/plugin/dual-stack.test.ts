import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startCapture } from '../../support/capture.ts';
import { setSysctl } from '../../support/netns.ts';
import type { AddedPod, SimulatedNode } from '../../support/node.ts';
import { tcpTransfer } from '../../support/transfer.ts';
import {
  addRange,
  BLUE,
  failed,
  given,
  podLinks,
  remains,
  startCluster,
  succeeded,
  type Cluster,
} from './world.ts';

const SIX = ['fd00:20::/64', '--gateway', 'fd00:20::1', '--vlan', '120', '--name', 'six', '--cooldown', '0'];

suite('both families', () => {
  let cluster: Cluster;
  let a: SimulatedNode;
  let b: SimulatedNode;
  before(async () => {
    cluster = await startCluster(2, BLUE, SIX);
    [a, b] = cluster.nodes as [SimulatedNode, SimulatedNode];
  });
  after(() => cluster.scope.close());
  const config = (node: SimulatedNode, ...families: string[]): Record<string, unknown> => ({
    ipam: { ...(node.networkConfig()['ipam'] as object), families },
  });
  const ipsOf = (pod: AddedPod): string[] =>
    (pod.result.ips ?? []).map(({ address }) => address.split('/')[0] ?? '');

  test('a pod has an address of each, from one VLAN; TCP over both across nodes', async () => {
    const here = await a.addPod('here', { config: config(a, 'ipv4', 'ipv6') });
    const there = await b.addPod('there', { config: config(b, 'ipv4', 'ipv6') });
    assert.deepEqual(here.result.routes, [
      { dst: '0.0.0.0/0', gw: '10.20.0.1' },
      { dst: '::/0', gw: 'fd00:20::1' },
    ]);
    assert.deepEqual(
      here.result.ips?.map(({ address }) => address.split('/')[1]),
      ['22', '64'],
    );
    for (const ip of ipsOf(there)) await tcpTransfer(here.ns, there.ns, ip, 1_000_000);
    for (const ip of ipsOf(here)) await tcpTransfer(there.ns, here.ns, ip, 1_000_000);
    const checked = await a.call('CHECK', here, {
      config: a.networkConfig({ ...config(a, 'ipv4', 'ipv6'), prevResult: here.result }),
    });
    succeeded(checked);
    await a.delPod(here);
    await b.delPod(there);
    assert.equal((await given(cluster.fabric)).size, 0);
  });

  test('IPv6 alone: usable at once, without waiting for duplicate-address detection, and announced', async () => {
    const there = await b.addPod('listener', { config: config(b, 'ipv6') });
    const capture = await startCapture(there.ns.name, 'eth0', 'icmp6');
    const here = await a.addPod('six', { config: config(a, 'ipv6') });
    assert.match(here.mac, /^0a:59:/);
    assert.doesNotMatch(await here.ns.exec('ip', '-6', 'address', 'show', 'dev', 'eth0'), /tentative/);
    await here.ns.pings(ipsOf(there)[0] ?? '', '-6');
    const address = ipsOf(here)[0] ?? '-';
    await capture.waitFor(new RegExp(`neighbor advertisement.*${address}`, 'i'));
    await a.delPod(here);
    await b.delPod(there);
    assert.deepEqual(await remains(a), []);
  });

  test('a link-local gateway: the pod reaches what is behind it, and CHECK agrees', async () => {
    const { fabric } = cluster;
    for (const device of ['default', 'lo'])
      await setSysctl(fabric.ns.name, `net/ipv6/conf/${device}/disable_ipv6`, 0);
    const router = await fabric.addGateway({ vlan: 160, address: 'fd00:60::9/64' });
    await fabric.ns.exec('ip', 'address', 'add', 'fe80::1/64', 'dev', router, 'nodad');
    await fabric.ns.exec('ip', 'address', 'add', 'fd00:99::1/128', 'dev', 'lo', 'nodad');
    await addRange(fabric, 'fd00:60::/64', '--gateway', 'fe80::1', '--vlan', '160', '--name', 'local');
    const ipam = { ...(config(a, 'ipv6')['ipam'] as object), ranges: ['local'] };
    const pod = await a.addPod('local', { config: { ipam } });
    assert.deepEqual(pod.result.routes, [{ dst: '::/0', gw: 'fe80::1' }]);
    await pod.ns.pings('fd00:99::1', '-6');
    succeeded(await a.call('CHECK', pod, { config: a.networkConfig({ ipam, prevResult: pod.result }) }));
    await a.delPod(pod);
  });

  test('both or neither: where one family has no room, none is given', async () => {
    assert.equal((await cluster.fabric.cnictl('range', 'drain', 'six')).code, 0);
    const pod = await a.makePod('p');
    failed(
      await a.call('ADD', pod, { config: a.networkConfig(config(a, 'ipv4', 'ipv6')) }),
      11,
      /no VLAN has an active range of IPv4 and of IPv6 .*six \(IPv6, VLAN 120, draining\)/,
    );
    assert.deepEqual(await podLinks(pod), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  });
});
