import assert from 'node:assert/strict';
import { after, before, beforeEach, suite, test } from 'node:test';
import { STEPS, type SteppedVerb } from '../../../cni/platform/steps.ts';
import { hostLinkName } from '../../../cni/protocol/identity.ts';
import type { CniCall, CniOutcome } from '../../support/cni.ts';
import { makeFaultyPlugin } from '../../support/faulty.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import { must, until } from '../../support/proc.ts';
import { BLUE, failed, given, podLinks, remains, startCluster, succeeded, type Cluster } from './world.ts';

suite('faults', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  let faulty: string;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    faulty = await makeFaultyPlugin(await cluster.scope.tempDir());
  });
  after(() => cluster.scope.close());
  let pod: Pod;
  beforeEach(async () => {
    pod = await node.makePod('p');
  });

  const withFault = (
    verb: Exclude<SteppedVerb, 'RECONCILE'>,
    step: string,
    when: 'before' | 'after',
    kind: 'throw' | 'kill',
    call: CniCall = {},
  ): Promise<CniOutcome> =>
    node.call(verb, pod, {
      ...call,
      plugin: faulty,
      env: { FAULT_STEP: `${verb}/${step}`, FAULT_WHEN: when, FAULT_KIND: kind },
    });
  const nothingLeft = async (): Promise<void> => {
    assert.deepEqual(await remains(node), []);
    assert.deepEqual(await podLinks(pod), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  };
  const works = async (): Promise<void> => {
    succeeded(await node.call('ADD', pod));
    assert.equal((await given(cluster.fabric)).size, 1);
    await pod.ns.pings('10.20.0.1');
    succeeded(await node.call('DEL', pod));
    await nothingLeft();
  };

  // The steps come from the code's own list, so that this test covers each new step.
  for (const step of STEPS.ADD) {
    test(`ADD that fails before or after '${step}' leaves nothing, tells the cause, and works the next time`, async () => {
      for (const when of ['before', 'after'] as const) {
        failed(await withFault('ADD', step, when, 'throw'), 999, new RegExp(`^fault ${when} ADD/${step}$`));
        await nothingLeft();
      }
      await works();
    });

    test(`ADD killed after '${step}', then ADD again: one address, and it works`, async () => {
      assert.notEqual((await withFault('ADD', step, 'after', 'kill')).code, 0);
      await works();
    });
  }

  // What a runtime does after its own crash: DEL, then GC, which finds nothing to do any more.
  for (const [verb, step] of [
    ...STEPS.ADD.map((each) => ['ADD', each] as const),
    ...STEPS.DEL.map((each) => ['DEL', each] as const),
  ])
    test(`${verb} killed after '${step}', then DEL: nothing left, nor after GC`, async (t) => {
      if (verb === 'DEL') succeeded(await node.call('ADD', pod));
      assert.notEqual((await withFault(verb, step, 'after', 'kill')).code, 0);
      const [things, held] = [(await remains(node)).length, (await given(cluster.fabric)).size];
      t.diagnostic(`at the kill: ${things} things, ${held} addresses`);
      succeeded(await node.call('DEL', pod));
      await nothingLeft();
      const config = node.networkConfig({ 'cni.dev/valid-attachments': [] });
      succeeded(await node.call('GC', pod, { config }));
      await nothingLeft();
    });

  for (const step of STEPS.GC) {
    test(`GC killed after '${step}', then GC again: nothing left`, async () => {
      succeeded(await node.call('ADD', pod));
      const config = node.networkConfig({ 'cni.dev/valid-attachments': [] });
      assert.notEqual((await withFault('GC', step, 'after', 'kill', { config })).code, 0);
      succeeded(await node.call('GC', pod, { config }));
      await nothingLeft();
    });
  }

  test('the interface name is taken in the pod: refused, and what was there stays', async () => {
    await must('ip', ['-n', pod.ns.name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other']);
    failed(await node.call('ADD', pod), 102, /eth0|exists/i);
    assert.deepEqual((await podLinks(pod)).sort(), ['eth0', 'other']);
    assert.deepEqual(await remains(node), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  });

  test("somebody else's link has our name: refused, and it stays", async () => {
    succeeded(await node.call('ADD', pod));
    const port =
      (await node.ovs.vsctl('list-ports', 'br-cell')).split('\n').find((each) => each.startsWith('cell')) ??
      '';
    succeeded(await node.call('DEL', pod));
    await must('ip', ['-n', node.ns.name, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'foreign1']);
    await must('ip', ['-n', node.ns.name, 'link', 'set', port, 'alias', 'somebody']);
    failed(await node.call('ADD', pod), 103, /is in the way: its alias is 'somebody'/);
    succeeded(await node.call('DEL', pod));
    assert.match(await node.ns.exec('ip', 'link', 'show', port), /alias somebody/);
    await must('ip', ['-n', node.ns.name, 'link', 'del', port]);
    await nothingLeft();
  });

  test('a link of our name without any mark, as a kill at the worst moment leaves it, is cleared by ADD and by DEL', async () => {
    const name = hostLinkName({ containerId: pod.containerId, ifname: 'eth0' });
    const make = (): Promise<string> =>
      must('ip', ['-n', node.ns.name, 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'half']);
    await make();
    await works();
    await make();
    succeeded(await node.call('DEL', pod));
    await nothingLeft();
  });

  test('vswitchd does not answer: code 11 that says so, and nothing is left', async () => {
    node.ovs.pauseVswitchd();
    const outcome = await node.call('ADD', pod);
    node.ovs.resumeVswitchd();
    failed(outcome, 11, /ovs-vswitchd did not take port 'cell.*' up within \d+ ms/);
    await nothingLeft();
    await works();
  });

  test('vswitchd sees the port go and come at once: it takes the new link, not the one that is gone', async () => {
    succeeded(await node.call('ADD', pod));
    node.ovs.pauseVswitchd();
    succeeded(await node.call('DEL', pod));
    const adding = node.call('ADD', pod);
    await until('the port is in the database again', async () =>
      (await node.ovs.vsctl('--no-wait', 'list-ports', 'br-cell')).includes('cell'),
    );
    node.ovs.resumeVswitchd();
    succeeded(await adding);
    await pod.ns.pings('10.20.0.1');
    succeeded(
      await node.call('CHECK', pod, { config: node.networkConfig({ prevResult: (await adding).result }) }),
    );
    succeeded(await node.call('DEL', pod));
    await nothingLeft();
  });

  test('the database of Open vSwitch is away: code 11, nothing is left', async () => {
    await node.ovs.killDatabase();
    failed(await node.call('ADD', pod), 11, /Open vSwitch's database at unix:.* is unreachable/);
    await node.ovs.startDatabase();
    await nothingLeft();
    await works();
  });

  test('the bridge is missing: code 100 with the remedy, and no address is kept', async () => {
    const outcome = await node.call('ADD', pod, {
      config: node.networkConfig({ bridge: 'br-none' }),
      env: { CELLNET_BRIDGE: undefined },
    });
    failed(outcome, 100, /bridge 'br-none' does not exist/);
    assert.match(outcome.result?.details ?? '', /cnictl node init --bridge br-none/);
    await nothingLeft();
  });

  test('etcd does not answer: code 11 within its deadline, nothing is left', async () => {
    cluster.fabric.etcd.pause();
    const outcome = await node.call('ADD', pod);
    cluster.fabric.etcd.resume();
    failed(outcome, 11, /etcd at http.* did not answer in time/);
    assert.ok(outcome.ms < 10_000, `${outcome.ms} ms`);
    await nothingLeft();
    await works();
  });

  test('the namespace is missing, no namespace, or the host: code 8', async () => {
    failed(await node.call('ADD', pod, { netns: '/run/netns/none' }), 8, /\/run\/netns\/none/);
    failed(await node.call('ADD', pod, { netns: '/etc/hostname/x' }), 8, /does not exist/);
    failed(await node.call('ADD', pod, { netns: '/etc/hostname' }), 8, /\/etc\/hostname/);
    failed(await node.call('ADD', pod, { netns: '/proc/self/ns/net' }), 8, /is the host's own namespace/);
    await nothingLeft();
  });

  const wrong: [what: string, config: object | string, code: number, message: RegExp][] = [
    ['JSON', '{"cniVersion":', 6, /is not JSON/],
    ['an array', '[]', 6, /expected a JSON object/],
    ['the version', { cniVersion: '9.9.9' }, 1, /cniVersion is "9\.9\.9": expected one of 0\.3\.0/],
    ['an unknown key', { gratiutousArp: true }, 7, /unknown key 'gratiutousArp': expected one of/],
    ['an unknown key of ipam', { ipam: { type: 'cellnet-ipam', etdc: {} } }, 7, /unknown key 'ipam\.etdc'/],
    ['the bridge name', { bridge: '../br' }, 7, /key 'bridge' is "\.\.\/br": expected a bridge name/],
    ['the MTU', { mtu: 20 }, 7, /key 'mtu' is 20: expected a whole number from 68 to 65535/],
    ['the network name', { name: '../x' }, 7, /key 'name' is "\.\.\/x"/],
    ['no IPAM', { ipam: undefined }, 7, /key 'ipam' is missing/],
    [
      'an IPAM that is not there',
      { ipam: { type: 'nobody' } },
      7,
      /key 'ipam\.type' is 'nobody': no such plugin in CNI_PATH/,
    ],
    [
      'an endpoint',
      { ipam: { type: 'cellnet-ipam', etcd: { endpoints: ['etcd:2379'] } } },
      7,
      /'etcd:2379' is no endpoint/,
    ],
    [
      'a range',
      { ipam: { type: 'cellnet-ipam', ranges: ['red'] } },
      7,
      /ipam\.ranges names 'red', which etcd does not hold: it has blue/,
    ],
  ];
  for (const [what, change, code, message] of wrong) {
    test(`a configuration that is wrong in ${what} is refused`, async () => {
      const config =
        typeof change === 'string' || Array.isArray(change)
          ? change
          : node.networkConfig(change as Record<string, unknown>);
      failed(await node.call('ADD', pod, { config }), code, message);
      await nothingLeft();
    });
  }
});
