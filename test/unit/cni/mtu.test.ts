import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { range } from '../ipam/world.ts';
import { CONFIG, reply, useFakeNode } from './fake-platform.ts';

suite('an MTU below that of IPv6 (RFC 8200 section 5)', () => {
  const node = useFakeNode();
  beforeEach(() => addRange(node.fake.world.ipam, range('fd00:20::/64', { name: 'six', vlan: 120 })));

  const ipam = { ...CONFIG.ipam, families: ['ipv4', 'ipv6'] };
  const small: [what: string, uplinkMtu: number, more: object, message: RegExp][] = [
    ['by the key', 9000, { ipam, mtu: 1279 }, /key 'mtu' is 1279: expected at least 1280/],
    [
      'of the uplink',
      1279,
      { ipam },
      /the MTU of the uplink of bridge 'br-cell' is 1279: expected at least 1280/,
    ],
    ['for a requested address', 9000, { mtu: 576, runtimeConfig: { ips: ['fd00:20::7'] } }, /'mtu' is 576/],
  ];
  for (const [what, uplinkMtu, more, message] of small) {
    test(`${what} is refused before it costs an address`, async () => {
      node.fake.uplinkMtu = uplinkMtu;
      const revision = node.fake.world.store.revision;
      const { code, msg } = reply(await node.call({}, more));
      assert.equal(code, 7);
      assert.match(msg ?? '', message);
      assert.equal(node.fake.world.store.revision, revision);
      assert.deepEqual(node.work(), ['inspect-bridge']);
      const status = reply(await node.call({ CNI_COMMAND: 'STATUS' }, more));
      assert.equal(status.code, 50);
      assert.match(status.msg ?? '', message);
    });
  }

  test('is refused for an address of another IPAM plugin, which gets its DEL', async () => {
    node.fake.delegateReply = '{"ips":[{"address":"fd00:1::5/64"}]}';
    const { code, msg } = reply(await node.call({}, { mtu: 1000, ipam: { type: 'host-local' } }));
    assert.equal(code, 7);
    assert.match(msg ?? '', /at least 1280/);
    assert.deepEqual(node.work().slice(-4), [
      'clear-addresses',
      'delegate host-local DEL',
      'remove-port',
      'delete-link',
    ]);
    assert.deepEqual(node.files(), []);
  });

  for (const [what, more] of [
    ['1280', { ipam, mtu: 1280 }],
    ['less without IPv6', { mtu: 576 }],
  ] as const) {
    test(`${what} is right`, async () => {
      assert.equal(reply(await node.call({}, more)).msg, undefined);
      assert.equal((await node.call({ CNI_COMMAND: 'STATUS' }, more)).stdout, '');
    });
  }
});
