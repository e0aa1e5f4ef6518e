import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { AddedPod, SimulatedNode } from '../../support/node.ts';
import { BLUE, failed, given, podLinks, remains, startCluster, succeeded, type Cluster } from './world.ts';

suite('the port as configured', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
  });
  after(() => cluster.scope.close());
  const hostLink = (pod: AddedPod): string => pod.result.interfaces?.[0]?.name ?? '';
  const column = async (table: string, name: string, key: string): Promise<string> =>
    (await node.ovs.vsctl('get', table, name, key)).trim().replaceAll('"', '');

  test('carries a trunk beside its own VLAN; CHECK sees a change of it', async () => {
    const config = { trunk: [200, { id: 42 }, { minID: 300, maxID: 302 }] };
    const pod = await node.addPod('trunk', { config });
    const link = hostLink(pod);
    assert.equal(await column('port', link, 'trunks'), '[42, 200, 300, 301, 302]');
    assert.equal(await column('port', link, 'tag'), '120');
    assert.equal(await column('port', link, 'vlan_mode'), 'native-untagged');
    await pod.ns.pings('10.20.0.1');
    const check = { config: node.networkConfig({ ...config, prevResult: pod.result }) };
    succeeded(await node.call('CHECK', pod, check));
    await node.ovs.vsctl('set', 'port', link, 'trunks=42,43');
    failed(
      await node.call('CHECK', pod, check),
      105,
      /trunk of port cell.*: expected 42, 200, 300, 301, 302, found 42, 43/,
    );
    await node.delPod(pod);
  });

  test('asks for an OpenFlow port number, and carries further external_ids on port and interface', async () => {
    const config = { ofport_request: 4711, externalIds: { 'iface-id': 'shop/web', team: 'blue' } };
    const pod = await node.addPod('ofport', { config });
    const link = hostLink(pod);
    assert.equal(await column('interface', link, 'ofport'), '4711');
    for (const table of ['port', 'interface']) {
      assert.equal(await column(table, link, 'external_ids:iface-id'), 'shop/web');
      assert.equal(await column(table, link, 'external_ids:owner'), 'cellnet');
      assert.equal(await column(table, link, 'external_ids:network'), 'cell');
    }
    const check = { config: node.networkConfig({ ...config, prevResult: pod.result }) };
    succeeded(await node.call('CHECK', pod, check));
    await node.ovs.vsctl('remove', 'port', link, 'external_ids', 'team');
    failed(
      await node.call('CHECK', pod, check),
      105,
      /external_ids:team of port cell.*: expected blue, found none/,
    );
    await node.delPod(pod);
  });

  test('has the requested address and MAC; another pod cannot wish for them, and nothing of it is left', async () => {
    const wish = { runtimeConfig: { ips: ['10.20.2.77/22'], mac: 'c2:11:22:33:44:55' } };
    const capable = { capabilities: { ips: true, mac: true } };
    const pod = await node.addPod('wish', { config: { ...capable, ...wish } });
    assert.equal(pod.ip, '10.20.2.77');
    assert.match(await pod.ns.exec('ip', 'link', 'show', 'eth0'), /c2:11:22:33:44:55/);
    await pod.ns.pings('10.20.0.1');
    succeeded(
      await node.call('CHECK', pod, { config: node.networkConfig({ ...wish, prevResult: pod.result }) }),
    );
    const other = await node.makePod('other');
    failed(
      await node.call('ADD', other, { config: node.networkConfig({ ...capable, ...wish }) }),
      11,
      /10\.20\.2\.77 is given to pod default\/wish/,
    );
    assert.equal((await given(cluster.fabric)).size, 1);
    await node.delPod(pod);
    assert.deepEqual(await remains(node), []);
  });

  test('is on a bridge that is made where it is not there, if so configured', async () => {
    const config = { bridge: 'br-new', createBridge: { datapathType: 'netdev' } };
    const env = { CELLNET_BRIDGE: undefined };
    const pods = await Promise.all(['a', 'b'].map((name) => node.makePod(name)));
    for (const pod of pods) {
      succeeded(await node.call('ADD', pod, { config: node.networkConfig(config), env }));
    }
    assert.equal((await node.ovs.vsctl('list-ports', 'br-new')).trim().split('\n').length, 2);
    assert.equal(await column('bridge', 'br-new', 'fail_mode'), 'standalone');
    succeeded(await node.call('STATUS', pods[0] ?? assert.fail(), { config: node.networkConfig(config) }));
    for (const pod of pods) await node.delPod(pod, { config: node.networkConfig(config) });
    await node.ovs.vsctl('del-br', 'br-new');
    assert.deepEqual(await remains(node), []);
  });

  test('probes for its address, where so configured: one in use is set aside and its MAC told', async () => {
    // The operator releases the address of a running pod. The pod still answers for it, with the
    // MAC that the next pod would get.
    const forgotten = await node.addPod('forgotten');
    assert.equal((await cluster.fabric.cnictl('release', forgotten.ip, '--yes', '--force')).code, 0);
    // With its record the node would know the address as in use, and write it back.
    rmSync(join(node.stateDir, 'attachments', `${forgotten.containerId},eth0.json`));
    const config = { addressProbe: true };
    const pod = await node.makePod('next');
    const wish = node.networkConfig({ ...config, runtimeConfig: { ips: [forgotten.ip] } });
    const outcome = await node.call('ADD', pod, { config: wish });
    failed(outcome, 11, new RegExp(`${forgotten.ip} is in use already: ${forgotten.mac} answered for it`));
    assert.deepEqual(await podLinks(pod), []);
    assert.equal((await given(cluster.fabric)).size, 0);

    failed(
      await node.call('ADD', pod, { config: wish }),
      11,
      new RegExp(`set aside, for ${forgotten.mac} uses it, free in 3\\d{3} s`),
    );
    const shown = await cluster.fabric.cnictl('ip', 'show', forgotten.ip);
    assert.match(shown.stdout, new RegExp(`Conflict: +${forgotten.mac} uses it`));
    const next = await node.call('ADD', pod, { config: node.networkConfig(config) });
    succeeded(next);
    assert.notEqual(next.result?.ips?.[0]?.address, `${forgotten.ip}/22`);
    await pod.ns.pings('10.20.0.1');
    await node.delPod(pod);
    await node.delPod(forgotten);
    assert.deepEqual(await remains(node), []);
  });

  const refusals: [key: string, value: unknown, message: RegExp][] = [
    ['trunk', [], /key 'trunk' is \[\]: expected at least one VLAN/],
    ['trunk', [4095], /key 'trunk\.0' is 4095: expected a whole number from 1 to 4094/],
    ['trunk', [{ minID: 9, maxID: 3 }], /key 'trunk\.0\.maxID' is 3: expected at least minID, which is 9/],
    ['ofport_request', 65280, /key 'ofport_request' is 65280: expected a whole number from 1 to 65279/],
    ['externalIds', { owner: 'me' }, /'externalIds\.owner'.*expected a key other than owner/],
    ['externalIds', { note: 'a\nb' }, /'externalIds\.note'.*none a control character/],
    [
      'addressProbe',
      { count: 0 },
      /key 'addressProbe\.count' is 0|key 'addressProbe' is .*expected true, false/,
    ],
    ['createBridge', { datapathType: 'dpdk' }, /key 'createBridge' is .*expected true, false or/],
    ['capabilities', { ips: 'yes' }, /key 'capabilities\.ips' is "yes"/],
  ];
  for (const [key, value, message] of refusals) {
    test(`${key} ${JSON.stringify(value)} is refused`, async () => {
      const pod = await node.makePod('p');
      failed(await node.call('ADD', pod, { config: node.networkConfig({ [key]: value }) }), 7, message);
    });
  }
});
