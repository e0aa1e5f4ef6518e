import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { formatAddress } from '../../../ipam/model/address.ts';
import { usedSlots } from '../../../ipam/model/block.ts';
import { OUR_PLUGINS, STOCK_PLUGINS } from '../../support/cni.ts';
import { startContainerd } from '../../support/containerd.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import type { SimulatedNode } from '../../support/node.ts';
import { startPodman } from '../../support/podman.ts';
import { until } from '../../support/proc.ts';
import { BLUE, given, readBlocks, remains, startCluster, type Cluster } from './world.ts';

suite('real container runtimes', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
  });
  after(() => cluster.scope.close());
  /**
   * The list names only the network. The plugins read the rest from the shared file and the
   * environment.
   */
  const conflist = (...plugins: object[]): { name: string } => ({
    ...{ cniVersion: '1.0.0', plugins },
    name: 'cell',
  });
  /**
   * Returns a folder of our plugins, wrapped to set this node's environment. When a container ends
   * on its own, podman's conmon removes it in an environment of conmon's own. A real node has
   * /etc/cellnet/config.json.
   */
  const ourPlugins = async (scope: Scope): Promise<string> => {
    const dir = await scope.tempDir();
    const settings = Object.entries(node.env).map(([key, value]) => `${key}='${value}'`);
    for (const name of ['cellnet', 'cellnet-ipam']) {
      await writeFile(
        join(dir, name),
        `#!/bin/sh\nexport ${settings.join(' ')}\nexec '${OUR_PLUGINS}/${name}'\n`,
        { mode: 0o755 },
      );
    }
    return dir;
  };
  const cellnet = { type: 'cellnet', bridge: 'br-cell', ipam: { type: 'cellnet-ipam' } };

  test('podman: containers on cellnet, chained with tuning, talk over TCP; rm gives everything back', async (t) => {
    const scope = newScope(t);
    const podman = scope.use(
      await startPodman({
        netns: node.ns.name,
        cniDirs: [await ourPlugins(scope), STOCK_PLUGINS],
        conflist: conflist(cellnet, {
          type: 'tuning',
          sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' },
        }),
      }),
    );
    await podman.start('server', '/bin/nc', '-ll', '-p', '8080', '-e', '/bin/busybox', 'echo', 'hello');
    await podman.start('client', '/bin/sleep', '600');
    const [server, client] = [await podman.inspect('server'), await podman.inspect('client')];
    assert.match(server.ip, /^10\.20\./);
    assert.equal(server.gateway, '10.20.0.1');
    assert.deepEqual([...(await given(cluster.fabric)).keys()].sort(), [server.ip, client.ip].sort());
    assert.match(await podman.must('exec', 'client', '/bin/nc', '-w', '3', server.ip, '8080'), /hello/);
    assert.match(
      await podman.must('exec', 'client', '/bin/ping', '-c', '1', '-W', '2', '10.20.0.1'),
      /1 packets received/,
    );
    await podman.rm('server');
    await podman.rm('client');
    assert.equal((await given(cluster.fabric)).size, 0);
    assert.deepEqual(await remains(node), []);
  });

  test('podman: a chosen address and MAC, a published port by portmap, and tuning behind us', async (t) => {
    const scope = newScope(t);
    const podman = scope.use(
      await startPodman({
        netns: node.ns.name,
        cniDirs: [await ourPlugins(scope), STOCK_PLUGINS],
        conflist: conflist(
          { ...cellnet, capabilities: { ips: true, mac: true } },
          { type: 'portmap', capabilities: { portMappings: true } },
          { type: 'tuning', sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' } },
        ),
      }),
    );
    // Puts the node itself on the pods' network, because it is the way to a published port.
    await node.ovs.vsctl(
      'add-port',
      'br-cell',
      'node120',
      'tag=120',
      '--',
      'set',
      'interface',
      'node120',
      'type=internal',
    );
    scope.defer(() => node.ovs.vsctl('--if-exists', 'del-port', 'node120').then(() => undefined));
    await until('the port', async () => (await node.ns.run('ip', ['link', 'show', 'node120'])).code === 0);
    await node.ns.exec('ip', 'address', 'add', '10.20.3.250/22', 'dev', 'node120');
    await node.ns.exec('ip', 'link', 'set', 'node120', 'up');
    await node.ns.exec('ethtool', '-K', 'node120', 'tx', 'off');
    const [ip, mac] = ['10.20.2.77', 'c2:11:22:33:44:55'];
    await podman.startWith(
      ['--ip', ip, '--mac-address', mac, '-p', '18080:8080'],
      ...['server', '/bin/nc', '-ll', '-p', '8080', '-e', '/bin/busybox', 'echo', 'hello'],
    );
    const server = await podman.inspect('server');
    assert.deepEqual([server.ip, server.mac], [ip, mac]);
    const ask = ['nc', '-w', '3', '127.0.0.1', '18080'];
    await until(
      'the server',
      async () => (await node.ns.run('busybox', ask)).stdout.includes('hello'),
      10_000,
    );
    await podman.rm('server');
    assert.equal((await node.ns.run('busybox', ask)).stdout, '');
    assert.equal((await given(cluster.fabric)).size, 0);
    await node.ovs.vsctl('del-port', 'node120');
    assert.deepEqual(await remains(node), []);
  });

  test('podman: bridge with cellnet-ipam', async (t) => {
    const scope = newScope(t);
    const bridge = { type: 'bridge', bridge: 'cn-br0', ipam: { type: 'cellnet-ipam' } };
    const podman = scope.use(
      await startPodman({
        netns: node.ns.name,
        cniDirs: [await ourPlugins(scope), STOCK_PLUGINS],
        conflist: conflist(bridge),
      }),
    );
    await podman.start('a', '/bin/sleep', '600');
    await podman.start('b', '/bin/sleep', '600');
    const [a, b] = [await podman.inspect('a'), await podman.inspect('b')];
    assert.deepEqual([...(await given(cluster.fabric)).keys()].sort(), [a.ip, b.ip].sort());
    assert.match(
      await podman.must('exec', 'a', '/bin/ping', '-c', '1', '-W', '2', b.ip),
      /1 packets received/,
    );
    await podman.rm('a');
    await podman.rm('b');
    assert.equal((await given(cluster.fabric)).size, 0);
  });

  test("containerd's CRI: a pod sandbox gets our address, its names reach etcd and Open vSwitch", async (t) => {
    const scope = newScope(t);
    const containerd = scope.use(
      await startContainerd({
        netns: node.ns.name,
        plugins: [join(await ourPlugins(scope), 'cellnet'), `${STOCK_PLUGINS}/loopback`],
        conflist: conflist(cellnet),
      }),
    );
    const web = await containerd.runSandbox('web-1', 'shop');
    const db = await containerd.runSandbox('db-1', 'shop');
    const slots = (await readBlocks(cluster.fabric)).flatMap((block) => usedSlots(block));
    const owner = slots.find(({ address }) => formatAddress(address) === web.ips[0])?.slot.owner;
    assert.deepEqual(
      [owner?.podNamespace, owner?.podName, owner?.podUid, owner?.containerId, owner?.network],
      ['shop', 'web-1', web.uid, web.id, 'cell'],
    );
    const found = await node.ovs.vsctl(
      '--bare',
      '--columns=external_ids',
      'find',
      'port',
      `external_ids:container-id=${web.id}`,
    );
    assert.match(found, /pod-name=web-1/);
    assert.match(found, /pod-namespace=shop/);
    assert.equal((await web.exec('ping', '-c', '1', '-w', '10', db.ips[0] ?? '')).code, 0);
    assert.equal((await web.exec('ping', '-c', '1', '-w', '10', '10.20.0.1')).code, 0);
    await containerd.removeSandbox(web.id);
    await containerd.removeSandbox(db.id);
    assert.equal((await given(cluster.fabric)).size, 0);
    assert.deepEqual(await remains(node), []);
  });
});
