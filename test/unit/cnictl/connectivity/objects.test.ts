import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  keptMark,
  namespaceObject,
  podObject,
  serviceObject,
} from '../../../../cnictl/connectivity/manifests.ts';
import {
  candidateOf,
  chooseNodes,
  imageOf,
  podStateOf,
  readyEndpoints,
  type Candidate,
} from '../../../../cnictl/connectivity/objects.ts';
import { clientPods, serverPods, servicePlans } from '../../../../cnictl/connectivity/plan.ts';
import { POD_SCRIPT } from '../../../../cnictl/connectivity/pod-script.ts';
import { endpoint, endpointSlice, pod } from '../../../support/kube-api.ts';
import { SETTINGS, TWO } from './facts.ts';

const candidate = (name: string, more: Partial<Candidate> = {}): Candidate => ({
  ...{ name, addresses: [], ready: true, isOpen: true, isCordoned: false },
  ...more,
});
const names = (candidates: readonly Candidate[], wanted: readonly string[] = []): string[] => {
  const { a, b } = chooseNodes(candidates, wanted);
  return [a.name, b.name];
};

suite('the nodes of the test', () => {
  test('two that are ready: those that were asked for, then workers, by name', () => {
    const all = [
      candidate('c0', { isOpen: false }),
      candidate('w3'),
      candidate('w1'),
      candidate('w2', { ready: false }),
    ];
    assert.deepEqual(names(all), ['w1', 'w3']);
    assert.deepEqual(names(all, ['c0']), ['c0', 'w1']);
    assert.deepEqual(names(all, ['w3', 'c0']), ['w3', 'c0']);
    assert.deepEqual(names([candidate('w1'), candidate('c0', { isOpen: false })]), ['w1', 'c0']);
  });

  test('a third node is refused', () => {
    const all = ['a', 'b', 'c'].map((name) => candidate(name));
    assert.throws(() => chooseNodes(all, ['a', 'b', 'c']), /--node is given 3 times/);
  });

  test('one node, or none', () => {
    const one = chooseNodes([candidate('w1'), candidate('w2', { isCordoned: true })], []);
    assert.deepEqual([one.isOneNode, one.b.name], [true, 'w1']);
    assert.throws(() => chooseNodes([candidate('w1', { ready: false })], []), /no node is Ready/);
  });

  test('a node that was asked for and cannot be had is refused', () => {
    const all = [candidate('w1'), candidate('w2', { ready: false }), candidate('w3', { isCordoned: true })];
    for (const [name, why] of [
      ['w2', 'is not Ready'],
      ['w3', 'is cordoned'],
      ['w4', 'does not exist'],
    ] as const)
      assert.throws(() => chooseNodes(all, [name]), new RegExp(`'${name}': that node ${why}`));
  });

  test('a node as the API server tells it', () => {
    const node = {
      metadata: { name: 'w1' },
      spec: { taints: [{ key: 'x', effect: 'PreferNoSchedule' }] },
      status: {
        addresses: [
          { type: 'Hostname', address: 'w1' },
          { type: 'InternalIP', address: '192.168.0.1' },
          { type: 'InternalIP', address: 'fd00::1' },
        ],
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    };
    assert.deepEqual(candidateOf(node), candidate('w1', { addresses: ['192.168.0.1', 'fd00::1'] }));
    const tainted = { ...node, spec: { unschedulable: true, taints: [{ key: 'x', effect: 'NoSchedule' }] } };
    assert.deepEqual([candidateOf(tainted).isOpen, candidateOf(tainted).isCordoned], [false, true]);
  });
});

suite('objects of the cluster', () => {
  test('the image is that of the container cellnetd', () => {
    const daemonSet = (...containers: object[]): Record<string, unknown> => ({
      spec: { template: { spec: { containers } } },
    });
    assert.equal(imageOf([]), undefined);
    assert.equal(
      imageOf([daemonSet({ name: 'x', image: 'x:1' }, { name: 'cellnetd', image: 'cellnet:1' })]),
      'cellnet:1',
    );
    assert.equal(imageOf([daemonSet({ name: 'agent', image: 'cellnet:2' })]), 'cellnet:2');
  });

  test('why a pod does not run', () => {
    const waiting = { ...pod({ name: 'x', node: 'n1', phase: 'Pending' }) };
    const state = { waiting: { reason: 'ErrImagePull', message: 'no such host' } };
    const told = podStateOf({ ...waiting, status: { phase: 'Pending', containerStatuses: [{ state }] } });
    assert.equal(told.reason, 'Pending: ErrImagePull: no such host');
    const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: 'no port' };
    const unscheduled = podStateOf({ ...waiting, status: { phase: 'Pending', conditions: [condition] } });
    assert.equal(unscheduled.reason, 'Pending: Unschedulable: no port');
  });

  test('the own container counts, whatever a sidecar does', () => {
    const base = { ...pod({ name: 'x', node: 'n1' }) };
    const stateOf = (main: object, sidecar: object, phase = 'Running'): unknown => {
      const containerStatuses = [
        { name: 'proxy', state: sidecar },
        { name: 'main', state: main },
      ];
      const { isRunning, isOver, lacksImage } = podStateOf({ ...base, status: { phase, containerStatuses } });
      return { isRunning, isOver, lacksImage };
    };
    const no = { isRunning: false, isOver: false, lacksImage: false };
    assert.deepEqual(stateOf({ running: {} }, { running: {} }), { ...no, isRunning: true });
    assert.deepEqual(stateOf({ waiting: { reason: 'PodInitializing' } }, { running: {} }), no);
    assert.deepEqual(stateOf({ terminated: { exitCode: 0 } }, { running: {} }), { ...no, isOver: true });
    assert.deepEqual(stateOf({}, {}, 'Failed'), { ...no, isOver: true });
    for (const reason of ['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName'])
      assert.deepEqual(stateOf({ waiting: { reason } }, {}, 'Pending'), { ...no, lacksImage: true });
  });

  test('endpoints that a Service has by its slices', () => {
    const conditions = { ready: false };
    const slices = [
      {
        ...endpointSlice({
          name: 'a',
          service: 'web',
          endpoints: [endpoint('10.0.0.1'), endpoint('10.0.0.2', { conditions })],
        }),
      },
      { ...endpointSlice({ name: 'b', service: 'db', endpoints: [endpoint('10.0.0.3')] }) },
      { ...endpointSlice({ name: 'c', service: 'empty', endpoints: null }) },
    ];
    assert.deepEqual([...readyEndpoints(slices, 'web')], ['10.0.0.1']);
    assert.deepEqual([...readyEndpoints(slices, 'empty')], []);
  });
});

