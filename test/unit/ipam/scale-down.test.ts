import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isDue, isTold, KeptPods, type KeptTerms, type Unneeded } from '../../../ipam/audit/kept-pods.ts';
import {
  ordinalName,
  StatefulSets,
  unmadeBy,
  type AuditedStatefulSet,
} from '../../../ipam/audit/scale-down.ts';
import { formatAddress, parseAddress, parseCidr } from '../../../ipam/model/address.ts';
import { newBlock, type Block, type KeptSlot, type Slot } from '../../../ipam/model/block.ts';
import { markScaledDown } from '../../../ipam/model/kept-slot.ts';
import { decodeBlock, encodeBlock } from '../../../ipam/records/block-record.ts';
import { blockKey } from '../../../ipam/records/keys.ts';
import { rule } from '../../support/rule.ts';
import { range } from './world.ts';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-01-10T00:00:00Z');

const set = (name: string, more: Partial<AuditedStatefulSet> = {}): AuditedStatefulSet => ({
  ...{ namespace: 'shop', name, uid: `uid-${name}`, replicas: 3, start: 0, isEnding: false },
  ...more,
});

const keptSlot = (name: string, sequence: number, more: Partial<KeptSlot> = {}): KeptSlot => ({
  state: 'kept',
  pod: { namespace: 'shop', name, ifname: 'eth0' },
  keep: { rule: 'db', since: NOW - 100 * HOUR },
  keptAt: NOW - 50 * HOUR,
  sequence,
  ...more,
});

/** Returns a block whose addresses from .1 on have these slots. */
function blockOf(...slots: Slot[]): Block {
  const blue = range('10.20.0.0/24', { name: 'blue' });
  const block = newBlock(blue, parseCidr('10.20.0.0/28'), 'n1', 0, 20);
  return { ...block, slots: block.slots.map((slot, i) => slots[i - 1] ?? slot) };
}
const KEY = blockKey('blue', parseCidr('10.20.0.0/28'));

