import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { OvsdbError } from '../../../cni/ovsdb/errors.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { CONFIG, reply, useFakeNode } from './fake-platform.ts';

suite('a node that was renamed after the ADD', () => {
  const node = useFakeNode();
  const ways: [how: string, env: Record<string, string>, config: object][] = [
    ['the environment', { CELLNET_NODE: 'node-9' }, {}],
    ['the configuration', {}, { ipam: { ...CONFIG.ipam, node: 'node-9' } }],
  ];
  for (const plugin of ['cellnet', 'cellnet-ipam'] as const) {
    for (const [how, env, config] of ways) {
      const renamed = (verb: string, more: object = {}): ReturnType<typeof node.call> =>
        node.call({ ...env, CNI_COMMAND: verb }, { ...config, ...more }, plugin);

      test(`by ${how}: a repeated ADD of ${plugin} has the same address, and DEL releases it`, async () => {
        const first = reply(await node.call({}, {}, plugin));
        const again = reply(await renamed('ADD'));
        assert.deepEqual(again.ips, first.ips);
        assert.equal(node.fake.world.given().size, 1);
        assert.equal((await renamed('DEL')).stdout, '');
        assert.equal(node.fake.world.given().size, 0);
        assert.deepEqual(node.files(), []);
      });

      test(`by ${how}: GC of ${plugin} releases what is not valid`, async () => {
        await node.call({}, {}, plugin);
        assert.equal((await renamed('GC', { 'cni.dev/valid-attachments': [] })).stdout, '');
        assert.equal(node.fake.world.given().size, 0);
        assert.deepEqual(node.files(), []);
      });

      test(`by ${how}: a put-off DEL of ${plugin} that is repeated releases it`, async () => {
        await node.call({}, {}, plugin);
        node.fake.failures.set('ipam', new IpamError('store-unreachable', 'away'));
        await node.call({ CNI_COMMAND: 'DEL' }, {}, plugin);
        assert.deepEqual(node.files(), ['pending/c1,eth0.json']);
        node.fake.failures.clear();
        assert.equal((await renamed('DEL')).stdout, '');
        assert.equal(node.fake.world.given().size, 0);
        assert.deepEqual(node.files(), []);
      });
    }
  }

  test('CHECK of cellnet-ipam finds the address', async () => {
    const { ips } = reply(await node.call({}, {}, 'cellnet-ipam'));
    const call = { CNI_COMMAND: 'CHECK', CELLNET_NODE: 'node-9' };
    assert.equal((await node.call(call, { prevResult: { ips } }, 'cellnet-ipam')).stdout, '');
  });

  test('another attachment has its address under the new name', async () => {
    await node.call();
    await node.call({ CNI_CONTAINERID: 'c2', CELLNET_NODE: 'node-9' });
    const owners = node.fake.world.blocks().map(({ node: owner }) => owner);
    assert.deepEqual(owners.sort(), ['node-1', 'node-9']);
  });

  test('GC that cannot look at the former name keeps the record of it', async () => {
    await node.call();
    node.fake.failures.set('ipam', new OvsdbError('unreachable', 'away'));
    const gc = { CNI_COMMAND: 'GC', CELLNET_NODE: 'node-9' };
    const { code, msg } = reply(await node.call(gc, { 'cni.dev/valid-attachments': [] }));
    assert.equal(code, 5);
    assert.match(msg ?? '', /allocations of node node-1/);
    assert.deepEqual(node.files(), ['attachments/c1,eth0.json']);
    node.fake.failures.clear();
    assert.equal((await node.call(gc, { 'cni.dev/valid-attachments': [] })).stdout, '');
    assert.equal(node.fake.world.given().size, 0);
  });
});