suite('objects that the test makes', () => {
  const plans = servicePlans(TWO, '198.51.100.7');
  const settings = SETTINGS;

  test('each has the label of the test and of the run', () => {
    const made = [
      namespaceObject('ns', settings),
      keptMark('r'),
      ...plans.map((plan) => serviceObject(plan, 'r')),
      ...serverPods(TWO).map((plan) => podObject(plan, plans, settings)),
    ];
    for (const { metadata } of made) {
      assert.equal(metadata.labels['app.kubernetes.io/managed-by'], 'cellnet-connectivity-test');
      assert.equal(metadata.labels['cellnet-connectivity-test/run'], 'r');
    }
  });

  test('the pods of a Service are those that its selector selects', () => {
    const pods = [...serverPods(TWO), ...clientPods(TWO)];
    for (const plan of plans) {
      const { selector } = serviceObject(plan, 'r').spec as { selector: Record<string, string> };
      const selected = pods.filter((each) => {
        const { labels } = podObject(each, plans, settings).metadata;
        return Object.entries(selector).every(([key, value]) => labels[key] === value);
      });
      assert.deepEqual(selected.map(({ name }) => name).sort(), [...plan.pods].sort(), plan.name);
    }
  });

  test('no pod has more rights than it needs, nor a port of the node that it does not serve at', () => {
    for (const plan of [...serverPods(TWO), ...clientPods(TWO)]) {
      const text = JSON.stringify(podObject(plan, plans, settings).spec);
      assert.match(text, /"runAsNonRoot":true/);
      assert.match(text, /"drop":\["ALL"\]/);
      assert.match(text, /"automountServiceAccountToken":false/);
      assert.equal(text.includes('"hostPort"'), ['host-server', 'published'].includes(plan.name), plan.name);
      assert.equal(text.includes('"hostNetwork":true'), /^host-/.test(plan.name), plan.name);
      assert.equal(text.includes('"ClusterFirstWithHostNet"'), /^host-/.test(plan.name), plan.name);
      assert.match(text, /"activeDeadlineSeconds":1800/);
    }
  });

  test('nothing in the script is a variable to the kubelet', () => {
    assert.doesNotMatch(POD_SCRIPT, /\$\(|\$\$/);
  });
});
