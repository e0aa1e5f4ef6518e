import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import {
  startDhcpDaemon,
  startDhcpServer,
  type DhcpDaemon,
  type DhcpServer,
  type Lease,
} from '../../support/dhcp.ts';
import type { CniOutcome, Verb } from '../../support/cni.ts';
import { makeFaultyPlugin } from '../../support/faulty.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { must, until } from '../../support/proc.ts';
import { failed, given, podLinks, remains, startCluster, succeeded, type Cluster } from './world.ts';

const RESERVED_MAC = '02:00:00:00:00:99';
const RESERVED_IP = '10.20.3.99';
const MISLED = ['02:00:00:00:00:98', '10.20.3.98'] as const;

for (const withAgent of [false, true]) {
  suite(`an address by DHCP, ${withAgent ? 'with' : 'without'} the agent`, () => {
    let cluster: Cluster;
    let node: SimulatedNode;
    let server: DhcpServer;
    let daemon: DhcpDaemon;
    let agent: RunningAgent | undefined;
    before(async () => {
      cluster = await startCluster(1);
      [node] = cluster.nodes as [SimulatedNode];
      server = cluster.scope.use(await serve());
      daemon = cluster.scope.use(await startDhcpDaemon(node));
      if (withAgent) agent = cluster.scope.use(await startAgent(node));
    });
    after(() => cluster.scope.close());

    const serve = (): Promise<DhcpServer> =>
      startDhcpServer(cluster.fabric, {
        vlan: 120,
        range: ['10.20.2.10', '10.20.2.50', '255.255.252.0'],
        router: '10.20.0.1',
        reserved: { [RESERVED_MAC]: RESERVED_IP },
        misled: MISLED,
        renewAfterS: 3,
      });
    const configOf = (changes: object = {}): Record<string, unknown> =>
      node.networkConfig({
        cniVersion: '1.0.0',
        vlan: 120,
        ipam: { type: 'dhcp', daemonSocketPath: daemon.socket },
        ...changes,
      });
    const call = (verb: Verb, pod: Pod, changes: object = {}): Promise<CniOutcome> =>
      node.call(verb, pod, {
        config: configOf(changes),
        timeoutMs: 60_000,
        ...(agent && { env: agent.env }),
      });
    const added = async (name: string, changes: object = {}): Promise<Added> => {
      const pod = await node.makePod(name);
      const outcome = await call('ADD', pod, changes);
      succeeded(outcome);
      const { result } = outcome;
      assert.ok(result);
      const inPod = result.interfaces?.find(({ sandbox }) => Boolean(sandbox));
      const ip = result.ips?.[0]?.address.split('/')[0] ?? '';
      return { pod, result, lease: { mac: inPod?.mac ?? '', ip } };
    };
    const noLease = (): Promise<boolean> =>
      until('no lease is left', async () => (await server.leases()).length === 0);
    const isRenewed = ({ containerId }: Pod): Promise<boolean> =>
      until('a renewal', () => daemon.daemon.output().includes(`${containerId}/cell/eth0: lease renewed`));
    const nothingLeft = async (...pods: Pod[]): Promise<void> => {
      for (const pod of pods) assert.deepEqual(await podLinks(pod), []);
      assert.deepEqual(await remains(node), []);
      assert.equal((await given(cluster.fabric)).size, 0);
    };

    test('two pods get leases of their own, and reach each other and the gateway', async () => {
      const [a, b] = [await added('a'), await added('b')];
      const sorted = (leases: Lease[]): Lease[] => leases.sort((x, y) => x.ip.localeCompare(y.ip));
      assert.deepEqual(sorted(await server.leases()), sorted([a.lease, b.lease]));
      for (const { pod, result, lease } of [a, b]) {
        assert.match(lease.mac, /^0e:/);
        assert.deepEqual(result.ips, [{ address: `${lease.ip}/22`, gateway: '10.20.0.1', interface: 1 }]);
        assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0', gw: '10.20.0.1' }]);
        const shown = await pod.ns.exec('ip', '-4', '-brief', 'address', 'show', 'eth0');
        assert.match(shown, new RegExp(`UP +${lease.ip}/22`));
        assert.match(await pod.ns.exec('ip', 'route'), /^default via 10\.20\.0\.1 dev eth0/m);
        const marks = await node.ovs.vsctl(
          '--bare',
          '--columns=name',
          'find',
          'Port',
          `external_ids:ip=${lease.ip}`,
        );
        assert.match(marks, /^cell/);
        succeeded(await call('CHECK', pod, { prevResult: result }));
        await pod.ns.pings('10.20.0.1');
      }
      await a.pod.ns.pings(b.lease.ip);
      await b.pod.ns.pings(a.lease.ip);

      succeeded(await call('DEL', a.pod));
      await until('one lease', async () => (await server.leases()).length === 1);
      assert.deepEqual(await server.leases(), [b.lease]);
      await b.pod.ns.pings('10.20.0.1');
      succeeded(await call('DEL', b.pod));
      await noLease();
      await nothingLeft(a.pod, b.pod);
      assert.equal(daemon.heldNamespaces(), 0);
      // A repeated DEL finds nothing.
      succeeded(await call('DEL', b.pod));
      await nothingLeft(b.pod);
    });

    test('a repeated ADD has the same lease, and the pod keeps its interface', async () => {
      const { pod, result, lease } = await added('p');
      const index = await must('cat', ['/sys/class/net/eth0/ifindex'], { netns: pod.ns.name });
      const again = await call('ADD', pod);
      succeeded(again);
      assert.deepEqual(again.result, result);
      assert.equal(await must('cat', ['/sys/class/net/eth0/ifindex'], { netns: pod.ns.name }), index);
      assert.deepEqual(await server.leases(), [lease]);
      await pod.ns.pings('10.20.0.1');
      succeeded(await call('DEL', pod));
      await noLease();
      await nothingLeft(pod);
    });

    test('five pods at once', async () => {
      const pods = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => added(name)));
      const ips = pods.map(({ lease }) => lease.ip);
      assert.equal(new Set(ips).size, 5);
      for (const { pod } of pods) await pod.ns.pings('10.20.0.1');
      await Promise.all(pods.map(async ({ pod }) => succeeded(await call('DEL', pod))));
      await noLease();
      await nothingLeft(...pods.map(({ pod }) => pod));
    });

    test('an ADD killed with its lease, then ADD again: one lease, and no other in the daemon', async () => {
      if (agent) return;
      const plugin = await makeFaultyPlugin(await cluster.scope.tempDir());
      const env = { FAULT_STEP: 'ADD/allocate', FAULT_WHEN: 'after', FAULT_KIND: 'kill' };
      const pod = await node.makePod('p');
      assert.notEqual((await node.call('ADD', pod, { config: configOf(), plugin, env })).code, 0);
      const again = await call('ADD', pod);
      succeeded(again);
      assert.equal((await server.leases()).length, 1);
      await pod.ns.pings('10.20.0.1');
      succeeded(await call('DEL', pod));
      await noLease();
      await nothingLeft(pod);
      assert.equal(daemon.heldNamespaces(), 0);
    });

    test('a repeated ADD makes a port again that somebody removed', async () => {
      const { pod, result } = await added('p');
      const port = (await node.ovs.vsctl('list-ports', 'br-cell'))
        .split('\n')
        .find((each) => each.startsWith('cell'));
      await node.ovs.vsctl('del-port', 'br-cell', port ?? '');
      const again = await call('ADD', pod);
      succeeded(again);
      assert.deepEqual(again.result, result);
      await pod.ns.pings('10.20.0.1');
      succeeded(await call('CHECK', pod, { prevResult: result }));
      succeeded(await call('DEL', pod));
      await noLease();
      await nothingLeft(pod);
    });

    test('a requested MAC is used, and the lease follows it', async () => {
      const changes = { runtimeConfig: { mac: RESERVED_MAC } };
      const { pod, lease } = await added('p', changes);
      assert.deepEqual(lease, { mac: RESERVED_MAC, ip: RESERVED_IP });
      assert.deepEqual(await server.leases(), [lease]);
      await pod.ns.pings('10.20.0.1');
      succeeded(await call('DEL', pod, changes));
      await noLease();
      await nothingLeft(pod);
    });

    test('the daemon renews the lease over the interface', async () => {
      const { pod, lease } = await added('p');
      await isRenewed(pod);
      const acks = server.daemon
        .output()
        .split('\n')
        .filter((line) => line.includes(`DHCPACK(gw120) ${lease.ip} `));
      assert.ok(acks.length > 1);
      succeeded(await call('DEL', pod));
      await noLease();
      await nothingLeft(pod);
    });

    test('a pod that may send only with its own addresses gets one, and sends with no other', async () => {
      const { pod, lease } = await added('p', { sourceCheck: true });
      await pod.ns.pings('10.20.0.1');
      await pod.ns.exec('ip', 'address', 'add', '10.20.3.200/32', 'dev', 'eth0');
      const spoofed = await pod.ns.run('ping', ['-c2', '-i0.2', '-W1', '-I', '10.20.3.200', '10.20.0.1']);
      assert.notEqual(spoofed.code, 0);
      await isRenewed(pod);
      assert.deepEqual(await server.leases(), [lease]);
      succeeded(await call('DEL', pod, { sourceCheck: true }));
      await noLease();
      await nothingLeft(pod);
    });

    test('an ADD that fails after the lease gives it back', async () => {
      const pod = await node.makePod('p');
      const changes = { runtimeConfig: { mac: MISLED[0] } };
      failed(await call('ADD', pod, changes), 102, /192\.0\.2\.1/);
      await nothingLeft(pod);
      await noLease();
      assert.match(server.daemon.output(), new RegExp(`DHCPRELEASE.* ${MISLED[1]} `));
    });

    test('a DEL whose namespace is gone ends the lease in the daemon', async () => {
      const { pod } = await added('p');
      succeeded(
        await node.call('DEL', pod, { config: configOf(), netns: '', ...(agent && { env: agent.env }) }),
      );
      const ends = `${pod.containerId}/cell/eth0: releasing lease`;
      await until('the end of the lease', () => daemon.daemon.output().includes(ends));
      await nothingLeft(pod);
      await server.stop();
      server = cluster.scope.use(await serve());
    });

    test('a server that is away: code 11, and nothing is left; later it works', async () => {
      await server.stop();
      const pod = await node.makePod('p');
      failed(await call('ADD', pod), 11, /no more tries/);
      await nothingLeft(pod);
      assert.equal(daemon.heldNamespaces(), 0);
      server = cluster.scope.use(await serve());
      const outcome = await call('ADD', pod);
      succeeded(outcome);
      succeeded(await call('DEL', pod));
      await noLease();
      await nothingLeft(pod);
    });

    test('a daemon that is away: code 11, and nothing is left', async () => {
      const pod = await node.makePod('p');
      const ipam = { type: 'dhcp', daemonSocketPath: `${daemon.socket}-none` };
      failed(await call('ADD', pod, { ipam }), 11, /dialing DHCP daemon/);
      await nothingLeft(pod);
    });
  });
}

interface Added {
  readonly pod: Pod;
  readonly result: NonNullable<CniOutcome['result']>;
  readonly lease: Lease;
}
