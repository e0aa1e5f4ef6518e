import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { KubeError } from '../../../../cni/kube/errors.ts';
import { askAll, type Answers } from '../../../../cnictl/connectivity/ask-all.ts';
import { MACHINE, type Check } from '../../../../cnictl/connectivity/check.ts';
import { Stage } from '../../../../cnictl/connectivity/stage.ts';
import type { Waiting } from '../../../../cnictl/connectivity/waiting.ts';
import { Cluster } from './cluster.ts';
import { SETTINGS } from './facts.ts';

const NAMESPACE = 'test';

const waitingOf = (cluster: Cluster): Waiting => ({
  world: {
    now: () => cluster.now,
    monotonic: () => cluster.now,
    pause: (ms) => {
      cluster.now += ms;
      return Promise.resolve();
    },
  },
  ...{ signal: new AbortController().signal, timeoutMs: 10_000, note: () => undefined },
});

const stageOf = (cluster: Cluster, run: string): Stage =>
  new Stage(cluster, {
    ...{ namespace: NAMESPACE, settings: { ...SETTINGS, run }, waiting: waitingOf(cluster) },
  });

const POD = { name: 'client-a', node: 'n1' };

suite('the namespace of the test', () => {
  test('another run works in it: refused, with its name and age', async () => {
    const cluster = new Cluster();
    await stageOf(cluster, 'first').open();
    cluster.now += 14 * 60_000;
    await assert.rejects(
      stageOf(cluster, 'second').open(),
      /another test works in namespace 'test': run first, begun 14m ago/,
    );
    assert.equal(cluster.objects.size, 1);
  });

  test('a run that must be over by now left it: it is taken away', async () => {
    const cluster = new Cluster();
    await stageOf(cluster, 'first').open();
    cluster.now += 16 * 60_000;
    await stageOf(cluster, 'second').open();
    assert.equal(cluster.objects.size, 1);
  });

  test('a run that was kept is taken away at once', async () => {
    const cluster = new Cluster();
    const first = stageOf(cluster, 'first');
    await first.open();
    assert.equal(await first.keep(), true);
    const second = stageOf(cluster, 'second');
    await second.open();
    assert.deepEqual([...cluster.objects.keys()], ['namespaces /test']);
    await assert.rejects(first.pods(), /another test took namespace 'test'/);
    await assert.rejects(first.keep(), /another test took namespace 'test'/);
    await first.close();
    assert.equal(cluster.objects.size, 1);
    await second.close();
    assert.equal(cluster.objects.size, 0);
    await assert.rejects(second.pods(), /somebody deleted namespace 'test' during the test/);
  });

  test('nothing is kept of a run that did not begin', async () => {
    assert.equal(await stageOf(new Cluster(), 'first').keep(), false);
  });

  test('pods of another run are neither seen nor removed', async () => {
    const cluster = new Cluster();
    const stage = stageOf(cluster, 'first');
    await stage.open();
    await stage.addPod(POD, []);
    await stageOf(cluster, 'second').addPod({ ...POD, name: 'other' }, []);
    assert.deepEqual([...(await stage.pods()).keys()], ['client-a']);
    await stage.removePod('other');
    assert.equal(cluster.objects.size, 3);
    await stage.removePod('client-a');
    assert.equal(cluster.objects.size, 2);
  });
});

suite('how clients are asked', () => {
  const checkFrom = (from: string): Check => ({
    ...{ name: 'x', from, to: 'only-a', needs: [], expected: { kind: 'connection' }, by: 'bridge' },
    ask: { kind: 'tcp', address: '10.96.0.1', port: 80 },
  });
  const DONE = '{"task":0,"outcome":{"name":"server-a"}}\n{"done":true}\n';

  async function ask(readLog: (name: string) => string, dialled: object = {}): Promise<Answers> {
    const cluster = new Cluster();
    const stage = stageOf(cluster, 'first');
    await stage.open();
    cluster.readLog = readLog;
    return await askAll(stage, {
      checks: ['client-a', 'client-b', MACHINE].map(checkFrom),
      clients: [POD, { ...POD, name: 'client-b' }],
      ...{ plans: [], waiting: waitingOf(cluster), nodeAddress: '192.168.0.2' },
      dial: () => Promise.resolve(dialled),
    });
  }

  test('the last line ends it, though the pods stay', async () => {
    const { outcomes, broken, unread, pods } = await ask(() => DONE);
    assert.deepEqual([...outcomes.keys()], [0, 1]);
    assert.deepEqual([broken.size, unread.size], [0, 0]);
    assert.equal(pods.get('client-a')?.isRunning, true);
  });

  test('a log that cannot be read is told of its client alone', async () => {
    const { outcomes, unread, broken } = await ask((name) => {
      if (name === 'client-a') throw new KubeError('unavailable', 'no kubelet');
      return DONE;
    });
    assert.deepEqual([...outcomes.keys()], [1]);
    assert.deepEqual([...unread], [['client-a', 'its log cannot be read: no kubelet']]);
    assert.equal(broken.size, 0);
  });

  test('a log that is forbidden ends the test', async () => {
    const forbidden = (): string => {
      throw new KubeError('forbidden', 'no right');
    };
    await assert.rejects(ask(forbidden), /no right/);
  });

  test('this machine asks once the server on the host network has answered it', async () => {
    const apart = await ask(() => DONE, { error: 'no answer' });
    assert.deepEqual([apart.machineIsApart, apart.outcomes.has(2)], [true, false]);
    const near = await ask(() => DONE, { name: 'host-server' });
    assert.deepEqual([near.machineIsApart, near.outcomes.has(2)], [false, true]);
  });
});
