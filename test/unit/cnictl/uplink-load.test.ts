import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { HostAddress, HostRoute } from '../../../cni/netlink/carried-messages.ts';
import { labelOn } from '../../../cni/netlink/carried-messages.ts';
import type { HostNetwork } from '../../../cni/netlink/host-network.ts';
import type { Link } from '../../../cni/netlink/link-messages.ts';
import { judgeUplinkAddresses } from '../../../cnictl/doctor/uplink-addresses.ts';
import {
  baggageOf,
  describeLoad,
  isEmpty,
  loadOf,
  obstaclesOf,
  unfitnessOf,
  type UplinkLoad,
} from '../../../cnictl/uplink/load.ts';
import { isOnHost } from '../../../cnictl/uplink/reach.ts';
import { CliWorld } from '../../golden/world.ts';

const link = (index: number, name: string, more: Partial<Link> = {}): Link => ({
  index,
  name,
  mac: '52:54:00:12:34:56',
  mtu: 1500,
  up: true,
  carrier: true,
  operational: true,
  promiscuity: 0,
  ...more,
});

const address = (text: string, more: Partial<HostAddress> = {}): HostAddress => {
  const [ip = '', length] = text.split('/');
  return {
    family: ip.includes(':') ? 6 : 4,
    address: ip,
    prefixLength: Number(length),
    linkIndex: 2,
    scope: 0,
    tentative: false,
    duplicate: false,
    text,
    message: `of ${text}`,
    ...more,
  };
};

const route = (dst: string, more: Partial<HostRoute> = {}): HostRoute => ({
  family: dst.includes(':') ? 6 : 4,
  dst,
  table: 254,
  priority: 0,
  protocol: 3,
  scope: 0,
  linkIndex: 2,
  nextHops: [],
  text: dst,
  message: `of ${dst}`,
  ...more,
});

const network = (more: Partial<HostNetwork> = {}): HostNetwork => ({
  links: [link(1, 'lo'), link(2, 'eth0')],
  addresses: [],
  routes: [],
  rules: [],
  ...more,
});

const loaded = (of: HostNetwork): UplinkLoad => {
  const load = loadOf(of, 'eth0');
  assert.ok(load);
  return load;
};

