import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { finishDeferred } from '../../../cni/deferred/deferred.ts';
import { NodeState } from '../../../cni/host/node-state.ts';
import { OvsdbError } from '../../../cni/ovsdb/errors.ts';
import type { Platform } from '../../../cni/platform/platform.ts';
import { useFakeNode } from './fake-platform.ts';

suite('deferred teardowns', () => {
  const node = useFakeNode();
  const defer = (containerId: string, ovsdb: string, etcd: string): void =>
    new NodeState(node.dir, (what) => assert.fail(what)).savePending({
      v: 1,
      network: 'cell',
      containerId,
      ifname: 'eth0',
      etcd: { endpoints: [etcd] },
      node: 'n',
      bridge: 'br-cell',
      ovsdb,
      createdAt: 1,
      until: 2,
      wire: true,
    });
  /** A platform whose Open vSwitch at `unix:/hung.sock` does not answer. It notes each try. */
  const withHung = (): { readonly platform: Platform; readonly tries: number[] } => {
    const { world } = node.fake;
    const fine = node.fake.platform();
    const tries: number[] = [];
    const openSwitch: Platform['openSwitch'] = (at, expiresAt) => {
      if (at.ovsdb !== 'unix:/hung.sock') return fine.openSwitch(at, expiresAt);
      tries.push(expiresAt - world.now);
      world.now = expiresAt;
      return Promise.reject(new OvsdbError('timeout', 'did not answer'));
    };
    return { platform: { ...fine, openSwitch }, tries };
  };
  const deferSome = (): void => {
    defer('a', 'unix:/hung.sock', 'http://one:2379');
    defer('b', 'unix:/hung.sock', 'http://two:2379');
    defer('c', 'unix:/hung.sock', 'http://one:2379');
    defer('d', 'unix:/fine.sock', 'http://one:2379');
  };

  test('of a server that does not answer are tried once, with whatever other server; the rest is finished', async () => {
    deferSome();
    const { platform, tries } = withHung();
    const call = { settings: { stateDir: node.dir } };
    assert.deepEqual(await finishDeferred(call, platform, 10_000), { done: 1, left: 3 });
    assert.deepEqual(tries, [5_000]);
    assert.deepEqual(
      node.files().sort(),
      ['a', 'b', 'c'].map((id) => `pending/${id},eth0.json`),
    );
    // The rest of the reconcile does not wait for it again.
    await finishDeferred(call, platform, 10_000);
    assert.deepEqual(tries, [5_000]);
  });

  test('take a bounded time of a call, which then still gives the server its own deadline', async () => {
    deferSome();
    const { platform, tries } = withHung();
    await finishDeferred({ settings: { stateDir: node.dir } }, platform);
    assert.deepEqual(tries, [1_500]);
    await assert.rejects(
      platform.deadlines.ask("Open vSwitch's database at unix:/hung.sock", 5_000, (expiresAt) =>
        platform.openSwitch({ ovsdb: 'unix:/hung.sock', ovsdbTls: {} }, expiresAt),
      ),
    );
    assert.deepEqual(tries, [1_500, 5_000]);
  });
});
