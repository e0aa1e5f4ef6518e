import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress, parseAddress } from '../../../ipam/address.ts';
import { audit, confirm, type Audit, type AuditedAllocation, type AuditedPod } from '../../../ipam/audit.ts';
import type { Owner } from '../../../ipam/block.ts';
import { owner } from './world.ts';

const allocation = (ip: string, more: Partial<Owner> = {}, sequence = 1): AuditedAllocation => ({
  address: parseAddress(ip),
  node: 'node-1',
  range: 'blue',
  slot: {
    state: 'used',
    owner: owner(`c-${ip}`, { podNamespace: 'default', podName: 'web-1', podUid: 'uid-1', ...more }),
    allocatedAt: 0,
    sequence,
  },
});
const pod = (more: Partial<AuditedPod> = {}): AuditedPod => ({
  namespace: 'default',
  name: 'web-1',
  uid: 'uid-1',
  nodeName: 'node-1',
  phase: 'Running',
  hostNetwork: false,
  podIPs: ['10.20.0.17'],
  ...more,
});
const isOurs = (ip: string): boolean => ip.startsWith('10.20.');
const look = (allocations: AuditedAllocation[], pods: AuditedPod[]): Audit =>
  audit(allocations, pods, isOurs);
const reasons = (found: Audit): string[] =>
  found.leaked.map(({ allocation: { address }, reason }) => `${formatAddress(address)} ${reason}`);
const withoutPod = (ip: string): AuditedAllocation => ({
  ...allocation(ip),
  slot: { state: 'used', owner: owner('c'), allocatedAt: 0, sequence: 1 },
});

suite('audit', () => {
  test('a living pod keeps its address, whatever its phase says short of its end', () => {
    for (const phase of ['Pending', 'Running', 'Unknown']) {
      const found = look([allocation('10.20.0.17')], [pod({ phase })]);
      assert.deepEqual([found.leaked, found.unknown, found.missing], [[], [], []]);
    }
  });

  test('a pod that reports no address yet is no leak', () => {
    assert.deepEqual(reasons(look([allocation('10.20.0.17')], [pod({ podIPs: [] })])), []);
  });

  test('a pod that is gone, finished, or on the host network has leaked its address', () => {
    assert.deepEqual(reasons(look([allocation('10.20.0.17')], [])), ['10.20.0.17 pod-gone']);
    for (const phase of ['Succeeded', 'Failed'])
      assert.deepEqual(reasons(look([allocation('10.20.0.17')], [pod({ phase })])), [
        '10.20.0.17 pod-finished',
      ]);
    assert.deepEqual(reasons(look([allocation('10.20.0.17')], [pod({ hostNetwork: true })])), [
      '10.20.0.17 host-network',
    ]);
  });

  test('a StatefulSet pod made again under its name does not own the address of the former', () => {
    const found = look(
      [allocation('10.20.0.17'), allocation('10.20.0.18', { podUid: 'uid-2' })],
      [pod({ uid: 'uid-2', podIPs: ['10.20.0.18'] })],
    );
    assert.deepEqual(reasons(found), ['10.20.0.17 pod-replaced']);
    assert.deepEqual(found.missing, []);
  });

  test("a static pod is known by the kubelet's hash", () => {
    const found = look(
      [allocation('10.20.0.17', { podUid: 'hash-1' })],
      [pod({ uid: 'mirror', configHash: 'hash-1' })],
    );
    assert.deepEqual([found.leaked, found.missing], [[], []]);
  });

  test('without a UID the name decides; without both nothing does', () => {
    const named = allocation('10.20.0.17');
    const nameOnly = owner('c', { podNamespace: 'default', podName: 'web-1' });
    const byName = { ...named, slot: { ...named.slot, owner: nameOnly } };
    assert.deepEqual(reasons(look([byName], [pod({ uid: 'any' })])), []);
    assert.deepEqual(reasons(look([byName], [])), ['10.20.0.17 pod-gone']);
    const found = look([withoutPod('10.20.0.17')], []);
    assert.deepEqual([found.leaked.length, found.unknown.length], [0, 1]);
  });

  test('missing: a running pod whose address etcd does not hold, or holds for another', () => {
    assert.deepEqual(
      look([], [pod()]).missing.map(({ ip, heldBy }) => [ip, heldBy]),
      [['10.20.0.17', undefined]],
    );
    const stolen = look(
      [allocation('10.20.0.17', { podUid: 'uid-2', podName: 'other' })],
      [pod(), pod({ uid: 'uid-2', name: 'other', podIPs: [] })],
    );
    assert.equal(stolen.missing[0]?.heldBy?.slot.owner.podName, 'other');
  });

  test('not missing: host network, not running, an address of another network, a holder that names no pod', () => {
    for (const each of [
      pod({ hostNetwork: true }),
      pod({ phase: 'Pending' }),
      pod({ phase: 'Succeeded' }),
      pod({ podIPs: ['192.168.0.1'] }),
    ]) {
      assert.deepEqual(look([], [each]).missing, []);
    }
    assert.deepEqual(look([withoutPod('10.20.0.17')], [pod()]).missing, []);
  });

  test('only what both observations found is confirmed, and an address that changed hands is not the same', () => {
    const first = look([allocation('10.20.0.17'), allocation('10.20.0.18'), allocation('10.20.0.19')], []);
    const second = look(
      [allocation('10.20.0.17'), allocation('10.20.0.18', {}, 2), allocation('10.20.0.20')],
      [],
    );
    assert.deepEqual(reasons(confirm(first, second)), ['10.20.0.17 pod-gone']);
    const missing = confirm(look([], [pod()]), look([], [pod({ uid: 'uid-2' })]));
    assert.deepEqual(missing.missing, []);
    assert.equal(confirm(look([], [pod()]), look([], [pod()])).missing.length, 1);
  });
});
