import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compare } from '../../faults/verify.ts';

suite('what a fault run verifies', () => {
  const carried = [
    { containerId: 'a', ips: ['10.0.0.1'] },
    { containerId: 'b', ips: ['10.0.0.2'] },
  ];
  const owners = new Map([
    ['10.0.0.1', 'a'],
    ['10.0.0.2', 'b'],
  ]);

  test('pods whose addresses etcd holds: nothing is wrong', () => {
    assert.deepEqual(compare(carried, owners, []), { twoOwners: [], lost: [] });
  });

  test('an address in two namespaces has two owners', () => {
    const twice = [...carried, { containerId: 'c', ips: ['10.0.0.2'] }];
    assert.deepEqual(compare(twice, owners, []).twoOwners, ['10.0.0.2']);
  });

  test('an address that etcd says another container has, has two owners', () => {
    const other = new Map([...owners, ['10.0.0.1', 'z']]);
    assert.deepEqual(compare(carried, other, []), { twoOwners: ['10.0.0.1'], lost: [] });
  });

  test('an address that etcd does not hold is lost', () => {
    assert.deepEqual(compare(carried, new Map([['10.0.0.1', 'a']]), []).lost, ['10.0.0.2']);
  });

  test('an earlier overlap counts, though it has passed', () => {
    assert.deepEqual(compare(carried, owners, ['10.0.0.9', '10.0.0.9']).twoOwners, ['10.0.0.9']);
  });
});
