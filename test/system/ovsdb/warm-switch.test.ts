import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { BurstBarrier } from '../../../cni/agent/burst-barrier.ts';
import { WarmSwitch } from '../../../cni/agent/warm-switch.ts';
import { hostEffects } from '../../../cni/host/effects.ts';
import { makeNamespace, newScope, uniqueName, type Namespace, type Scope } from '../../support/netns.ts';
import { startOvs, type Ovs } from '../../support/ovs.ts';
import { until } from '../../support/proc.ts';
import type { BridgeInfo, Switch } from '../../../cni/platform/switch.ts';

suite('the connection to Open vSwitch that lives on', () => {
  let scope: Scope;
  let ns: Namespace;
  let ovs: Ovs;
  let warm: WarmSwitch;
  before(async () => {
    scope = newScope();
    ns = scope.use(await makeNamespace(uniqueName('warm')));
    ovs = scope.use(await startOvs({ netns: ns.name, dir: `${await scope.tempDir()}/ovs` }));
    await ovs.vsctl('add-br', 'br-t', '--', 'set', 'bridge', 'br-t', 'datapath_type=netdev');
    await ns.exec('ip', 'link', 'add', 'up0', 'mtu', '1400', 'up', 'type', 'veth', 'peer', 'up1');
    warm = await WarmSwitch.connect(
      { ovsdb: ovs.remote, ovsdbTls: {} },
      3_000,
      new BurstBarrier(hostEffects),
      hostEffects,
    );
  });
  after(async () => {
    warm.close();
    await scope.close();
  });
  const use = (): Switch => warm.asSwitch(performance.now() + 3_000);
  const inspect = (bridge: string): Promise<BridgeInfo | undefined> => use().inspectBridge(bridge);

  test('a bridge that is missing is looked for each time', async () => {
    assert.equal(await inspect('br-later'), undefined);
    await ovs.vsctl('add-br', 'br-later', '--', 'set', 'bridge', 'br-later', 'datapath_type=netdev');
    assert.deepEqual(await inspect('br-later'), { userspace: true, uplinkMtu: undefined });
  });

  test('a port that an earlier try made is found: it is not made twice, and forwards', async () => {
    const port = {
      bridge: 'br-t',
      name: 'p0',
      tag: 12,
      trunks: [30, 20],
      ofportRequest: undefined,
      externalIds: { owner: 'cellnet', 'container-id': 'c0', ifname: 'eth0' },
    };
    await ns.exec('ip', 'link', 'add', 'p0', 'up', 'type', 'veth', 'peer', 'p1');
    await use().addPort(port);
    const row = await ovs.vsctl('get', 'Port', 'p0', '_uuid');
    await use().addPort(port);
    assert.equal(await ovs.vsctl('get', 'Port', 'p0', '_uuid'), row);
    await assert.rejects(use().addPort({ ...port, tag: 13 }), { code: 'port-exists' });
    assert.equal(await use().removePort('c0', 'eth0'), 'removed');
    assert.equal(await use().removePort('c0', 'eth0'), 'absent');
  });

  test('what changes on a known bridge is asked for without a call: then it is known though the database is gone', async () => {
    assert.deepEqual(await inspect('br-t'), { userspace: true, uplinkMtu: undefined });
    await ovs.vsctl('add-port', 'br-t', 'up0');
    await until('the uplink', async () => (await inspect('br-t'))?.uplinkMtu === 1400);
    await ns.exec('ip', 'link', 'set', 'up0', 'mtu', '1300');
    await until('vswitchd to see it', async () =>
      (await ovs.vsctl('get', 'Interface', 'up0', 'mtu')).startsWith('1300'),
    );
    // Leaves time for the look in the background, for which no call waits.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await ovs.killDatabase();
    await until('the loss', () => !warm.alive);
    assert.deepEqual(await inspect('br-t'), { userspace: true, uplinkMtu: 1300, uplinkDown: true });
    await assert.rejects(inspect('br-unknown'), { code: 'connection-lost' });
  });
});
