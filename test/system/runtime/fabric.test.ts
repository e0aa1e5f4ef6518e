/**
 * Proves the simulated nodes with pods attached by hand. A failure here is the fault of the harness
 * or the machine, not of the plugin.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCapture } from '../../support/capture.ts';
import { startFabric } from '../../support/fabric.ts';
import { joinNamespaces, newScope, uniqueLink } from '../../support/netns.ts';
import { startNode, type Pod, type SimulatedNode } from '../../support/node.ts';
import { startDaemon } from '../../support/proc.ts';

/** Attaches a pod as the plugin does, with ip, ethtool and ovs-vsctl. */
const attachByHand = async (
  node: SimulatedNode,
  name: string,
  vlan: number,
  address: string,
): Promise<Pod> => {
  const pod = await node.makePod(name);
  const hostEnd = uniqueLink('ch');
  await joinNamespaces({ ns: node.ns.name, name: hostEnd }, { ns: pod.ns.name, name: 'eth0', address });
  await pod.ns.exec('ethtool', '-K', 'eth0', 'tx', 'off');
  await node.ovs.vsctl('add-port', 'br-cell', hostEnd, `tag=${vlan}`);
  return pod;
};

test('pods on two nodes reach each other and the gateway on their VLAN, and nothing on another', async (t) => {
  const scope = newScope(t);
  const fabric = scope.use(await startFabric());
  await fabric.addGateway({ vlan: 130, address: '10.30.0.1/22' });
  const start = async (name: string): Promise<SimulatedNode> => scope.use(await startNode(fabric, name));
  const [one, two] = await Promise.all([start('one'), start('two')]);
  const [a, b, stranger] = await Promise.all([
    attachByHand(one, 'a', 120, '10.20.0.20/22'),
    attachByHand(two, 'b', 120, '10.20.0.21/22'),
    attachByHand(two, 'c', 130, '10.20.0.22/22'),
  ]);

  const seen = scope.use(await startCapture(b.ns.name, 'eth0', 'icmp'));
  await a.ns.pings('10.20.0.21');
  await a.ns.pings('10.20.0.1');
  const across = await stranger.ns.run('ping', ['-c2', '-W1', '10.20.0.20']);
  assert.notEqual(across.code, 0, 'VLAN 130 must not reach VLAN 120');
  await seen.waitFor(/10\.20\.0\.20 > 10\.20\.0\.21: ICMP echo request/);

  const server = scope.use(
    await startDaemon('iperf3', ['-s', '-1', '--forceflush'], (it) => it.output().includes('listening'), {
      netns: b.ns.name,
    }),
  );
  const transfer = await a.ns.run('iperf3', ['-c', '10.20.0.21', '-n', '2M', '-J'], { timeoutMs: 15_000 });
  assert.equal(transfer.code, 0, transfer.stdout + server.output());

  await two.ns.exec('etcdctl', '--endpoints', fabric.etcd.endpoints.join(','), 'put', '/reached/two', 'yes');
  assert.equal(await fabric.etcd.count('/reached/'), 1, 'a node reaches etcd');
});

test('a node that crashes leaves the fabric and the other node working', async (t) => {
  const scope = newScope(t);
  const fabric = scope.use(await startFabric());
  const one = scope.use(await startNode(fabric, 'one'));
  const two = scope.use(await startNode(fabric, 'two'));
  await attachByHand(two, 'b', 120, '10.20.0.21/22');
  const a = await attachByHand(one, 'a', 120, '10.20.0.20/22');
  await two.crash();
  await a.ns.pings('10.20.0.1');
  assert.notEqual((await a.ns.run('ping', ['-c', '1', '-W', '1', '10.20.0.21'])).code, 0);
  const again = scope.use(await startNode(fabric, 'two'));
  await attachByHand(again, 'b', 120, '10.20.0.21/22');
  await a.ns.pings('10.20.0.21');
});
