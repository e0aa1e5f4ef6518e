import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { podDifferences } from '../../../cni/attach/differences.ts';
import { resolveRoutes } from '../../../cni/protocol/grant.ts';
import { linkAlias } from '../../../cni/protocol/identity.ts';
import { allocationDifferences } from '../../../cni/verbs/check.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { range } from '../ipam/world.ts';
import { CONFIG, ENV, reply, useFakeNode } from './fake-platform.ts';

suite('an address in another spelling', () => {
  const node = useFakeNode();

  test('in the prevResult is the one in etcd', () => {
    assert.deepEqual(allocationDifferences(['FD00:20:0:0::11/64'], ['10.20.0.2/22', 'fd00:20::11/64']), []);
    assert.equal(allocationDifferences(['FD00:20::12/64'], ['fd00:20::11/64']).length, 1);
    assert.equal(allocationDifferences(['fd00:20::11/63'], ['fd00:20::11/64']).length, 1);
  });

  test('passes the CHECK of cellnet-ipam', async () => {
    await addRange(node.fake.world.ipam, range('fd00:20::/64', { name: 'six', vlan: 120 }));
    const ipam = { ...CONFIG.ipam, families: ['ipv6'] };
    const { ips = [] } = reply(await node.call({}, { ipam }, 'cellnet-ipam'));
    const spelled = ips.map(({ address }) => ({ address: address.toUpperCase().replace('::', ':0::') }));
    const checked = await node.call(
      { CNI_COMMAND: 'CHECK' },
      { ipam, prevResult: { ips: spelled } },
      'cellnet-ipam',
    );
    assert.equal(checked.stdout, '');
  });

  test('as gateway or destination is the same route', () => {
    const found = {
      mac: '0a:58:0a:01:00:05',
      mtu: 1500,
      up: true,
      addresses: ['fd00:1::5/64'],
      routes: [{ dst: '::/0', gw: 'fd00:1::1' }, { dst: 'fd00:2::/64' }],
      leadsElsewhere: () => false,
    };
    const wanted = {
      ifname: 'eth0',
      addresses: ['FD00:1:0::5/64'],
      routes: [{ dst: '0::0/0', gw: 'FD00:1::0:1' }, { dst: 'FD00:2::9/64' }],
    };
    assert.deepEqual(podDifferences(found, wanted, {}), []);
    const other = { ...wanted, routes: [{ dst: '::/0', gw: 'fd00:1::2' }] };
    assert.equal(podDifferences(found, other, {}).length, 1);
  });

  test("by another IPAM plugin keeps a running pod's interface at a repeated ADD", async () => {
    node.fake.delegateReply = JSON.stringify({
      ips: [{ address: 'FD00:1:0::5/64', gateway: 'FD00:1::1' }],
      routes: [{ dst: '::/0' }, { dst: 'FD00:2::/64', gw: 'FD00:1::0:9' }],
    });
    const ipam = { type: 'host-local' };
    const { interfaces: [host, pod] = [], msg } = reply(await node.call({}, { ipam }));
    assert.equal(msg, undefined);
    const alias = linkAlias({ containerId: ENV.CNI_CONTAINERID, ifname: ENV.CNI_IFNAME });
    const ends = { mtu: 9000, up: true, taken: true, carrier: true };
    node.fake.link = { ...ends, name: host?.name ?? '', alias, mac: host?.mac ?? '' };
    node.fake.pod = {
      ...ends,
      mac: pod?.mac ?? '',
      // As the kernel tells them.
      addresses: ['fd00:1::5/64'],
      routes: [
        { dst: '::/0', gw: 'fd00:1::1' },
        { dst: 'fd00:2::/64', gw: 'fd00:1::9' },
      ],
      leadsElsewhere: () => false,
    };
    node.fake.calls.length = 0;
    assert.equal((await node.call({}, { ipam })).exitCode, 0);
    assert.ok(!node.work().includes('create-veth'), node.work().join());
  });
});

suite("a route's gateway", () => {
  const ips = [{ address: '10.1.0.5/24', gateway: '10.1.0.1' }];
  const cases: [scope: number | undefined, gw: string | undefined][] = [
    [undefined, '10.1.0.1'],
    [0, '10.1.0.1'],
    [200, '10.1.0.1'],
    [253, undefined],
    [254, undefined],
  ];
  for (const [scope, gw] of cases) {
    test(`with scope ${scope ?? 'absent'}: ${gw ?? 'none'}`, () => {
      const routes = [{ dst: '169.254.0.0/16', ...(scope !== undefined && { scope }) }];
      assert.equal(resolveRoutes({ ips, routes })[0]?.gw, gw);
    });
  }
});
