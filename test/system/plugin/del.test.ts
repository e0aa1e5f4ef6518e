import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { AddedPod, SimulatedNode } from '../../support/node.ts';
import { must, until } from '../../support/proc.ts';
import {
  BLUE,
  given,
  podLinks,
  remains,
  startCluster,
  stateFiles,
  succeeded,
  type Cluster,
} from './world.ts';

suite('DEL', () => {
  let cluster: Cluster;
  let node: SimulatedNode;
  before(async () => {
    cluster = await startCluster(1, BLUE);
    [node] = cluster.nodes as [SimulatedNode];
  });
  after(() => cluster.scope.close());
  const clean = async (): Promise<void> => {
    assert.deepEqual(await remains(node), []);
    assert.equal((await given(cluster.fabric)).size, 0);
  };
  const pending = (): string[] => stateFiles(node).filter((file) => file.startsWith('pending/'));
  /**
   * Waits until a call carries out the deferred teardown. Each call tries for a short time only, so
   * a slow machine needs several calls.
   */
  const carriedOut = (): Promise<boolean> =>
    until('what was put off is done', async () => {
      if (pending().length > 0) succeeded(await node.call('DEL', await node.makePod('any')));
      return pending().length === 0;
    });
  const portOf = (pod: AddedPod): string => pod.result.interfaces?.[0]?.name ?? '';

  test('twice, and of what never was, succeeds', async () => {
    const pod = await node.addPod('p');
    succeeded(await node.call('DEL', pod));
    succeeded(await node.call('DEL', pod));
    succeeded(await node.call('DEL', await node.makePod('never')));
    await clean();
  });

  test('without CNI_NETNS, and with a namespace that is gone', async () => {
    const pod = await node.addPod('p');
    succeeded(await node.call('DEL', pod, { netns: '' }));
    assert.deepEqual(await podLinks(pod), []);
    const other = await node.addPod('q');
    await other.ns.stop();
    succeeded(await node.call('DEL', other));
    await clean();
  });

  test('without the port, and without the link', async () => {
    const pod = await node.addPod('p');
    await node.ovs.vsctl('del-port', portOf(pod));
    succeeded(await node.call('DEL', pod));
    const other = await node.addPod('q');
    await must('ip', ['-n', node.ns.name, 'link', 'del', portOf(other)]);
    succeeded(await node.call('DEL', other));
    await clean();
  });

  test('leaves a port that is not marked as ours, even of our name', async () => {
    const pod = await node.addPod('p');
    await node.ovs.vsctl('remove', 'port', portOf(pod), 'external_ids', 'owner');
    succeeded(await node.call('DEL', pod));
    assert.ok((await node.ovs.vsctl('list-ports', 'br-cell')).includes(portOf(pod)));
    await node.ovs.vsctl('del-port', portOf(pod));
    await clean();
  });

  for (const [how, away, back] of [
    ['does not answer', (): void => cluster.fabric.etcd.pause(), (): void => cluster.fabric.etcd.resume()],
    [
      'is dead',
      (): Promise<void> => cluster.fabric.etcd.kill(),
      (): Promise<void> => cluster.fabric.etcd.restart(),
    ],
  ] as const) {
    test(`while etcd ${how}: the pod ends, and the next call on the node releases the address`, async () => {
      const pod = await node.addPod('p');
      await away();
      const outcome = await node.call('DEL', pod);
      assert.equal(pending().length, 1);
      assert.deepEqual(await podLinks(pod), []);
      assert.ok(!(await node.ovs.vsctl('list-ports', 'br-cell')).includes(portOf(pod)));
      await back();
      succeeded(outcome);
      assert.ok(outcome.ms < 10_000, `${outcome.ms} ms`);
      assert.equal((await given(cluster.fabric)).get(pod.ip), pod.containerId);
      const next = await node.addPod('next');
      await carriedOut();
      assert.equal([...(await given(cluster.fabric)).values()].join(), next.containerId);
      await node.delPod(next);
      await clean();
    });
  }

  test('while the database of Open vSwitch is away: link gone, port and address later, in that order', async () => {
    const pod = await node.addPod('p');
    await node.ovs.killDatabase();
    succeeded(await node.call('DEL', pod));
    assert.deepEqual(await podLinks(pod), []);
    assert.equal(pending().length, 1);
    assert.equal(
      (await given(cluster.fabric)).get(pod.ip),
      pod.containerId,
      'the port may still be there: the address rests',
    );
    await node.ovs.startDatabase();
    assert.ok((await node.ovs.vsctl('list-ports', 'br-cell')).includes(portOf(pod)));
    // Any call carries it out: here the repeated DEL of the same pod, as a runtime may send it.
    succeeded(await node.call('DEL', pod));
    await carriedOut();
    await clean();
  });

  test('with a configuration that is cut down to types: the record of the ADD knows the rest', async () => {
    const pod = await node.addPod('p');
    const config = { cniVersion: '1.1.0', name: 'cell', type: 'cellnet', ipam: { type: 'cellnet-ipam' } };
    const nothing = { CELLNET_CONFIG: undefined, CELLNET_NODE: undefined, CELLNET_OVSDB: undefined };
    succeeded(await node.call('DEL', pod, { config, env: nothing }));
    assert.deepEqual(pending(), []);
    await clean();
    const other = await node.addPod('q');
    succeeded(
      await node.call('DEL', other, {
        config: { cniVersion: '1.1.0', name: 'cell', type: 'cellnet' },
        env: nothing,
      }),
    );
    await clean();
  });

  test('a teardown that was put off takes nothing from the same container made again', async () => {
    const pod = await node.addPod('p');
    cluster.fabric.etcd.pause();
    const outcome = await node.call('DEL', pod);
    cluster.fabric.etcd.resume();
    succeeded(outcome);
    assert.equal(pending().length, 1);
    const again = await node.call('ADD', pod);
    succeeded(again);
    assert.deepEqual(pending(), []);
    succeeded(await node.call('DEL', await node.makePod('any')));
    const ip = (again.result?.ips?.[0]?.address ?? '').split('/')[0] ?? '';
    assert.equal((await given(cluster.fabric)).get(ip), pod.containerId);
    await pod.ns.pings('10.20.0.1');
    succeeded(await node.call('DEL', pod));
    await clean();
  });

  test('an ADD while its own teardown cannot be finished is told to come back', async () => {
    const pod = await node.addPod('p');
    cluster.fabric.etcd.pause();
    succeeded(await node.call('DEL', pod));
    const refused = await node.call('ADD', pod);
    cluster.fabric.etcd.resume();
    assert.equal(refused.result?.code, 11, refused.stdout);
    assert.match(refused.result.msg ?? '', /an earlier DEL of .* is still to be finished/);
    succeeded(await node.call('DEL', pod));
    await clean();
  });

  test('a broken file among the teardowns does not stop others', async () => {
    const pod = await node.addPod('p');
    cluster.fabric.etcd.pause();
    const outcome = await node.call('DEL', pod);
    cluster.fabric.etcd.resume();
    succeeded(outcome);
    await writeFile(join(node.stateDir, 'pending', 'aaa,eth0.json'), '{"v":1,');
    try {
      const next = await node.addPod('next');
      await until('the other is done', async () => {
        if (pending().length > 1) succeeded(await node.call('DEL', await node.makePod('any')));
        return pending().length === 1;
      });
      assert.equal([...(await given(cluster.fabric)).values()].join(), next.containerId);
      await node.delPod(next);
      assert.deepEqual(pending(), ['pending/aaa,eth0.json']);
    } finally {
      await must('rm', [join(node.stateDir, 'pending', 'aaa,eth0.json')]);
    }
  });

  test('GC goes on where etcd is away, tells it, and frees the address the next time', async () => {
    const goes = await node.addPod('goes');
    const config = node.networkConfig({ 'cni.dev/valid-attachments': [] });
    cluster.fabric.etcd.pause();
    const outcome = await node.call('GC', goes, { config });
    cluster.fabric.etcd.resume();
    assert.equal(outcome.result?.code, 5);
    assert.match(outcome.result.msg ?? '', /allocations: etcd at .* did not answer/);
    assert.deepEqual(await podLinks(goes), []);
    succeeded(await node.call('GC', goes, { config }));
    await clean();
  });

  test('GC removes a link without port, and knows its network without the state of the node', async () => {
    const [linkOnly, stateless] = [await node.addPod('link-only'), await node.addPod('stateless')];
    await node.ovs.vsctl('del-port', linkOnly.result.interfaces?.[0]?.name ?? '');
    await must('rm', [join(node.stateDir, 'attachments', `${stateless.containerId},eth0.json`)]);
    // So does a runtime in Go write an empty list.
    const config = node.networkConfig({ 'cni.dev/valid-attachments': null });
    succeeded(await node.call('GC', linkOnly, { config }));
    await clean();
  });

  test('GC without its list removes nothing', async () => {
    const pod = await node.addPod('p');
    const outcome = await node.call('GC', pod);
    assert.equal(outcome.result?.code, 7);
    assert.match(outcome.result.msg ?? '', /GC needs key 'cni\.dev\/valid-attachments'/);
    assert.deepEqual(await podLinks(pod), ['eth0']);
    await node.delPod(pod);
  });

  test('GC removes what is not valid any more, and only of its own network', async () => {
    const stays = await node.addPod('stays');
    const goes = await node.addPod('goes');
    const foreign = await node.addPod('foreign', { config: { name: 'other' } });
    for (const key of ['cni.dev/valid-attachments', 'cni.dev/attachments']) {
      const valid = { [key]: [{ containerID: stays.containerId, ifname: 'eth0' }] };
      succeeded(await node.call('GC', stays, { config: node.networkConfig(valid) }));
    }
    assert.deepEqual(await podLinks(goes), []);
    assert.deepEqual(
      [...(await given(cluster.fabric)).values()].sort(),
      [stays.containerId, foreign.containerId].sort(),
    );
    await stays.ns.pings(foreign.ip);
    await node.delPod(stays);
    await node.delPod(foreign, { config: node.networkConfig({ name: 'other' }) });
    await clean();
  });
});
