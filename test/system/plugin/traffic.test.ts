import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startCapture } from '../../support/capture.ts';
import { newScope } from '../../support/netns.ts';
import type { AddedPod, SimulatedNode } from '../../support/node.ts';
import { must, run, sleep, startDaemon } from '../../support/proc.ts';
import { tcpTransfer } from '../../support/transfer.ts';
import { addRange, BLUE, startCluster, type Cluster } from './world.ts';

/**
 * Returns the share of datagrams that arrive. `from` sends for one second, at a rate that the
 * userspace datapath carries easily.
 */
async function udpShare(
  from: AddedPod,
  to: AddedPod,
  t: { after(fn: () => Promise<void>): void },
): Promise<number> {
  const scope = newScope(t);
  const args = ['-s', '-1', '--forceflush', '-B', to.ip];
  const server = await startDaemon('iperf3', args, (it) => it.output().includes('listening'), {
    netns: to.ns.name,
  });
  scope.defer(() => server.stop());
  const send = ['-c', to.ip, '-u', '-b', '20M', '-t', '1', '-l', '1400', '-J'];
  const text = await must('iperf3', send, { netns: from.ns.name, timeoutMs: 20_000 });
  const { sum } = (JSON.parse(text) as { end: { sum: { packets: number; lost_packets: number } } }).end;
  return (sum.packets - sum.lost_packets) / sum.packets;
}

suite('traffic', () => {
  let cluster: Cluster;
  let a: SimulatedNode;
  let b: SimulatedNode;
  let web: AddedPod;
  let near: AddedPod;
  let far: AddedPod;
  before(async () => {
    cluster = await startCluster(2, BLUE);
    await addRange(cluster.fabric, '10.30.0.0/24', '--vlan', '130', '--name', 'green', '--cooldown', '0');
    [a, b] = cluster.nodes as [SimulatedNode, SimulatedNode];
    const onBlue = (node: SimulatedNode, name: string): Promise<AddedPod> =>
      node.addPod(name, { config: { ipam: ipamOf(node, 'blue') } });
    [web, near, far] = [await onBlue(a, 'web'), await onBlue(a, 'near'), await onBlue(b, 'far')];
  });
  after(() => cluster.scope.close());
  const ipamOf = (node: SimulatedNode, ...ranges: string[]): object => ({
    ...(node.networkConfig()['ipam'] as object),
    ranges,
  });

  for (const [what, to] of [
    ['on the same node', (): AddedPod => near],
    ['on another node', (): AddedPod => far],
  ] as const) {
    test(`ping, also with packets as large as the MTU, ${what}`, async () => {
      await web.ns.pings(to().ip);
      await web.ns.pings(to().ip, '-M', 'do', '-s', '1472');
    });
    test(`TCP both ways ${what}`, async () => {
      await tcpTransfer(web.ns, to().ns, to().ip, 4_000_000);
      await tcpTransfer(to().ns, web.ns, web.ip, 4_000_000);
    });
    test(`UDP both ways ${what}`, async (t) => {
      assert.ok((await udpShare(web, to(), t)) > 0.9);
      assert.ok((await udpShare(to(), web, t)) > 0.9);
    });
  }

  test('the gateway answers', async () => {
    await web.ns.pings('10.20.0.1');
  });

  test('VLANs do not hear each other, also across nodes; one VLAN does', async () => {
    const green = await a.addPod('green', { config: { ipam: ipamOf(a, 'green') } });
    const greenFar = await b.addPod('green-far', { config: { ipam: ipamOf(b, 'green') } });
    await green.ns.pings(greenFar.ip);
    // With green's subnet on its interface and no router between, a blue pod still reaches no green
    // pod.
    await web.ns.exec('ip', 'address', 'add', '10.30.0.250/24', 'dev', 'eth0');
    const heard = [
      await startCapture(green.ns.name, 'eth0', 'arp'),
      await startCapture(greenFar.ns.name, 'eth0', 'arp'),
    ];
    const pinged = await run('ping', ['-c2', '-i0.2', '-W1', green.ip], { netns: web.ns.name });
    assert.notEqual(pinged.code, 0);
    for (const capture of heard) {
      assert.deepEqual(
        (await capture.stop()).filter((line) => line.includes('10.30.0.250')),
        [],
      );
    }
    await web.ns.exec('ip', 'address', 'del', '10.30.0.250/24', 'dev', 'eth0');
  });

  suite('gratuitous ARP', () => {
    const heardOf = async (config: Record<string, unknown>): Promise<string[]> => {
      const capture = await startCapture(web.ns.name, 'eth0', 'arp');
      const pod = await b.addPod('loud', { config: { ipam: ipamOf(b, 'blue'), ...config } });
      await sleep(700);
      const lines = (await capture.stop()).filter(
        (line) => line.includes(`who-has ${pod.ip} `) && line.includes(`tell ${pod.ip}`),
      );
      await b.delPod(pod);
      return lines;
    };

    test('once by default, heard on another node', async () => assert.equal((await heardOf({})).length, 1));
    test('not at all when switched off', async () =>
      assert.equal((await heardOf({ gratuitousArp: false })).length, 0));
    test('as often as configured, spaced, the later ones after the reply', async () => {
      const lines = await heardOf({ gratuitousArp: { count: 3, intervalMs: 100 } });
      assert.equal(lines.length, 3);
      const times = lines.map((line) => Number(line.split(' ')[0]));
      assert.ok(
        (times[1] ?? 0) - (times[0] ?? 0) >= 0.09 && (times[2] ?? 0) - (times[1] ?? 0) >= 0.09,
        times.join(),
      );
    });

    test("an address that moves to another node is reached at once, with the neighbour's old entry", async () => {
      await addRange(
        cluster.fabric,
        '10.40.0.0/28',
        '--vlan',
        '120',
        '--name',
        'tiny',
        '--block-size',
        '4',
        '--exclude',
        '10.40.0.2-10.40.0.14',
        '--cooldown',
        '0',
      );
      const config = (node: SimulatedNode): Record<string, unknown> => ({ ipam: ipamOf(node, 'tiny') });
      const here = await a.addPod('mover', { config: config(a) });
      await web.ns.exec('ip', 'address', 'add', '10.40.0.14/28', 'dev', 'eth0');
      await web.ns.pings(here.ip);
      await a.delPod(here, { config: a.networkConfig(config(a)) });
      // The range's only block goes to the other node, as after a drain.
      await cluster.fabric.etcd.ctl('del', '/cellnet/v1/blocks/tiny/10.40.0.0/28'.replace('/28', '/30'));
      await cluster.fabric.etcd.ctl('del', '/cellnet/v1/nodes/node-1/10.40.0.0/30');
      const there = await b.addPod('mover', { config: config(b) });
      assert.equal(there.ip, here.ip);
      assert.equal(there.mac, here.mac);
      await web.ns.pings(there.ip);
      await web.ns.exec('ip', 'address', 'del', '10.40.0.14/28', 'dev', 'eth0');
    });
  });
});
