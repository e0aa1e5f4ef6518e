import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWritable, keysOfNode } from '../../../ipam/node/writable.ts';
import { put } from '../../../ipam/records/transaction.ts';
import { MemoryStore } from '../../support/memory-store.ts';

test('the question whether etcd takes writes changes nothing, whatever it holds', async () => {
  const store = new MemoryStore();
  const [machine = '', , block = ''] = keysOfNode('n');
  await checkWritable(store, keysOfNode('n'));
  assert.equal(store.entries.size, 0);
  // Revision 1, which the guards name too.
  await store.commit([], [put(machine, 'one'), put(block, 'two')]);
  const before = [...store.entries];
  await checkWritable(store, keysOfNode('n'));
  await checkWritable(store, [block]);
  assert.deepEqual([...store.entries], before);
});
