import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { lostText, lostTotals, stillLost } from '../../../ipam/audit/lost.ts';
import { formatCidr, parseCidr } from '../../../ipam/model/address.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { decodeCluster, encodeCluster, KUBERNETES_KEY } from '../../../ipam/records/cluster-record.ts';
import { decodeLost, encodeLost, lostKey, type Lost } from '../../../ipam/records/lost-record.ts';
import { readLost } from '../../../ipam/store/lost.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { range, World } from './world.ts';

const subnet = (
  cidr: string,
  attachments: number,
): { cidr: ReturnType<typeof parseCidr>; attachments: number } => ({
  cidr: parseCidr(cidr),
  attachments,
});
const lostOn = (node: string, ...subnets: ReturnType<typeof subnet>[]): Lost['nodes'][number] => ({
  node,
  at: 1_700_000_000_000,
  subnets,
});

suite('records about the cluster and about what nodes lost', () => {
  test('come back as they were written, with what a later release added', () => {
    const cluster = { uid: 'u-1', since: 1_700_000_000_000, unknownFields: { more: 1 } };
    assert.deepEqual(decodeCluster(KUBERNETES_KEY, encodeCluster(cluster)), cluster);
    const lost = { ...lostOn('node-1.cell', subnet('10.20.0.0/22', 12)), unknownFields: { more: [] } };
    assert.deepEqual(decodeLost(lostKey('node-1.cell'), encodeLost(lost)), lost);
  });

  test('are refused by key and field', () => {
    for (const [value, message] of [
      ['x', /etcd key 'lost\/a' holds no JSON/],
      ['{"v":2}', /etcd key 'lost\/a' was written by a newer cellnet/],
      ['{"v":1,"at":"soon","subnets":[]}', /key 'at' is "soon"/],
      [
        '{"v":1,"at":"2026-01-01T00:00:00Z","subnets":[{"cidr":"10.20.0.1/22","attachments":1}]}',
        /host bits/,
      ],
      [
        '{"v":1,"at":"2026-01-01T00:00:00Z","subnets":[{"cidr":"10.20.0.0/22","attachments":-1}]}',
        /attachments/,
      ],
    ] as const)
      assert.throws(() => decodeLost('lost/a', value), message);
    assert.throws(
      () => decodeCluster(KUBERNETES_KEY, '{"v":1,"uid":"","since":"2026-01-01T00:00:00Z"}'),
      /key 'uid'/,
    );
  });

  test('one that cannot be read hides no other', async () => {
    const store = new MemoryStore();
    const good = lostOn('b', subnet('10.20.0.0/22', 2));
    await store.commit([], [put(lostKey('a'), '{}'), put(lostKey('b'), encodeLost(good))]);
    const { nodes, unreadable } = await readLost(store);
    assert.deepEqual(nodes, [good]);
    assert.deepEqual(
      unreadable.map(({ key }) => key),
      [lostKey('a')],
    );
  });
});

suite('what nodes lost', () => {
  const lost: Lost = {
    nodes: [
      lostOn('b', subnet('10.20.0.0/22', 1)),
      lostOn('a', subnet('10.20.0.0/22', 2), subnet('10.30.0.0/24', 5)),
    ],
    unreadable: [],
  };

  test('is over where a range has the whole subnet again', () => {
    assert.deepEqual(stillLost(lost, [range('10.20.0.0/22')]).nodes, [
      lostOn('a', subnet('10.30.0.0/24', 5)),
    ]);
    assert.deepEqual(stillLost(lost, [range('10.20.0.0/16')]).nodes.length, 1);
    assert.deepEqual(stillLost(lost, [range('10.20.0.0/24')]).nodes.length, 2, 'only a part of it');
  });

  test('is summed by subnet, and said with its nodes', () => {
    assert.deepEqual(lostTotals(lost).map(lostText), [
      '3 attachments on a, b have addresses of 10.20.0.0/22',
      '5 attachments on a have addresses of 10.30.0.0/24',
    ]);
    const within = (cidr: string): string[] =>
      lostTotals(lost, parseCidr(cidr)).map((each) => formatCidr(each.cidr));
    assert.deepEqual(within('10.20.3.0/24'), ['10.20.0.0/22']);
    assert.deepEqual(within('10.0.0.0/8').length, 2);
    assert.deepEqual(within('10.40.0.0/24'), []);
    const many = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => lostOn(name, subnet('10.20.0.0/22', 1)));
    assert.match(lostTotals({ nodes: many }).map(lostText).join(), /on a, b, c, d, e and 2 more nodes have/);
  });

  test('refuses a range that overlaps with it, not another, and not one that is to recover it', async () => {
    const { ipam, store } = new World();
    await store.commit([], [put(lostKey('a'), encodeLost(lostOn('a', subnet('10.20.0.0/22', 2))))]);
    await assert.rejects(
      addRange(ipam, range('10.20.2.0/24')),
      /2 attachments on a have addresses of 10\.20\.0\.0\/22/,
    );
    await addRange(ipam, range('10.40.0.0/24'));
    await store.commit([], [put(lostKey('b'), 'x')]);
    await assert.rejects(
      addRange(ipam, range('10.50.0.0/24')),
      /what nodes lost cannot be read: etcd key 'lost\/b'/,
    );
    await addRange(ipam, range('10.20.0.0/22'), { recover: true });
  });

  test('refuses also when a node says so between the look and the write', async () => {
    const { ipam, store } = new World();
    store.before = async (request) => {
      if (request !== 'commit') return;
      store.before = () => Promise.resolve();
      await store.commit([], [put(lostKey('a'), encodeLost(lostOn('a', subnet('10.20.0.0/22', 2))))]);
    };
    await assert.rejects(addRange(ipam, range('10.20.0.0/22')), /which etcd forgot/);
  });
});
