import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../../ipam/model/address.ts';
import { AddressUsers } from '../../../../cni/services/address-users.ts';

test('who uses an address, counted', () => {
  const users = new AddressUsers();
  const at = parseAddress('10.20.0.1');
  assert.equal(users.add(at, 'a'), true);
  assert.equal(users.add(at, 'b'), false);
  assert.equal(users.add(at, 'a'), false);
  assert.deepEqual(users.of(at), new Set(['a', 'b']));
  assert.equal(users.remove(at, 'a'), false);
  assert.deepEqual(users.of(at), new Set(['a', 'b']));
  assert.equal(users.remove(at, 'c'), false);
  assert.equal(users.remove(at, 'a'), false);
  assert.equal(users.remove(at, 'a'), false);
  assert.equal(users.remove(at, 'b'), true);
  assert.deepEqual([users.has(at), users.of(at), users.remove(at, 'b')], [false, new Set(), false]);
});

test('an IPv6 address with the number of an IPv4 one is another', () => {
  const users = new AddressUsers();
  users.add(parseAddress('0.0.0.5'), 'a');
  assert.deepEqual([users.has(parseAddress('0.0.0.5')), users.has(parseAddress('::5'))], [true, false]);
});