suite('StatefulSets that were scaled down', () => {
  test('the name of a pod tells its set and its number', () => {
    assert.deepEqual(ordinalName('pg-3'), { set: 'pg', ordinal: 3 });
    assert.deepEqual(ordinalName('pg-1-0'), { set: 'pg-1', ordinal: 0 });
    assert.deepEqual(ordinalName('a-b-c-12'), { set: 'a-b-c', ordinal: 12 });
    assert.deepEqual(ordinalName('web.shop-0'), { set: 'web.shop', ordinal: 0 });
    // What no controller writes.
    for (const name of ['pg', 'pg-', '-3', 'pg-03', 'pg-3x', 'pg-3-', 'pg3', 'pg-1234567890'])
      assert.equal(ordinalName(name), undefined, name);
  });

  for (const [what, sets, name, reason] of [
    ['the last replica', [set('pg')], 'pg-2', undefined],
    ['the first', [set('pg')], 'pg-0', undefined],
    ['beyond the last', [set('pg')], 'pg-3', 'scaled-down'],
    ['far beyond it', [set('pg')], 'pg-30', 'scaled-down'],
    ['no replicas at all: at rest', [set('pg', { replicas: 0 })], 'pg-0', undefined],
    ['a set that ends', [set('pg', { isEnding: true })], 'pg-7', undefined],
    ['no such set', [], 'pg-0', 'orphaned'],
    ['a set of the name in another namespace', [set('pg', { namespace: 'other' })], 'pg-0', 'orphaned'],
    ['a name without a number', [set('pg')], 'pg', undefined],
    ['numbers that begin at 5: within', [set('pg', { start: 5 })], 'pg-7', undefined],
    ['numbers that begin at 5: below', [set('pg', { start: 5 })], 'pg-2', 'scaled-down'],
    ['numbers that begin at 5: beyond', [set('pg', { start: 5 })], 'pg-8', 'scaled-down'],
    ['a dash in the name', [set('pg'), set('pg-1', { replicas: 1 })], 'pg-1-0', undefined],
    ['a dash in the name: beyond', [set('pg'), set('pg-1', { replicas: 1 })], 'pg-1-1', 'scaled-down'],
    ['a dash in the name: not of the shorter one', [set('pg')], 'pg-1-0', 'orphaned'],
  ] as const)
    test(`${what}: ${name} is ${reason ?? 'made, or nothing tells'}`, () => {
      assert.equal(unmadeBy(new StatefulSets(sets), { namespace: 'shop', name })?.reason, reason);
    });

  const keeping = rule('db', { keep: {} });
  const judge = (
    block: Block,
    { sets = [set('pg', { replicas: 1 })], rules = [keeping], pods = [] as string[] } = {},
  ): string[] => {
    const kept = new KeptPods();
    kept.addBlock(KEY, block, NOW);
    kept.restartPods();
    for (const name of pods) kept.addPod({ namespace: 'shop', name });
    const { unneeded, pardoned } = kept.judge(new StatefulSets(sets), rules);
    return [
      ...unneeded.map(({ kept: { address }, reason }) => `${formatAddress(address)} ${reason}`),
      ...pardoned.map(({ address }) => `${formatAddress(address)} pardoned`),
    ];
  };

  test('only what is kept by name, now, by a rule that keeps and may be for StatefulSets', () => {
    const block = blockOf(keptSlot('pg-0', 1), keptSlot('pg-1', 2), keptSlot('db-0', 3));
    assert.deepEqual(judge(block), ['10.20.0.2 scaled-down', '10.20.0.3 orphaned']);
    assert.deepEqual(judge(block, { pods: ['pg-1', 'db-0'] }), [], 'a pod of the name exists');
    assert.deepEqual(judge(block, { rules: [] }), [], 'the rule is gone, or cannot be read');
    assert.deepEqual(judge(block, { rules: [rule('db')] }), [], 'it keeps no more');
    assert.deepEqual(judge(block, { rules: [rule('db', { keep: { anyPod: true } })] }), []);
    assert.deepEqual(judge(block, { rules: [{ ...keeping, ownerKind: 'Cluster' }] }), []);
    assert.equal(judge(block, { rules: [{ ...keeping, ownerKind: 'StatefulSet' }] }).length, 2);
    const keep = { rule: 'db', since: 0 };
    const ended = keptSlot('pg-1', 1, { keep: { ...keep, forMs: HOUR } });
    const spare = keptSlot('pg-1', 2, { keep: { ...keep, anyPod: true } });
    assert.deepEqual(judge(blockOf(ended, spare)), []);
  });

  test('the list of pods that begins again forgets those of before', () => {
    const kept = new KeptPods();
    kept.addBlock(KEY, blockOf(keptSlot('pg-1', 1)), NOW);
    kept.restartPods();
    kept.addPod({ namespace: 'shop', name: 'pg-1' });
    kept.restartPods();
    const { unneeded } = kept.judge(new StatefulSets([set('pg', { replicas: 1 })]), [keeping]);
    assert.equal(unneeded.length, 1);
  });

  test('a mark is taken off where the pod may come again, and where the set is gone', () => {
    const marked = blockOf(keptSlot('pg-1', 1, { scaledDownAt: NOW - HOUR }));
    assert.deepEqual(judge(marked), ['10.20.0.1 scaled-down']);
    assert.deepEqual(judge(marked, { sets: [set('pg')] }), ['10.20.0.1 pardoned']);
    assert.deepEqual(judge(marked, { sets: [set('pg', { replicas: 0 })] }), ['10.20.0.1 pardoned']);
    assert.deepEqual(judge(marked, { pods: ['pg-1'] }), ['10.20.0.1 pardoned']);
    assert.deepEqual(judge(marked, { sets: [] }), ['10.20.0.1 orphaned', '10.20.0.1 pardoned']);
  });

  test('when it is due', () => {
    const terms = (afterMs: number, orphaned = false): KeptTerms => ({ afterMs, orphaned });
    const kept = (more: Partial<KeptSlot>): Unneeded['kept'] => ({
      ...{ address: parseAddress('10.20.0.1'), range: 'blue', node: 'n1', blockKey: KEY },
      slot: keptSlot('pg-3', 1, more),
    });
    const scaled = (scaledDownAt?: number): Unneeded => ({
      ...{ reason: 'scaled-down', set: set('pg') },
      kept: kept(scaledDownAt === undefined ? {} : { scaledDownAt }),
    });
    // Kept for 50 hours, as when the set was at rest: nobody has counted yet.
    assert.equal(isDue(scaled(), terms(24 * HOUR), NOW), false);
    assert.equal(isDue(scaled(NOW - 23 * HOUR), terms(24 * HOUR), NOW), false);
    assert.equal(isDue(scaled(NOW - 24 * HOUR), terms(24 * HOUR), NOW), true);
    assert.equal(isDue(scaled(NOW + HOUR), terms(HOUR), NOW), false, 'by a clock that is ahead');
    assert.equal(isDue(scaled(), terms(0), NOW), true, 'the operator does not want it counted');
    const orphan = (keptAt: number): Unneeded => ({
      ...{ reason: 'orphaned', setName: 'pg', kept: kept({ keptAt }) },
    });
    assert.equal(isTold(orphan(NOW - HOUR), terms(24 * HOUR), NOW), false, 'it may be made again');
    assert.equal(isTold(orphan(NOW - 25 * HOUR), terms(24 * HOUR), NOW), true);
    assert.equal(isDue(orphan(NOW - 25 * HOUR), terms(24 * HOUR), NOW), false, 'nobody asked for it');
    assert.equal(isDue(orphan(NOW - 25 * HOUR), terms(24 * HOUR, true), NOW), true);
    assert.equal(isDue(orphan(NOW - HOUR), terms(24 * HOUR, true), NOW), false);
  });

  test('the mark is written and read, and changes only the slot that it was meant for', () => {
    const before = blockOf(keptSlot('pg-3', 7, { unknownFields: { later: 1 } }));
    const address = parseAddress('10.20.0.1');
    const marked = markScaledDown(before, address, 7, NOW);
    assert.match(encodeBlock(marked), /"scaledDownAt":"2026-01-10T00:00:00.000Z"/);
    assert.deepEqual(decodeBlock(KEY, encodeBlock(marked)), marked);
    assert.equal(markScaledDown(marked, address, 7, NOW), marked);
    assert.deepEqual(markScaledDown(marked, address, 7, undefined), before);
    assert.equal(markScaledDown(before, address, 6, NOW), before, 'another keeping of the address');
    assert.equal(markScaledDown(before, parseAddress('10.20.0.2'), 7, NOW), before);
  });
});
