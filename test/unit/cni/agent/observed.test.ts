import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { observedStore, observedSwitch } from '../../../../cni/agent/observed.ts';
import { absent, del, put } from '../../../../ipam/records/transaction.ts';
import { scanAll } from '../../../../ipam/store/store.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import type { Switch } from '../../../../cni/platform/switch.ts';

suite('what the agent observes', () => {
  test('each request to the store, whatever it is; the outcome stays as it was', async () => {
    const memory = new MemoryStore();
    const ends: unknown[] = [];
    const wrote: unknown[] = [];
    const store = observedStore(
      memory,
      (error) => void ends.push(error),
      (error) => void wrote.push(error),
    );
    assert.ok(await store.commit([absent('a')], [put('a', '1')]));
    assert.equal((await store.get(['a']))[0]?.value, '1');
    assert.equal((await scanAll(store, '')).length, 1);
    assert.deepEqual(await store.count(['']), [1]);
    assert.deepEqual(ends, [undefined, undefined, undefined, undefined]);
    const failure = new Error('away');
    memory.before = () => Promise.reject(failure);
    for (const asked of [store.get(['a']), scanAll(store, ''), store.count(['']), store.commit([], [])])
      await assert.rejects(asked, failure);
    assert.deepEqual(ends.slice(4), [failure, failure, failure, failure]);
    // etcd takes deletes even when it is full: only what puts a key proves that it takes writes.
    await assert.rejects(store.commit([], [del('a')]), failure);
    assert.deepEqual(wrote, [undefined]);
    await assert.rejects(store.commit([], [del('a'), put('b', '1')]), failure);
    assert.deepEqual(wrote, [undefined, failure]);
  });

  test('a port that came up, and an answer to STATUS, tell of ovs-vswitchd', async () => {
    const ends: unknown[] = [];
    const forwards: boolean[] = [];
    const failure = new Error('not taken up');
    let fails = false;
    const bare: Switch = {
      inspectBridge: () => Promise.resolve(undefined),
      isServed: () => Promise.resolve(!fails),
      createBridge: () => Promise.resolve(),
      addPort: () => (fails ? Promise.reject(failure) : Promise.resolve()),
      markPort: () => Promise.resolve(),
      removePort: () => Promise.resolve('absent'),
      findPorts: () => Promise.resolve([]),
      close: () => undefined,
    };
    const ovs = observedSwitch(
      bare,
      (error) => void ends.push(error),
      (does) => void forwards.push(does),
    );
    const port = {
      bridge: 'br-cell',
      name: 'p',
      tag: undefined,
      trunks: [],
      ofportRequest: undefined,
      externalIds: {},
    };
    await ovs.addPort(port);
    await ovs.isServed();
    assert.equal(await ovs.removePort('c', 'eth0'), 'absent');
    fails = true;
    await assert.rejects(ovs.addPort(port), failure);
    await ovs.isServed();
    assert.deepEqual(ends, [undefined, undefined, undefined, failure, undefined]);
    assert.deepEqual(forwards, [true, true, false]);
  });
});
