import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { OUR_PLUGINS, STOCK_PLUGINS, type CniOutcome, type CniReply, type Verb } from '../../support/cni.ts';
import type { Pod, SimulatedNode } from '../../support/node.ts';
import {
  addRange,
  BLUE,
  failed,
  given,
  GREEN,
  podLinks,
  remains,
  startCluster,
  succeeded,
  type Cluster,
} from './world.ts';

suite('chains and several networks', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
    await addRange(cluster.fabric, ...GREEN);
    await cluster.fabric.addGateway({ vlan: 130, address: '10.30.0.1/24' });
  });
  after(() => cluster.scope.close());

  interface Section {
    readonly type: string;
    readonly [key: string]: unknown;
  }
  /**
   * Calls the plugins of a list as libcni does: ADD and CHECK in order, DEL in reverse. Each call
   * gets the previous result.
   */
  const callList = async (
    verb: Verb,
    pod: Pod,
    sections: readonly Section[],
    result?: CniReply,
  ): Promise<CniReply | undefined> => {
    let prevResult = result;
    for (const section of verb === 'DEL' ? [...sections].reverse() : sections) {
      const folder = section.type.startsWith('cellnet') ? OUR_PLUGINS : STOCK_PLUGINS;
      const config = { ...section, name: 'cell', cniVersion: '1.0.0', ...(prevResult && { prevResult }) };
      const outcome: CniOutcome = await node.call(verb, pod, { plugin: `${folder}/${section.type}`, config });
      succeeded(outcome);
      if (verb === 'ADD') prevResult = outcome.result;
    }
    return prevResult;
  };
  const cellnet = (): Section => node.networkConfig() as unknown as Section;

  test('behind us tuning changes MAC and MTU, firewall adds rules: CHECK passes, and sees what nobody told', async () => {
    const pod = await node.makePod('p');
    const list = [
      cellnet(),
      { type: 'firewall', backend: 'iptables' },
      {
        type: 'tuning',
        mac: 'c2:11:22:33:44:66',
        mtu: 1400,
        sysctl: { 'net.ipv4.conf.eth0.arp_filter': '1' },
      },
    ];
    const result = await callList('ADD', pod, list);
    assert.equal(result?.interfaces?.[1]?.mac, 'c2:11:22:33:44:66');
    assert.match(await pod.ns.exec('ip', 'link', 'show', 'eth0'), /mtu 1400.*c2:11:22:33:44:66/s);
    await callList('CHECK', pod, list, result);
    await pod.ns.pings('10.20.0.1');

    await pod.ns.exec('ip', 'link', 'set', 'eth0', 'address', 'c2:11:22:33:44:77');
    const config = { ...cellnet(), cniVersion: '1.0.0', prevResult: result };
    failed(await node.call('CHECK', pod, { config }), 105, /MAC of eth0: expected c2:11:22:33:44:66/);
    await callList('DEL', pod, list, result);
    assert.deepEqual(await podLinks(pod), []);
    assert.deepEqual(await remains(node), []);
  });

  test('before us: what another plugin made is handed on, ours added, and CHECK knows ours by its name', async () => {
    const pod = await node.makePod('p');
    const ptp = {
      type: 'ptp',
      ipam: { type: 'host-local', subnet: '10.77.0.0/24', dataDir: node.stateDir + '/../hl' },
    };
    const first = (
      await node.call('ADD', pod, {
        plugin: `${STOCK_PLUGINS}/ptp`,
        ifname: 'net0',
        config: { ...ptp, name: 'cell', cniVersion: '1.0.0' },
      })
    ).result;
    assert.ok(first?.ips?.[0]);
    const config = { ...cellnet(), cniVersion: '1.0.0' };
    const outcome = await node.call('ADD', pod, { config: { ...config, prevResult: first } });
    succeeded(outcome);
    const { interfaces, ips } = outcome.result ?? {};
    assert.equal(ips?.length, 2);
    assert.equal(interfaces?.[ips[1]?.interface ?? -1]?.name, 'eth0');
    assert.deepEqual(ips[0], first.ips[0]);
    assert.deepEqual((await podLinks(pod)).sort(), ['eth0', 'net0']);
    succeeded(await node.call('CHECK', pod, { config: { ...config, prevResult: outcome.result } }));
    succeeded(await node.call('DEL', pod, { config }));
    assert.deepEqual(await podLinks(pod), ['net0']);
    succeeded(
      await node.call('DEL', pod, {
        plugin: `${STOCK_PLUGINS}/ptp`,
        ifname: 'net0',
        config: { ...ptp, name: 'cell', cniVersion: '1.0.0' },
      }),
    );
    assert.deepEqual(await remains(node), []);
  });

  test('one pod on two networks of one bridge, as by Multus: each on its VLAN, each removed by itself', async () => {
    const { ipam } = node.networkConfig() as { ipam: object };
    const networks = [
      { ifname: 'eth0', config: node.networkConfig({ name: 'blue', ipam: { ...ipam, ranges: ['blue'] } }) },
      { ifname: 'net1', config: node.networkConfig({ name: 'green', ipam: { ...ipam, ranges: ['green'] } }) },
    ];
    const pod = await node.makePod('multi');
    const results: CniReply[] = [];
    for (const each of networks) {
      const outcome = await node.call('ADD', pod, each);
      succeeded(outcome);
      results.push(outcome.result ?? {});
    }
    assert.match(results[0]?.ips?.[0]?.address ?? '', /^10\.20\./);
    assert.match(results[1]?.ips?.[0]?.address ?? '', /^10\.30\./);
    await pod.ns.pings('10.20.0.1', '-I', 'eth0');
    await pod.ns.pings('10.30.0.1', '-I', 'net1');
    for (const [i, each] of networks.entries()) {
      const config = { ...each.config, prevResult: results[i] };
      succeeded(await node.call('CHECK', pod, { ...each, config }));
    }
    // This GC lists no attachment of its own network. It leaves the other network's attachment of
    // the same container.
    const gc = { ...networks[1]?.config, 'cni.dev/valid-attachments': [] };
    succeeded(await node.call('GC', pod, { config: gc }));
    assert.deepEqual(await podLinks(pod), ['eth0']);
    succeeded(await node.call('DEL', pod, networks[0]));
    assert.equal((await given(cluster.fabric)).size, 0);
    assert.deepEqual(await remains(node), []);
  });
});
