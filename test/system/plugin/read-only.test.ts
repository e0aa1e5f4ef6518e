import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { setSysctl } from '../../support/netns.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { BLUE, failed, given, remains, startCluster, succeeded, type Cluster } from './world.ts';

const SIX = ['fd00:20::/64', '--gateway', 'fd00:20::1', '--vlan', '120', '--name', 'six', '--cooldown', '0'];
/** As in a container without privileges. */
const READ_ONLY = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys';

suite('a node whose /proc/sys is read-only', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let plugin: string;
  before(async () => {
    cluster = await startCluster(1, BLUE, SIX);
    [node] = cluster.nodes as [SimulatedNode];
    plugin = join(await cluster.scope.tempDir(), 'cellnet');
    const real = join(OUR_PLUGINS, 'cellnet');
    await writeFile(plugin, `#!/bin/sh\nexec unshare --mount sh -c '${READ_ONLY} && exec ${real}'\n`);
    await chmod(plugin, 0o755);
  });
  after(() => cluster.scope.close());

  for (const inherits of [true, false]) {
    const default_ = inherits ? 'off' : 'on';
    test(`an IPv4 pod, where IPv6 is ${default_} by default`, async () => {
      const pod = await node.makePod('four');
      for (const netns of [pod.ns.name, node.ns.name])
        await setSysctl(netns, 'net/ipv6/conf/default/disable_ipv6', inherits ? 1 : 0);
      const added = await node.call('ADD', pod, { plugin });
      succeeded(added);
      await pod.ns.pings('10.20.0.1');
      assert.equal(await pod.ns.exec('ip', '-6', 'address', 'show', 'dev', 'eth0'), '');
      const [host] = added.result?.interfaces ?? [];
      assert.equal(await node.ns.exec('ip', '-6', 'address', 'show', 'dev', host?.name ?? ''), '');
      const config = node.networkConfig({ prevResult: added.result });
      succeeded(await node.call('CHECK', pod, { plugin, config }));
      succeeded(await node.call('DEL', pod, { plugin }));
      assert.deepEqual(await remains(node), []);
    });
  }

  test('an IPv6 pod needs a setting: the error says which, and nothing is left', async () => {
    const pod = await node.makePod('six');
    await setSysctl(pod.ns.name, 'net/ipv6/conf/default/disable_ipv6', 0);
    const ipam = { ...(node.networkConfig()['ipam'] as object), families: ['ipv6'] };
    const added = await node.call('ADD', pod, { plugin, config: node.networkConfig({ ipam }) });
    failed(added, 102, /set ipv6\/accept_\w+ of eth0 to 0: it is 1, and \/proc\/sys cannot be written/);
    assert.equal((await given(cluster.fabric)).size, 0);
    assert.deepEqual(await remains(node), []);
  });
});