suite('what an uplink carries', () => {
  test('nothing, where it has only what each link has', () => {
    const of = network({
      addresses: [
        address('fe80::1/64'),
        address('169.254.3.4/16'),
        address('192.0.2.1/24', { linkIndex: 1 }),
      ],
      routes: [
        route('fe80::/64', { protocol: 2 }),
        route('169.254.0.0/16'),
        route('ff00::/8', { table: 255 }),
        route('192.0.2.5/32', { table: 255, protocol: 2 }),
        route('0.0.0.0/0', { gateway: '192.0.2.1', linkIndex: 1 }),
      ],
    });
    assert.equal(isEmpty(loaded(of)), true);
    assert.deepEqual(judgeUplinkAddresses('br-cell', 'system', ['eth0', 'dpdk0'], of), []);
    assert.equal(loadOf(of, 'eth9'), undefined);
  });

  test('addresses, and routes with what they need before them', () => {
    const of = network({
      addresses: [address('192.0.2.5/24'), address('2001:db8::6/64'), address('2001:db8::5/64')],
      routes: [
        route('0.0.0.0/0', { gateway: '192.0.2.1' }),
        route('169.254.169.254/32', { gateway: '192.0.2.1' }),
        route('169.254.169.253/32'),
        route('192.0.2.0/24', { protocol: 2 }),
      ],
    });
    const load = loaded(of);
    const { addresses, routes } = baggageOf(load);
    // The kernel lists the newest IPv6 address first, and chooses sources by that order.
    assert.deepEqual(
      addresses.map(({ text }) => text),
      ['192.0.2.5/24', '2001:db8::5/64', '2001:db8::6/64'],
    );
    assert.deepEqual(
      routes.map(({ text }) => text),
      ['169.254.169.253/32', '192.0.2.0/24', '0.0.0.0/0', '169.254.169.254/32'],
    );
    assert.match(
      describeLoad(load),
      /^addresses 192\.0\.2\.5\/24, .* and 4 routes \(0\.0\.0\.0\/0, .*, …\)$/,
    );
    assert.deepEqual(obstaclesOf(of, load), []);
    const [kernel] = judgeUplinkAddresses('br-cell', 'system', ['eth0'], of);
    assert.match(kernel?.detail ?? '', /^eth0 is in br-cell and carries addresses .*nobody reaches them$/);
    const [userspace] = judgeUplinkAddresses('br-cell', 'netdev', ['eth0'], of);
    assert.match(userspace?.detail ?? '', /this node's pods do not reach them$/);
  });

  test('what cannot be moved is named', () => {
    const of = network({
      routes: [
        route('10.0.0.0/8', { table: 100 }),
        route('10.1.0.0/16', { linkIndex: undefined, nextHops: [2, 3] }),
        route('10.2.0.0/16', { special: 'a nexthop object' }),
        route('10.3.0.0/16', { table: 255, protocol: 3 }),
      ],
      rules: [{ priority: 7, inputLink: 'eth0' }, { priority: 8, outputLink: 'eth1' }, { priority: 9 }],
    });
    assert.deepEqual(obstaclesOf(of, loaded(of)), [
      'the route 10.1.0.0/16 has several next hops',
      'the route 10.2.0.0/16 has a nexthop object',
      'the route 10.0.0.0/8 is in table 100',
      'the route 10.3.0.0/16 is in table 255',
      'the routing rule 7 names eth0',
    ]);
  });
});

suite('which devices cannot be uplinks', () => {
  const unfit = (...links: Link[]): string[] => {
    const of = network({ links, addresses: [address('192.0.2.9/24', { linkIndex: 3 })] });
    return unfitnessOf(of, loaded(of));
  };
  test('a port of Open vSwitch, a bond with bare members: fit', () => {
    assert.deepEqual(
      unfit(link(9, 'ovs-system', { kind: 'openvswitch' }), link(2, 'eth0', { master: 9 })),
      [],
    );
    assert.deepEqual(unfit(link(2, 'eth0', { kind: 'bond' }), link(4, 'eth4', { master: 2 })), []);
  });
  test('a member of a bond or a Linux bridge', () => {
    const member = link(2, 'eth0', { master: 9 });
    assert.deepEqual(unfit(member, link(9, 'bond0', { kind: 'bond' })), ['it is a member of the bond bond0']);
    assert.deepEqual(unfit(member, link(9, 'br0', { kind: 'bridge' })), [
      'it is a member of the Linux bridge br0',
    ]);
  });
  test('a bond whose member has an address', () => {
    assert.deepEqual(unfit(link(2, 'eth0', { kind: 'bond' }), link(3, 'eth1', { master: 2 })), [
      'its member eth1 has 192.0.2.9/24',
    ]);
  });
  test('one on which a VLAN interface stands', () => {
    assert.deepEqual(unfit(link(2, 'eth0'), link(3, 'eth0.100', { kind: 'vlan', lower: 2 })), [
      "eth0.100 (vlan) stand on it: a frame is theirs or the bridge's, not both's",
    ]);
  });
});

test('a label goes with the name of its link', () => {
  assert.equal(labelOn('eth0', 'eth0', 'br-cell'), 'br-cell');
  assert.equal(labelOn('eth0:1', 'eth0', 'br-cell'), 'br-cell:1');
  assert.equal(labelOn('eth0:management', 'eth0', 'br-cell'), 'br-cell');
  assert.equal(labelOn('other', 'eth0', 'br-cell'), 'other');
});

test('a server on this host proves nothing about the network', () => {
  const own = ['192.0.2.5', '2001:db8::5'];
  for (const url of [
    'http://localhost:2379',
    'http://127.0.0.1:1',
    'https://[2001:db8:0::5]:6443',
    'http://192.0.2.5:1',
  ])
    assert.equal(isOnHost(url, own), true, url);
  for (const url of ['http://192.0.2.6:2379', 'https://[2001:db8::6]:6443', 'https://etcd-1:2379'])
    assert.equal(isOnHost(url, own), false, url);
});

suite('node init and addresses', () => {
  const worldWith = (): CliWorld => {
    const world = new CliWorld();
    const of = network({
      links: [link(2, 'bond1', { kind: 'bond' })],
      addresses: [address('192.0.2.5/24')],
      routes: [route('0.0.0.0/0')],
    });
    world.uplinkHost = { ...world.uplinkHost, readNetwork: () => Promise.resolve(of) };
    return world;
  };
  const refused: [what: string, argv: string, message: RegExp][] = [
    [
      'an uplink with an address',
      '--uplink bond1',
      /uplink 'bond1' carries address 192\.0\.2\.5\/24 and 1 route/,
    ],
    ['without an uplink', '--take-addresses', /--take-addresses without --uplink/],
    ['no time', '--uplink bond1 --take-addresses --confirm-timeout 0', /--confirm-timeout '0'/],
    ['no duration', '--uplink bond1 --take-addresses --confirm-timeout soon', /--confirm-timeout 'soon'/],
    [
      'only servers of this host',
      '--uplink bond1 --take-addresses',
      /no etcd or API server on another host .* etcd http:\/\/127\.0\.0\.1:2379: it is on this host/,
    ],
  ];
  for (const [what, argv, message] of refused) {
    test(`refused: ${what}`, async () => {
      const world = worldWith();
      world.kube = { server: 'https://127.0.0.1:6443' };
      const ran = await world.run(`node init ${argv}`);
      assert.equal(ran.status, 2, ran.stdout);
      assert.match(ran.stderr, message);
      assert.deepEqual(world.ovsdb.written, []);
    });
  }

  test('refused: another host', async () => {
    const ran = await worldWith().run('--ovsdb tcp:10.0.0.9:6640 node init --uplink bond1 --take-addresses');
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /Open vSwitch at 'tcp:10\.0\.0\.9:6640': expected unix:…/);
  });

  test('a move that another process makes is waited for; one that was cut off is undone first', async () => {
    const world = worldWith();
    world.uplinkHost = { ...world.uplinkHost, leftMove: () => ({ kind: 'under-way' }) };
    const busy = await world.run('node init --uplink bond1 --take-addresses');
    assert.equal(busy.status, 2);
    assert.match(busy.stderr, /another cnictl is moving addresses/);
    const before = { settings: undefined, attached: false, marked: false };
    const move = {
      bridge: 'br-x',
      uplink: 'e',
      ovsdb: 'unix:/x',
      baggage: { addresses: [], routes: [] },
      before,
    };
    world.uplinkHost = {
      ...world.uplinkHost,
      leftMove: () => ({ kind: 'cut-off', rebooted: true, move }),
      undo: () => Promise.resolve(['Open vSwitch: away']),
    };
    const cutOff = await world.run('node init --uplink bond1');
    assert.equal(cutOff.status, 2);
    assert.match(
      cutOff.stderr,
      /an earlier move of the addresses of e to br-x .* undone: Open vSwitch: away/,
    );
  });
});
