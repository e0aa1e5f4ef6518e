import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, suite, test } from 'node:test';
import { hostLinkName } from '../../../cni/protocol/identity.ts';
import { startAgent, type RunningAgent } from '../../support/agent.ts';
import type { AddedPod, SimulatedNode } from '../../support/node.ts';
import { until } from '../../support/proc.ts';
import { BLUE, failed, given, startCluster, succeeded, type Cluster } from './world.ts';

const MADE_AGAIN = 'made the port of a running pod again';
/** Somebody else's route in the pod. It ends with the interface. */
const ROUTE = '192.0.2.0/24';

suite('an ADD repeated for a running pod that lost its port', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let pod: AddedPod;
  let agent: RunningAgent | undefined;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
  });
  beforeEach(async () => {
    pod = await node.addPod('p');
    await pod.ns.exec('ip', 'route', 'add', ROUTE, 'via', '10.20.0.1');
  });
  afterEach(async () => {
    await node.delPod(pod);
    await agent?.stop();
    agent = undefined;
  });
  after(() => cluster.scope.close());

  const indexOf = (link: string): unknown => (JSON.parse(link) as { ifindex: number }[])[0]?.ifindex;
  /** What tells the interface from another one that is made for the same plan. */
  const identity = async (): Promise<unknown[]> => [
    indexOf(await pod.ns.exec('ip', '-j', 'link', 'show', 'eth0')),
    indexOf(await node.ns.exec('ip', '-j', 'link', 'show', hostLinkName(pod))),
    await pod.ns.exec('ip', 'route', 'show', ROUTE),
  ];
  const portOf = (): Promise<string> =>
    node.ovs.vsctl('get', 'Port', hostLinkName(pod), 'tag', 'trunks', 'external_ids');
  const losePort = (): Promise<string> => node.ovs.vsctl('del-port', hostLinkName(pod));
  const hasPort = async (): Promise<boolean> =>
    (await node.ovs.vsctl('list-ports', 'br-cell')).split('\n').includes(hostLinkName(pod));

  /** Loses the port and calls ADD. Only the port may be another one after that. */
  const repeats = async (env: Readonly<Record<string, string>>): Promise<void> => {
    const [link, port] = [await identity(), await portOf()];
    await losePort();
    const again = await node.call('ADD', pod, { env });
    succeeded(again);
    assert.deepEqual(again.result, pod.result);
    assert.deepEqual(await identity(), link);
    assert.equal(await portOf(), port);
    const config = node.networkConfig({ prevResult: pod.result });
    succeeded(await node.call('CHECK', pod, { config }));
    await pod.ns.pings('10.20.0.1');
    assert.deepEqual([...(await given(cluster.fabric))], [[pod.ip, pod.containerId]]);
  };

  test('makes only the port, by the plugin', () => repeats({}));

  test('makes only the port, by the agent', async () => {
    agent = await startAgent(node);
    // Events cause one reconcile in ten seconds. After this one only an ADD makes the port.
    await losePort();
    await until('the agent to make the port again', hasPort);
    await repeats(agent.env);
    // A reconcile names no network.
    assert.deepEqual(
      agent.logged(MADE_AGAIN).map(({ reason, network }) => [reason, network]),
      [
        ['no-port', undefined],
        ['no-port', 'cell'],
      ],
    );
  });

  test("leaves the interface where somebody's port is in the way", async () => {
    const link = await identity();
    await losePort();
    await node.ovs.vsctl('add-port', 'br-cell', hostLinkName(pod));
    failed(await node.call('ADD', pod), 101, /is in Open vSwitch already/);
    assert.deepEqual(await identity(), link);
    await losePort();
    succeeded(await node.call('ADD', pod));
    assert.deepEqual(await identity(), link);
    await pod.ns.pings('10.20.0.1');
  });
});
