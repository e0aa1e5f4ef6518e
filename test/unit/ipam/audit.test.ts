import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  indexPods,
  isHolder,
  isSupersededBy,
  judge,
  type AuditedAllocation,
  type AuditedPod,
} from '../../../ipam/audit/judge.ts';
import { PodAudit } from '../../../ipam/audit/pod-audit.ts';
import { formatAddress, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import type { Owner } from '../../../ipam/model/attachment.ts';
import { newBlock, type Block } from '../../../ipam/model/block.ts';
import { blockAt } from '../../../ipam/model/range.ts';
import { blockKey } from '../../../ipam/records/keys.ts';
import { owner, range } from './world.ts';

const BLUE = range('10.20.0.0/22', { name: 'blue', gateway: '10.20.0.1' });
const KEY = blockKey('blue', parseCidr('10.20.0.16/28'));

const allocation = (ip: string, more: Partial<Owner> = {}, sequence = 1): AuditedAllocation => ({
  address: parseAddress(ip),
  node: 'node-1',
  range: 'blue',
  blockKey: KEY,
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
  hasRunningContainer: (more.phase ?? 'Running') === 'Running',
  hostNetwork: false,
  podIPs: ['10.20.0.17'],
  createdAt: '2026-01-01T00:00:00Z',
  ...more,
});
const withoutPod = (ip: string): AuditedAllocation => ({
  ...allocation(ip),
  slot: { state: 'used', owner: owner('c'), allocatedAt: 0, sequence: 1 },
});

/**
 * Looks once at allocations and pods, as `check` does. The pod audit suspects, and the verdict on
 * the same data gives the reason.
 */
const look = (
  allocations: readonly AuditedAllocation[],
  pods: readonly AuditedPod[],
): { leaked: string[]; unknown: number; missing: string[]; disputes: string[] } => {
  const census = new PodAudit([BLUE]);
  const blocks = new Map<string, Block>();
  for (const { address, node, slot } of allocations) {
    const cidr = blockAt(BLUE, address);
    const key = blockKey('blue', cidr);
    const block = blocks.get(key) ?? newBlock(BLUE, cidr, node, 0);
    const index = Number(address.value - cidr.base.value);
    blocks.set(key, { ...block, slots: block.slots.with(index, slot) });
  }
  for (const [key, block] of blocks) census.addBlock(key, block);
  census.restartPods();
  for (const each of pods) census.addPod(each);
  const index = indexPods(pods);
  const leaked = [...census.suspicions()].map(({ mark, supersededBy }) => {
    const slot = blocks.get(mark.blockKey)?.slots[mark.index];
    assert.equal(slot?.state, 'used');
    const base = blocks.get(mark.blockKey)?.cidr.base ?? parseAddress('::');
    const address = formatAddress({ ...base, value: base.value + BigInt(mark.index) });
    const verdict = judge({ slot }, index);
    return `${address} ${supersededBy ? 'superseded' : verdict.kind === 'leaked' ? verdict.reason : verdict.kind}`;
  });
  return {
    leaked,
    unknown: census.unknown.length,
    missing: census.claims.map(({ ip, pod: { name } }) => `${ip} ${name}`),
    disputes: census.disputes().map(({ ip, pods: all, holder }) => `${ip} ${all.length + (holder ? 1 : 0)}`),
  };
};

suite('one look', () => {
  test('a living pod keeps its address, whatever its phase says short of its end', () => {
    for (const phase of ['Pending', 'Running', 'Unknown']) {
      const found = look([allocation('10.20.0.17')], [pod({ phase })]);
      assert.deepEqual(found, { leaked: [], unknown: 0, missing: [], disputes: [] });
    }
  });

  test('a pod that reports no address yet is no leak', () => {
    assert.deepEqual(look([allocation('10.20.0.17')], [pod({ podIPs: [] })]).leaked, []);
  });

  test('a pod that is gone, finished, or on the host network has leaked its address', () => {
    assert.deepEqual(look([allocation('10.20.0.17')], []).leaked, ['10.20.0.17 pod-gone']);
    for (const phase of ['Succeeded', 'Failed'])
      assert.deepEqual(look([allocation('10.20.0.17')], [pod({ phase })]).leaked, [
        '10.20.0.17 pod-finished',
      ]);
    const onHost = look([allocation('10.20.0.17')], [pod({ hostNetwork: true })]);
    assert.deepEqual(onHost.leaked, ['10.20.0.17 host-network']);
  });

  test('a pod whose phase says Failed while a container still runs keeps its address', () => {
    for (const phase of ['Succeeded', 'Failed']) {
      const ending = pod({ phase, hasRunningContainer: true });
      assert.deepEqual(look([allocation('10.20.0.17')], [ending]).leaked, []);
      assert.deepEqual(look([], [ending]).missing, ['10.20.0.17 web-1'], 'it uses the address');
    }
  });

  test('a Terminating pod keeps its address until its DEL; what it lists then is no claim', () => {
    const ending = pod({ deletionTimestamp: '2026-01-01T00:10:00Z' });
    assert.deepEqual(look([allocation('10.20.0.17')], [ending]).leaked, []);
    assert.deepEqual(look([], [ending]).missing, []);
    const next = pod({ uid: 'uid-2', name: 'web-2' });
    const given = allocation('10.20.0.17', { podName: 'web-2', podUid: 'uid-2' });
    const found = look([given], [ending, next]);
    assert.deepEqual(found, { leaked: [], unknown: 0, missing: [], disputes: [] });
  });

  test('a StatefulSet pod made again under its name does not own the address of the former', () => {
    const found = look(
      [allocation('10.20.0.17'), allocation('10.20.0.18', { podUid: 'uid-2' })],
      [pod({ uid: 'uid-2', podIPs: ['10.20.0.18'] })],
    );
    assert.deepEqual(found.leaked, ['10.20.0.17 pod-replaced']);
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
    assert.deepEqual(look([byName], [pod({ uid: 'any' })]).leaked, []);
    assert.deepEqual(look([byName], []).leaked, ['10.20.0.17 pod-gone']);
    const found = look([withoutPod('10.20.0.17')], []);
    assert.deepEqual([found.leaked.length, found.unknown], [0, 1]);
  });

  test('missing: a running pod whose address etcd does not hold, or holds for another', () => {
    assert.deepEqual(look([], [pod()]).missing, ['10.20.0.17 web-1']);
    const stolen = look(
      [allocation('10.20.0.17', { podUid: 'uid-2', podName: 'other' })],
      [pod(), pod({ uid: 'uid-2', name: 'other', podIPs: [] })],
    );
    assert.deepEqual(stolen, { leaked: [], unknown: 0, missing: ['10.20.0.17 web-1'], disputes: [] });
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

  test('in dispute: an address that two running pods have, whoever of them etcd gave it to', () => {
    const other = pod({ uid: 'uid-2', name: 'other' });
    const gone = pod({ uid: 'uid-3', name: 'done', phase: 'Succeeded' });
    assert.deepEqual(look([], [pod(), other, gone]).disputes, ['10.20.0.17 2']);
    assert.deepEqual(look([allocation('10.20.0.17')], [other, pod()]).disputes, ['10.20.0.17 2']);
    assert.deepEqual(look([withoutPod('10.20.0.17')], [other, pod()]).disputes, ['10.20.0.17 2']);
    assert.deepEqual(look([allocation('10.20.0.17')], [pod()]).disputes, []);
    assert.deepEqual(look([], [other]).disputes, []);
  });

  test('a list of pods that begins anew forgets what was said before', () => {
    const census = new PodAudit([BLUE]);
    const block = newBlock(BLUE, parseCidr('10.20.0.16/28'), 'node-1', 0);
    census.addBlock(KEY, { ...block, slots: block.slots.with(1, allocation('10.20.0.17').slot) });
    census.restartPods();
    census.addPod(pod());
    census.addPod(pod({ uid: 'uid-2', name: 'other' }));
    census.restartPods();
    assert.equal(census.pods, 0);
    assert.deepEqual([[...census.suspicions()].length, census.claims, census.disputes()], [1, [], []]);
  });

  test('nothing in a block that cannot be relied on is leaked, nor missing', () => {
    const census = new PodAudit([BLUE]);
    census.addOpaque(KEY);
    census.restartPods();
    census.addPod(pod());
    assert.deepEqual([[...census.suspicions()], census.claims], [[], []]);
  });
});

suite('one machine with two names', () => {
  const aliasesOf = (given: AuditedAllocation, each: AuditedPod): string[] => {
    const audit = new PodAudit([BLUE]);
    const block = newBlock(BLUE, parseCidr('10.20.0.16/28'), 'node-1', 0);
    audit.addBlock(KEY, { ...block, slots: block.slots.with(1, given.slot) });
    audit.restartPods();
    audit.addPod(each);
    return audit.aliases.map(({ node, clusterNode, pod: name }) => `${node} ${clusterNode} ${name}`);
  };
  const given = allocation('10.20.0.17');
  const byName = { podNamespace: 'default', podName: 'web-1' };
  const named = { ...given, slot: { ...given.slot, owner: owner('c', byName) } };

  test('is proven by a living pod that has an address of its block', () => {
    const there = pod({ nodeName: 'worker-7' });
    assert.deepEqual(aliasesOf(given, there), ['node-1 worker-7 default/web-1']);
    assert.deepEqual(aliasesOf(given, { ...there, podIPs: [] }), ['node-1 worker-7 default/web-1']);
    assert.deepEqual(aliasesOf(named, there), ['node-1 worker-7 default/web-1']);
  });

  test('is not proven by capitals, a domain, an ended or another pod, or one not scheduled yet', () => {
    for (const nodeName of ['node-1', 'NODE-1', 'node-1.example.com'])
      assert.deepEqual(aliasesOf(given, pod({ nodeName })), [], nodeName);
    const there = pod({ nodeName: 'worker-7' });
    assert.deepEqual(aliasesOf(given, { ...there, phase: 'Failed', hasRunningContainer: false }), []);
    assert.deepEqual(aliasesOf(given, { ...there, uid: 'uid-2' }), []);
    assert.deepEqual(aliasesOf(named, { ...there, podIPs: [] }), [], 'it may be made again there');
    const { nodeName: _, ...unscheduled } = there;
    assert.deepEqual(aliasesOf(given, unscheduled), []);
  });
});

suite('a superseded sandbox', () => {
  const sandbox = (ip: string, n: number, more: Partial<Owner> = {}): AuditedAllocation => {
    const each = allocation(ip, { containerId: `c${n}`, ...more }, n);
    return { ...each, slot: { ...each.slot, allocatedAt: n * 1000 } };
  };
  const older = sandbox('10.20.0.17', 1);
  const newer = sandbox('10.20.0.18', 2);
  const living = pod({ podIPs: ['10.20.0.18'] });

  test('is the older, where its pod says that it has the address of the newer', () => {
    assert.equal(isSupersededBy(older, newer, living), true);
    assert.deepEqual(look([older, newer], [living]).leaked, ['10.20.0.17 superseded']);
  });

  test('is neither, where the witnesses disagree or say nothing', () => {
    const clockSetBack = { ...newer, slot: { ...newer.slot, allocatedAt: 500 } };
    const laterInBlock = { ...older, slot: { ...older.slot, sequence: 3 } };
    for (const [what, a, b, of] of [
      ['the pod names the older', older, newer, pod({ podIPs: ['10.20.0.17'] })],
      ['the pod names both', older, newer, pod({ podIPs: ['10.20.0.17', '10.20.0.18'] })],
      ['the pod names none', older, newer, pod({ podIPs: [] })],
      [
        'the pod does not run',
        older,
        newer,
        pod({ ...living, phase: 'Pending', hasRunningContainer: false }),
      ],
      ['the clock says otherwise', older, clockSetBack, living],
      ['the sequence says otherwise', laterInBlock, newer, living],
      ['another interface', sandbox('10.20.0.17', 1, { ifname: 'net1' }), newer, living],
      ['another network', sandbox('10.20.0.17', 1, { network: 'other' }), newer, living],
      ['the same container', sandbox('10.20.0.17', 1, { containerId: 'c2' }), newer, living],
      ['another node', { ...older, node: 'node-2' }, newer, living],
    ] as const) {
      assert.equal(isSupersededBy(a, b, of), false, what);
      if (what !== 'another node') assert.deepEqual(look([a, b], [of]).leaked, [], what);
    }
  });

  test('of a pod that is known by its name only is not told', () => {
    const nameOnly = owner('c1', { podNamespace: 'default', podName: 'web-1' });
    const byName = { ...older, slot: { ...older.slot, owner: nameOnly } };
    assert.equal(isSupersededBy(byName, newer, living), false);
  });

  test('the holder of an address is who its allocation names, as far as it names anybody', () => {
    assert.equal(isHolder(older, living), true);
    assert.equal(isHolder(older, pod({ uid: 'uid-2' })), false);
    assert.equal(isHolder(withoutPod('10.20.0.17'), pod({ uid: 'uid-2' })), true);
  });
});
