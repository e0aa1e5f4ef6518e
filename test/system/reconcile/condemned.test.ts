/**
 * Pods are gone from the API server while their namespaces, links and ports are still up: the
 * runtime and the kubelet died, and somebody deleted the pods by force. The kernel goes on
 * answering for their addresses, so no address may be released before its interface is ended.
 */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import type { RunningAgent } from '../../support/agent.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { joinNamespaces, uniqueLink } from '../../support/netns.ts';
import type { AddedPod, SimulatedNode } from '../../support/node.ts';
import { startPodServer, type PodServer } from '../../support/pod-server.ts';
import { run, until, type RunResult } from '../../support/proc.ts';
import { BLUE, given, podLinks, remains, startCluster, type Cluster } from '../plugin/world.ts';
import {
  addPods,
  anotherBoot,
  nodeReconcile,
  nothingElse,
  ranWith,
  reaches,
  startReconciling,
  vanish,
} from './world.ts';

suite('leaked, and still on the wire', () => {
  let cluster: Cluster;
  let api: PodServer;
  let node: SimulatedNode;
  let other: SimulatedNode;

  before(async () => {
    cluster = await startCluster(2, [...BLUE, '--cooldown', '0']);
    const [one, two] = cluster.nodes;
    assert.ok(one && two);
    [node, other] = [one, two];
    api = cluster.scope.use(await startPodServer(cluster.fabric, await cluster.scope.tempDir()));
    // A pod that lives, so that the check believes the API server.
    await serve(other, await other.addPod('living'));
    for (const { nodeName } of [node, other]) await api.putNode(nodeName);
  });
  after(() => cluster.scope.close());

  const serve = (on: SimulatedNode, { name, uid, ip }: AddedPod): Promise<void> =>
    api.put({ namespace: 'default', name, uid, node: on.nodeName, ip });
  /** Runs cnictl where the physical switch is, whose uplinks lead to every node. */
  const cnictl = (env: Readonly<Record<string, string>>, ...args: string[]): Promise<RunResult> =>
    run(`${OUR_PLUGINS}/cnictl`, [...args, '--kubeconfig', api.kubeconfig], {
      netns: cluster.fabric.ns.name,
      env: { ...cluster.fabric.env, ...env },
      timeoutMs: 60_000,
    });
  const onWire = (): Record<string, string> => ({
    CELLNET_OVSDB: cluster.fabric.ovs.remote,
    CELLNET_BRIDGE: 'phys',
  });
  const release = (env: Readonly<Record<string, string>>, wait: string): Promise<RunResult> =>
    cnictl(env, 'check', '--grace', '1s', '--release', '--yes', '--wait', wait);
  /** Counts the addresses that are released although their pod's link still has them. */
  const stillUp = async (pods: readonly AddedPod[]): Promise<number> => {
    const held = await given(cluster.fabric);
    const released = pods.filter(({ ip }) => !held.has(ip));
    const links = await Promise.all(released.map(podLinks));
    return links.filter((each) => each.length > 0).length;
  };

  test('on a node whose agent lives: condemned, the interfaces ended, then released', async () => {
    const agent: RunningAgent = cluster.scope.use(await startReconciling(node));
    const pods = await addPods(node, 3);
    for (const pod of pods) await serve(node, pod);
    const [kept, ...gone] = pods;
    assert.ok(kept);
    for (const { name } of gone) await api.remove('default', name);
    await until('the agent to be known', async () =>
      (await cluster.fabric.etcd.ctl('get', `/cellnet/v1/alive/${node.nodeName}`)).includes(node.nodeName),
    );

    const releasing = release({}, '30s');
    let early = 0;
    const watching = (async () => {
      while ((await given(cluster.fabric)).size > 2) early += await stillUp(gone);
    })();
    const ran = await releasing;
    await watching;
    assert.equal(early, 0, 'released while on the wire');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stderr, /2 addresses condemned: the agent of .* ends the interface, then releases/);
    for (const { ip } of gone) assert.match(ran.stderr, new RegExp(`${ip} released on ${node.nodeName}`));
    for (const pod of gone) assert.deepEqual(await podLinks(pod), []);
    await nothingElse(node, kept);
    await reaches(kept);
    const history = await cluster.fabric.cnictl('ip', 'history', gone[0]?.ip ?? '', '-o', 'json');
    assert.match(history.stdout, /"why": "leaked"/);
    await agent.stop();
    await node.delPod(kept);
  });

  test('an ADD of a condemned attachment takes the sentence off', async () => {
    const [pod] = await addPods(node, 1);
    assert.ok(pod);
    const ran = await release({}, '0');
    assert.equal(ran.code, 1, ran.stderr);
    assert.match(ran.stderr, /1 address condemned: .* is Ready, but has no living agent/);
    const again = await node.call('ADD', pod);
    assert.equal(again.code, 0, again.stdout);
    ranWith(await nodeReconcile(node), 0);
    assert.equal((await given(cluster.fabric)).get(pod.ip), pod.containerId);
    await reaches(pod);
    await node.delPod(pod);
  });

  test('without an agent it is cleared by node reconcile', async () => {
    const [pod] = await addPods(node, 1);
    assert.ok(pod);
    assert.equal((await release({}, '0')).code, 1);
    assert.equal((await given(cluster.fabric)).get(pod.ip), pod.containerId);
    await reaches(pod);
    ranWith(await nodeReconcile(node), 0);
    assert.deepEqual(await podLinks(pod), []);
    assert.equal((await given(cluster.fabric)).has(pod.ip), false);
    await nothingElse(node);
  });

  test('on a node that is silent: kept while something answers on the wire, released when nothing does', async () => {
    const [first, second] = await addPods(node, 2);
    assert.ok(first && second);
    await api.putNode(node.nodeName, false);
    await vanish(node, second);
    const ran = await release(onWire(), '0');
    assert.equal(ran.code, 1, ran.stderr);
    assert.match(
      ran.stderr,
      new RegExp(`${first.ip} kept: host ${first.mac} still answers for it on the wire`),
    );
    assert.match(ran.stderr, new RegExp(`${second.ip} released \\(pod-`));
    assert.doesNotMatch(ran.stderr, /nobody asked the wire/);
    assert.doesNotMatch(await cluster.fabric.ovs.vsctl('list-ports', 'phys'), /^c[0-9a-f]{14}/m);
    await reaches(first);

    // From a host without such a bridge nobody can ask: it is told.
    const unasked = await release({}, '0');
    assert.match(unasked.stderr, /nobody asked the wire whether addresses of VLAN 120 are still answered/);
    assert.match(unasked.stderr, new RegExp(`${first.ip} released \\(pod-`));
    await vanish(node, first);
    ranWith(await nodeReconcile(node, '--grace', '0s'), 0);
    assert.deepEqual(await remains(node), []);
  });

  test('assigned by a boot that this disk does not know: released only when nobody answers', async () => {
    await api.putNode(node.nodeName);
    const pod = await node.addPod('before');
    await vanish(node, pod);
    rmSync(node.stateDir, { recursive: true });
    mkdirSync(node.stateDir);
    // The machine that had the name before lives on elsewhere, with its pod.
    const twin = await other.makePod('twin');
    const hostEnd = uniqueLink('ch');
    await joinNamespaces(
      { ns: other.ns.name, name: hostEnd },
      { ns: twin.ns.name, name: 'eth0', address: `${pod.ip}/22` },
    );
    await other.ovs.vsctl('add-port', 'br-cell', hostEnd, 'tag=120');
    const agent = cluster.scope.use(await startReconciling(node, { bootId: anotherBoot() }));
    const told = 'an address of which nothing is known here is answered on the wire: kept';
    await until('the agent to tell it', () => agent.logged(told).length > 1);
    assert.equal((await given(cluster.fabric)).get(pod.ip), pod.containerId);
    await twin.ns.stop();
    await until('the address to be released', async () => !(await given(cluster.fabric)).has(pod.ip));
    await nothingElse(node);
    await agent.stop();
  });
});
