import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { OUR_PLUGINS, STOCK_PLUGINS, type CniOutcome } from '../../support/cni.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { BLUE, failed, startCluster, succeeded, type Cluster } from './world.ts';

suite('STATUS', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let pod: Pod;
  before(async () => {
    cluster = await startCluster(1, BLUE, ['fd00:30::/64', '--name', 'six', '--vlan', '130']);
    [node] = cluster.nodes as [SimulatedNode];
    pod = await node.makePod('p');
  });
  after(() => cluster.scope.close());
  const status = (changes: Record<string, unknown> = {}, plugin = 'cellnet'): Promise<CniOutcome> =>
    node.call('STATUS', pod, {
      plugin: `${OUR_PLUGINS}/${plugin}`,
      config: node.networkConfig(changes),
      env: { CELLNET_BRIDGE: undefined },
    });
  const ipam = (changes: object): object => ({ ...(node.networkConfig()['ipam'] as object), ...changes });

  test('succeeds and changes nothing in etcd', async () => {
    const before = await cluster.fabric.etcd.ctl('get', '--prefix', '/cellnet/');
    for (const plugin of ['cellnet', 'cellnet-ipam']) {
      const outcome = await status({}, plugin);
      succeeded(outcome);
      assert.equal(outcome.stdout, '');
    }
    assert.equal(await cluster.fabric.etcd.ctl('get', '--prefix', '/cellnet/'), before);
  });

  test('etcd does not answer: 50, from both plugins', async () => {
    cluster.fabric.etcd.pause();
    const outcomes = await Promise.all([status(), status({}, 'cellnet-ipam')]);
    cluster.fabric.etcd.resume();
    for (const outcome of outcomes) failed(outcome, 50, /etcd at .* did not answer in time/);
  });

  test('no range for this network: 50, and it says which families', async () => {
    failed(await status({ ipam: ipam({ ranges: ['six'] }) }), 50, /no active IPv4 range for this network/);
    failed(
      await status({ ipam: ipam({ families: ['ipv4', 'ipv6'] }) }),
      50,
      /no VLAN has an active range of IPv4 and of IPv6 .*blue \(IPv4, VLAN 120, active\), six \(IPv6, VLAN 130, active\)/,
    );
    succeeded(await status({ ipam: ipam({ families: ['ipv6'] }) }));
  });

  test('the bridge is missing: 51 with the remedy', async () => {
    const outcome = await status({ bridge: 'br-none' });
    failed(outcome, 51, /bridge 'br-none' does not exist/);
    assert.match(outcome.result?.details ?? '', /cnictl node init --bridge br-none/);
  });

  test('ovs-vswitchd does not answer: 51; and again all is well', async () => {
    node.ovs.pauseVswitchd();
    const outcome = await status();
    node.ovs.resumeVswitchd();
    failed(outcome, 51, /ovs-vswitchd does not carry out/);
    succeeded(await status());
  });

  test('a bridge that forwards nothing: 51, and no pod is made on it', async () => {
    await node.ovs.vsctl('set-fail-mode', 'br-cell', 'secure');
    const [outcome, added] = [await status(), await node.call('ADD', pod)];
    await node.ovs.vsctl('set-fail-mode', 'br-cell', 'standalone');
    failed(outcome, 51, /bridge 'br-cell' forwards nothing: it has no flow \(fail_mode is secure\)/);
    failed(added, 11, /bridge 'br-cell' forwards nothing/);
    assert.equal((await node.ovs.vsctl('list-ports', 'br-cell')).trim(), 'uplink0');
    succeeded(await status());
    succeeded(await node.call('ADD', pod));
    succeeded(await node.call('DEL', pod));
  });

  test('the database of Open vSwitch is away: 50', async () => {
    await node.ovs.killDatabase();
    const outcome = await status();
    await node.ovs.startDatabase();
    failed(outcome, 50, /Open vSwitch's database at unix:.* is unreachable/);
  });

  test("a delegate's own STATUS decides, in its words", async () => {
    // Debian's host-local knows neither STATUS nor 1.1.0. It refuses, and the plugin passes that
    // on.
    const outcome = await node.call('STATUS', pod, {
      config: node.networkConfig({ ipam: { type: 'host-local', subnet: '10.9.0.0/24' } }),
      path: STOCK_PLUGINS,
    });
    assert.equal(outcome.code, 1);
    assert.match(outcome.result?.msg ?? '', /^plugin 'host-local': /);
    const own = ipam({ type: 'cellnet-ipam', ranges: ['none'] });
    failed(await status({ ipam: own }), 50, /no active IPv4 range|none/);
  });
});
