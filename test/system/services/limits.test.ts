import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import { startFabric, type Fabric } from '../../support/fabric.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { startNode, type AddedPod, type SimulatedNode } from '../../support/node.ts';
import { run, startDaemon, type Daemon } from '../../support/proc.ts';
import { dumpFlows, eventually } from './world.ts';

/**
 * Rates are within so much of what was asked for. TCP falls short of a rate on a busy machine; with
 * nothing beside it, it kept within a tenth.
 */
const RATE = { least: 0.7, most: 1.1 };
const MBIT = 1_000_000;

for (const how of ['with the agent', 'by the plugin alone'] as const) {
  suite(`limits of pods, ${how}`, () => {
    let scope: Scope;
    let fabric: Fabric;
    let node: SimulatedNode;
    let agent: RunningAgent | undefined;
    let peer: AddedPod;
    before(async () => {
      scope = newScope();
      fabric = scope.use(await startFabric());
      const added = await fabric.cnictl(
        'range',
        'add',
        '10.20.0.0/22',
        '--gateway',
        '10.20.0.1',
        '--vlan',
        '120',
      );
      assert.equal(added.code, 0, added.stderr);
      node = scope.use(await startNode(fabric, 'limits'));
      if (how === 'with the agent') agent = scope.use(await startAgent(node));
      peer = await pod('peer');
      const listens = (daemon: Daemon): boolean => daemon.output().includes('listening');
      scope.use(await startDaemon('iperf3', ['-s', '--forceflush'], listens, { netns: peer.ns.name }));
    });
    after(() => scope.close());

    const config = (more: Record<string, unknown>): Record<string, unknown> => ({
      agent: agent ? agent.socket : false,
      ...more,
    });
    const pod = (name: string, more: Record<string, unknown> = {}): Promise<AddedPod> =>
      node.addPod(name, { config: config(more) });
    const del = (of: AddedPod): Promise<void> => node.delPod(of, { config: node.networkConfig(config({})) });
    /** Whether an address of the pod gets an answer of the peer. */
    const reaches = async (of: AddedPod, source: string): Promise<boolean> => {
      const ping = ['-c', '2', '-i', '0.2', '-W', '1', '-I', source, peer.ip];
      return (await run('ping', ping, { netns: of.ns.name })).code === 0;
    };

    test('a pod sends only with its own addresses, and with those that are allowed', async () => {
      const checked = await pod('checked', { sourceCheck: true, allowedAddresses: ['10.20.2.64/28'] });
      const free = await pod('free');
      for (const [each, foreign] of [
        [checked, '10.20.3.201'],
        [free, '10.20.3.202'],
      ] as const) {
        await each.ns.exec('ip', 'address', 'add', `${foreign}/22`, 'dev', 'eth0');
        assert.equal(await reaches(each, each.ip), true, `${each.name} with its own address`);
        assert.equal(await reaches(each, foreign), each === free, `${each.name} with another address`);
      }
      await checked.ns.exec('ip', 'address', 'add', '10.20.2.70/22', 'dev', 'eth0');
      assert.equal(await reaches(checked, '10.20.2.70'), true, 'with an allowed address');
      await del(checked);
      await del(free);
    });

    test('it answers ARP for nobody else, and uses no other MAC', async () => {
      const checked = await pod('liar', { sourceCheck: true });
      const lie = ['-c', '2', '-w', '2', '-U', '-I', 'eth0', '-s', '10.20.3.210', '10.20.3.210'];
      await checked.ns.exec('ip', 'address', 'add', '10.20.3.210/22', 'dev', 'eth0');
      await run('arping', lie, { netns: checked.ns.name });
      const asked = await run('arping', ['-c', '2', '-w', '2', '-I', 'eth0', '10.20.3.210'], {
        netns: peer.ns.name,
      });
      assert.notEqual(asked.code, 0, asked.stdout);
      assert.equal(await reaches(checked, checked.ip), true);
      await checked.ns.exec('ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:99');
      assert.equal(await reaches(checked, checked.ip), false);
      await del(checked);
    });

    const ways = [
      ['egress', 'what the pod sends'],
      ['ingress', 'what the pod receives'],
    ] as const;
    // The plugin and the agent send the same flows.
    for (const [way, direction] of how === 'with the agent' ? ways : ways.slice(0, 1)) {
      test(`a rate limits ${direction}`, async () => {
        const rate = 20 * MBIT;
        const slow = await pod(`slow-${way}`, {
          capabilities: { bandwidth: true },
          runtimeConfig: { bandwidth: { [`${way}Rate`]: rate } },
        });
        const mbits = await throughput(slow, way === 'ingress' ? ['-R'] : []);
        const free = await throughput(slow, way === 'ingress' ? [] : ['-R']);
        assert.ok(mbits > 20 * RATE.least && mbits < 20 * RATE.most, `${mbits} Mbit/s`);
        assert.ok(free > 40, `the other way ${free} Mbit/s`);
        await del(slow);
      });
    }

    /** Megabits a second between the pod and the peer by TCP, without the first second. */
    async function throughput(of: AddedPod, args: readonly string[]): Promise<number> {
      const iperf3 = ['-c', peer.ip, '-t', '3', '-O', '1', '-J', ...args];
      const { stdout } = await run('iperf3', iperf3, { netns: of.ns.name });
      const result = JSON.parse(stdout) as {
        end: { sum_received?: { bits_per_second: number } };
        error?: string;
      };
      assert.ok(result.end.sum_received, result.error);
      return result.end.sum_received.bits_per_second / MBIT;
    }

    test('nothing of it is left after DEL', async () => {
      const limited = await pod('gone', {
        sourceCheck: true,
        capabilities: { bandwidth: true },
        runtimeConfig: { bandwidth: { egressRate: 10 * MBIT } },
      });
      assert.ok((await dumpFlows(node)).some((flow) => flow.includes(limited.mac)));
      await del(limited);
      await eventually(
        async () => !(await dumpFlows(node)).some((flow) => flow.includes(limited.mac)),
        'the flows are gone',
      );
      const meters = await node.ovs.ofctl('-O', 'OpenFlow15', 'dump-meters', 'br-cell');
      assert.doesNotMatch(meters, /meter=200[0-9]{2}/);
    });

    test('wrong limits are refused by name', async () => {
      const made = await node.makePod('wrong');
      const { code, stdout } = await node.call('ADD', made, {
        config: node.networkConfig(config({ sourceCheck: true, allowedAddresses: ['10.20.0.300'] })),
      });
      assert.notEqual(code, 0);
      assert.match(stdout, /allowedAddresses\.0.*10\.20\.0\.300.*expected an address/);
    });
  });
}
