import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addAddress, decodeAddress, removeAddress } from '../../../../cni/netlink/address-messages.ts';
import { macBytes, payload, readAttributes } from '../../../../cni/netlink/attributes.ts';
import {
  addVeth,
  decodeLink,
  removeLink,
  renameLink,
  setLink,
  showLink,
} from '../../../../cni/netlink/link-messages.ts';
import { addRoute, decodeRoute } from '../../../../cni/netlink/route-messages.ts';

const hex = (bytes: Buffer): string => bytes.toString('hex');
const bytes = (...parts: string[]): string => parts.join('').replaceAll(' ', '');
const eth0 = { index: 7, name: 'eth0' };

test('a veth carries its peer as a message of its own: ifinfomsg, name, MAC, MTU, namespace, queues', () => {
  const request = addVeth({
    name: 'cn0',
    mac: 'fe:01:02:03:04:05',
    mtu: 1400,
    peer: { name: 'eth0', mac: '0a:58:0a:14:00:11', mtu: 1400, namespaceFd: 9 },
  });
  assert.equal(request.operation, 'create veth cn0 with peer eth0');
  assert.equal(request.type, 16);
  assert.equal(request.flags, 0x605, 'REQUEST, ACK, EXCL, CREATE');
  assert.equal(
    hex(request.payload),
    bytes(
      '00'.repeat(16),
      '0800 0300 636e3000', // IFLA_IFNAME cn0
      '0a00 0100 fe0102030405 0000', // IFLA_ADDRESS
      '0800 0400 78050000', // IFLA_MTU 1400
      '0800 1f00 01000000', // IFLA_NUM_TX_QUEUES 1
      '0800 2000 01000000', // IFLA_NUM_RX_QUEUES 1
      '6000 1200', // IFLA_LINKINFO
      '0900 0100 7665746800 000000', // IFLA_INFO_KIND veth
      '5000 0200', // IFLA_INFO_DATA
      '4c00 0100', // VETH_INFO_PEER
      '00'.repeat(16),
      '0900 0300 6574683000 000000', // IFLA_IFNAME eth0
      '0a00 0100 0a580a140011 0000', // IFLA_ADDRESS
      '0800 0400 78050000', // IFLA_MTU 1400
      '0800 1c00 09000000', // IFLA_NET_NS_FD 9
      '0800 1f00 01000000', // IFLA_NUM_TX_QUEUES 1
      '0800 2000 01000000', // IFLA_NUM_RX_QUEUES 1
    ),
  );
});

test('what is not asked for is not in the message', () => {
  assert.equal(
    hex(setLink({ index: 7 }, { up: true }).payload),
    bytes('00000000 07000000 01000000 01000000'),
  );
  assert.equal(
    hex(setLink({ index: 7 }, { up: false }).payload),
    bytes('00000000 07000000 00000000 01000000'),
  );
  assert.equal(
    hex(setLink({ index: 7 }, { alias: 'x', mtu: 1400, mac: '0a:58:0a:14:00:11' }).payload),
    bytes(
      '00000000 07000000 00000000 00000000',
      '0800 0400 78050000',
      '0a00 0100 0a580a140011 0000',
      '0500 1400 78',
    ),
  );
  assert.equal(setLink(eth0, { up: true, alias: 'x' }).operation, 'set up, alias of eth0');
});

test('a link is referred to by index, or else by name', () => {
  assert.equal(hex(removeLink({ name: 'cn0' }).payload), bytes('00'.repeat(16), '0800 0300 636e3000'));
  assert.equal(hex(removeLink({ index: 7 }).payload), bytes('00000000 07000000', '00'.repeat(8)));
  assert.equal(
    hex(renameLink(eth0, 'b').payload),
    bytes('00000000 07000000', '00'.repeat(8), '0600 0300 6200'),
  );
  assert.equal(renameLink(eth0, 'b').operation, 'rename eth0 to b');
  assert.equal(removeLink({ index: 7 }).operation, 'delete link 7');
  assert.equal(showLink({ name: 'cn0' }).operation, 'look up cn0');
});

