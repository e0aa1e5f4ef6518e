import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../../cni/kube/errors.ts';
import { NODE } from '../../../../cni/kube/object-types.ts';
import { CliWorld } from '../../../golden/world.ts';
import { Cluster } from './cluster.ts';

/** A cluster of one node, whose pods get no addresses. */
async function worldOf(cluster: Cluster): Promise<CliWorld> {
  const world = new CliWorld();
  cluster.now = world.ipam.now;
  world.kubeWriter = cluster;
  const { metadata } = await cluster.create(NODE, undefined, { metadata: { name: 'n1', labels: {} } });
  cluster.objects.set('nodes /n1', {
    ...{ metadata, spec: {} },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  });
  return world;
}

const TEST = 'connectivity test --image x --no-kube-proxy --timeout 1ms';

suite('cnictl connectivity test as a command', () => {
  test('the rows are told before the namespace goes, also when it does not go', async () => {
    const cluster = new Cluster();
    const world = await worldOf(cluster);
    cluster.removal = new KubeError('forbidden', 'no right to delete');
    const { status, stdout, stderr } = await world.run(TEST);
    assert.equal(status, 1, stderr);
    assert.match(stdout, /\d+ ok, \d+ failed, \d+ skipped/);
    assert.match(stderr, /no right to delete/);
    assert.match(stderr, /namespace '(\S+)' may be left: kubectl delete namespace cellnet-connectivity-test/);
  });

  test('what the objects are told of time', async () => {
    const cluster = new Cluster();
    const world = await worldOf(cluster);
    await world.run(`${TEST.replace('1ms', '1s')} --keep`);
    const namespace = cluster.objects.get('namespaces /cellnet-connectivity-test')?.['metadata'];
    const { labels } = namespace as { labels: Record<string, string> };
    assert.equal(labels['cellnet-connectivity-test/lasts-seconds'], '363');
    const pod = cluster.objects.get('pods cellnet-connectivity-test/server-a')?.['spec'];
    assert.equal((pod as { activeDeadlineSeconds: number }).activeDeadlineSeconds, 86_400);
    assert.ok(cluster.objects.has('services cellnet-connectivity-test/test-is-over'));
  });

  test('options that make no sense are refused', async () => {
    const world = await worldOf(new Cluster());
    for (const [options, expected] of [
      ['--timeout 0', /--timeout '0': expected more than 0/],
      ['--external-ip 10.0.0', /--external-ip '10\.0\.0': expected an address/],
      ['--node a --node b --node c', /--node/],
    ] as const) {
      const { status, stderr } = await world.run(`connectivity test --image x ${options}`);
      assert.equal(status, 2);
      assert.match(stderr, expected);
    }
  });
});