test('IPv4 addresses may have a broadcast; IPv6 ones skip duplicate-address detection', () => {
  const ipv4 = addAddress(eth0, { address: '10.20.0.17', prefixLength: 22 }, { broadcast: '10.20.3.255' });
  assert.equal(ipv4.operation, 'add address 10.20.0.17/22 to eth0');
  assert.equal(ipv4.flags, 0x605);
  assert.equal(
    hex(ipv4.payload),
    bytes('02160000 07000000', '0800 0200 0a140011', '0800 0100 0a140011', '0800 0400 0a1403ff'),
  );
  const ipv6 = addAddress(eth0, { address: 'fd00::11', prefixLength: 64 }, { replace: true });
  const fd0011 = `fd${'00'.repeat(14)}11`;
  assert.equal(ipv6.flags, 0x505, 'REQUEST, ACK, REPLACE, CREATE');
  assert.equal(hex(ipv6.payload), bytes('0a400200 07000000', `1400 0200 ${fd0011}`, `1400 0100 ${fd0011}`));
  assert.equal(
    removeAddress(eth0, { address: '10.20.0.17', prefixLength: 22 }).operation,
    'delete address 10.20.0.17/22 of eth0',
  );
});

test('a default route has no destination; a route without gateway has link scope', () => {
  const route = addRoute(eth0, { dst: '0.0.0.0/0', gateway: '10.20.0.1' });
  assert.equal(route.operation, 'add route 0.0.0.0/0 via 10.20.0.1 through eth0');
  assert.equal(
    hex(route.payload),
    bytes('02000000 fe030001 00000000', '0800 0500 0a140001', '0800 0400 07000000'),
  );
  assert.equal(
    hex(addRoute(eth0, { dst: '10.96.0.0/12' }).payload),
    bytes('020c0000 fe03fd01 00000000', '0800 0100 0a600000', '0800 0400 07000000'),
  );
});

test('a route carries priority, table above 255, onlink and metrics', () => {
  const route = addRoute(eth0, {
    dst: '10.96.0.0/12',
    gateway: '10.20.0.1',
    onlink: true,
    priority: 5,
    table: 1000,
    mtu: 1300,
    advmss: 1200,
  });
  assert.equal(
    hex(route.payload),
    bytes(
      '020c0000 00030001 04000000',
      '0800 0100 0a600000',
      '0800 0500 0a140001',
      '0800 0400 07000000',
      '0800 0600 05000000',
      '0800 0f00 e8030000',
      '1400 0800 0800 0200 14050000 0800 0800 b0040000',
    ),
  );
});

test('a message is read back as what it says', () => {
  const address = addAddress(eth0, { address: 'fd00:20::11', prefixLength: 64 });
  assert.deepEqual(decodeAddress({ type: 20, payload: address.payload }), {
    family: 6,
    address: 'fd00:20::11',
    prefixLength: 64,
    linkIndex: 7,
    scope: 0,
    tentative: false,
    duplicate: false,
  });
  const wanted = {
    dst: '10.96.0.0/12',
    gateway: '10.20.0.1',
    onlink: true,
    priority: 5,
    table: 1000,
    mtu: 1300,
  };
  const route = decodeRoute({ type: 24, payload: addRoute(eth0, wanted).payload });
  assert.deepEqual(route, { ...wanted, family: 4, scope: 0, protocol: 3, linkIndex: 7 });
  const link = setLink({ name: 'eth0' }, { up: true, mtu: 1400, mac: '0a:58:0a:14:00:11', alias: 'ours' });
  assert.deepEqual(decodeLink({ type: 16, payload: link.payload }), {
    index: 0,
    name: 'eth0',
    mac: '0a:58:0a:14:00:11',
    mtu: 1400,
    up: true,
    carrier: false,
    promiscuity: 0,
    operational: false,
    alias: 'ours',
  });
});

test('what is no address is refused with the form that was expected', () => {
  assert.throws(() => macBytes('0a:58:0a:14:00'), /expected the form 0a:58:0a:14:00:11/);
  assert.throws(() => addAddress(eth0, { address: '010.0.0.1', prefixLength: 8 }), { code: 'invalid' });
  assert.throws(() => addRoute(eth0, { dst: '10.0.0.0' }), { code: 'invalid' });
});

test('attributes are padded between each other, not after the last', () => {
  const message = payload(Buffer.alloc(0), [[1, Buffer.from('a')], undefined, [2, Buffer.from('b')]]);
  assert.equal(hex(message), bytes('0500 0100 61 000000', '0500 0200 62'));
  assert.deepEqual([...readAttributes(message, 0).keys()], [1, 2]);
});
