import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, suite, test } from 'node:test';
import { finishDeferred } from '../../../cni/deferred/deferred.ts';
import { OvsdbError } from '../../../cni/ovsdb/errors.ts';
import type { PortSpec } from '../../../cni/platform/switch.ts';
import { CniError } from '../../../cni/protocol/errors.ts';
import { linkAlias } from '../../../cni/protocol/identity.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { IpamError } from '../../../ipam/model/errors.ts';
import { owner } from '../ipam/world.ts';
import { ENV, reply, useFakeNode } from './fake-platform.ts';

/** A lone ADD prepares the pod's end while the port comes up, even when the port fails. */
const WIRE = ['create-veth', 'add-port', 'prepare'];
/** In a burst, an ADD adds the port after it configures the pod's end. */
const CROWDED = ['create-veth', 'prepare', 'configure', 'add-port'];
const UNDONE = ['remove-port', 'delete-link'];

suite('ADD', () => {
  const node = useFakeNode();

  test('in order: bridge looked at, link, port and interface, then the mark, and the addresses are announced', async () => {
    const output = await node.call();
    assert.equal(output.exitCode, 0, output.stdout);
    assert.deepEqual(node.work(), ['inspect-bridge', ...WIRE, 'configure', 'mark', 'announce']);
    const { ips, interfaces, routes } = reply(output);
    assert.deepEqual(
      ips?.map((ip) => ip.interface),
      [1],
    );
    assert.equal(interfaces?.[1]?.mtu, 9000);
    assert.deepEqual(routes, [{ dst: '0.0.0.0/0', gw: '10.20.0.1' }]);
    assert.equal(node.files().length, 1);
  });

  for (const [crowded, steps] of [
    [
      false,
      [
        ['create-veth', ['create-veth']],
        ['add-port', [...WIRE, 'configure', ...UNDONE]],
        ['prepare', [...WIRE, ...UNDONE]],
        ['configure', [...WIRE, 'configure', ...UNDONE]],
        ['mark', [...WIRE, 'configure', 'mark', ...UNDONE]],
        ['announce', [...WIRE, 'configure', 'mark', 'announce', ...UNDONE]],
      ],
    ],
    [
      true,
      [
        ['create-veth', ['create-veth']],
        ['prepare', ['create-veth', 'prepare', 'delete-link']],
        ['configure', ['create-veth', 'prepare', 'configure', 'delete-link']],
        ['add-port', [...CROWDED, ...UNDONE]],
        ['mark', [...CROWDED, 'mark', ...UNDONE]],
        ['announce', [...CROWDED, 'mark', 'announce', ...UNDONE]],
      ],
    ],
  ] as const) {
    for (const [step, undone] of steps) {
      test(`when ${step} fails ${crowded ? 'in a crowd' : 'alone'}, what was done is undone in reverse, and the first cause is told`, async () => {
        node.fake.crowded = crowded;
        node.fake.failures.set(step, new OvsdbError('port-failed', 'the first cause'));
        const output = await node.call();
        assert.equal(reply(output).msg, 'the first cause');
        assert.deepEqual(node.work().slice(1), undone);
        assert.equal(node.fake.world.given().size, 0);
        assert.deepEqual(node.files(), []);
      });
    }
  }

  test('the first cause is told where the interface fails beside the port', async () => {
    node.fake.failures.set('add-port', new OvsdbError('port-failed', 'the first cause'));
    node.fake.failures.set('prepare', new Error('what follows from it'));
    assert.equal(reply(await node.call()).msg, 'the first cause');
    assert.deepEqual(node.work().slice(1), [...WIRE, ...UNDONE]);
  });

  for (const crowded of [false, true]) {
    test(`a link that vswitchd has not taken is made once more${crowded ? ', in a crowd too' : ''}`, async () => {
      node.fake.crowded = crowded;
      node.fake.taken.push(false);
      const output = await node.call();
      assert.equal(output.exitCode, 0, output.stdout);
      const again = ['create-veth', 'prepare', 'configure', 'add-port', 'mark', 'announce'];
      assert.deepEqual(node.work().slice(-9), [...UNDONE, 'is-served', ...again]);
    });
  }

  test('where the second is not taken either, the ADD fails, and leaves nothing', async () => {
    node.fake.taken.push(false, false);
    const { code, msg } = reply(await node.call());
    assert.equal(code, 11);
    assert.match(msg ?? '', /has not taken the link/);
    assert.deepEqual(node.work().slice(-3), ['mark', ...UNDONE]);
    assert.equal(node.fake.world.given().size, 0);
    assert.deepEqual(node.files(), []);
  });

  /** Runs an ADD, and makes the fakes report the state that it set up. */
  const stands = async (taken: boolean): Promise<void> => {
    const { interfaces = [], ips = [], routes = [] } = reply(await node.call());
    const [host, pod] = interfaces;
    const alias = linkAlias({ containerId: ENV.CNI_CONTAINERID, ifname: ENV.CNI_IFNAME });
    node.fake.link = {
      name: host?.name ?? '',
      alias,
      mac: host?.mac ?? '',
      mtu: 9000,
      up: true,
      taken,
      carrier: true,
    };
    node.fake.pod = {
      mac: pod?.mac ?? '',
      mtu: pod?.mtu ?? 0,
      up: true,
      addresses: ips.map(({ address }) => address),
      routes,
      leadsElsewhere: () => false,
    };
    node.fake.calls.length = 0;
  };

  test('asked again, what stands is the answer, and announced again: the first ADD may have been killed before it did', async () => {
    await stands(true);
    const output = await node.call();
    assert.equal(output.exitCode, 0, output.stdout);
    assert.equal(reply(output).interfaces?.length, 2);
    assert.deepEqual(node.work(), ['inspect-bridge', 'inspect', 'find-ports', 'announce 1']);
  });

  test('asked again by an agent that knows nothing of the first ADD, what stands is left alone', async () => {
    const agent = node.fake.world.agent();
    await allocate(agent, { node: 'node-1', owner: owner('other'), families: [4] });
    await stands(true);
    const [record] = node.files().map((file) => readFileSync(join(node.dir, file), 'utf8'));
    node.fake.ipam = agent;
    const output = await node.call();
    assert.deepEqual(
      reply(output).ips?.map(({ address }) => address),
      node.fake.pod?.addresses,
    );
    assert.deepEqual(node.work(), ['inspect-bridge', 'inspect', 'find-ports', 'announce 1']);
    const [now] = node.files().map((file) => readFileSync(join(node.dir, file), 'utf8'));
    assert.equal(now, record);
  });

  /** An interface that stands is looked at in the pod and in Open vSwitch. */
  const LOOK = ['inspect-bridge', 'inspect', 'find-ports'];

  test('asked again, a link that vswitchd has not taken is made anew', async () => {
    await stands(false);
    assert.equal((await node.call()).exitCode, 0);
    assert.deepEqual(node.work(), [...LOOK, ...WIRE, 'configure', 'mark', 'announce']);
  });

  suite('asked again, when somebody has removed the port', () => {
    beforeEach(async () => {
      await stands(false);
      node.fake.port = undefined;
    });

    test('only the port is made, the same one, and the answer is that of the first ADD', async () => {
      const output = await node.call();
      assert.equal(output.exitCode, 0, output.stdout);
      const { ips, interfaces } = reply(output);
      assert.deepEqual(
        ips?.map(({ address }) => address),
        node.fake.pod?.addresses,
      );
      assert.equal(interfaces?.[0]?.name, node.fake.link?.name);
      assert.deepEqual(node.work(), [...LOOK, 'add-port', 'announce 1']);
      const port: PortSpec = node.fake.port ?? assert.fail('there is no port');
      assert.deepEqual([port.name, port.bridge, port.tag], [node.fake.link?.name, 'br-cell', 120]);
    });

    test('the interface is made anew where it is another than planned', async () => {
      assert.ok(node.fake.pod);
      node.fake.pod = { ...node.fake.pod, addresses: [] };
      assert.equal((await node.call()).exitCode, 0);
      assert.deepEqual(node.work(), [...LOOK, ...WIRE, 'configure', 'mark', 'announce']);
    });

    test('the interface is made anew where the link leads to nothing that is up', async () => {
      assert.ok(node.fake.link);
      node.fake.link = { ...node.fake.link, carrier: false };
      assert.equal((await node.call()).exitCode, 0);
      assert.deepEqual(node.work(), [...LOOK, ...WIRE, 'configure', 'mark', 'announce']);
    });

    for (const [what, prepare, code, work] of [
      [
        'the port cannot be made',
        (): unknown => node.fake.failures.set('add-port', new OvsdbError('port-failed', 'no device')),
        101,
        ['add-port'],
      ],
      [
        'vswitchd does not take the link',
        (): unknown => (node.fake.takesAgain = false),
        11,
        ['add-port', 'remove-port'],
      ],
    ] as const)
      test(`the pod keeps interface, address and record where ${what}`, async () => {
        const files = node.files();
        prepare();
        assert.equal(reply(await node.call()).code, code);
        assert.deepEqual(node.work(), [...LOOK, ...work]);
        assert.equal(node.fake.world.given().size, 1);
        assert.deepEqual(node.files(), files);
      });
  });

  test('further announcements are left to a process of their own', async () => {
    await node.call({}, { gratuitousArp: { count: 4, intervalMs: 10 } });
    assert.ok(node.fake.calls.includes('announce 3'));
  });

  test("a chain's earlier result is carried on, with the indices moved", async () => {
    const prevResult = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'other0' }],
      ips: [{ address: '192.168.0.5/24', interface: 0 }],
    };
    const { interfaces, ips } = reply(await node.call({}, { prevResult }));
    assert.equal(interfaces?.[0]?.name, 'other0');
    assert.deepEqual(
      ips?.map((ip) => ip.interface),
      [0, 2],
    );
  });

  test('an uncertain allocation is taken back later', async () => {
    node.fake.world.store.before = (request) =>
      request === 'commit'
        ? Promise.reject(new IpamError('store-unreachable', 'lost on the way', { uncertain: true }))
        : Promise.resolve();
    assert.equal(reply(await node.call()).code, 11);
    assert.deepEqual(node.files(), ['pending/c1,eth0.json']);
  });

  test('asked again, and etcd does not answer for certain: what runs keeps its addresses', async () => {
    await stands(true);
    const before = node.files();
    node.fake.world.store.before = () =>
      Promise.reject(new IpamError('store-unreachable', 'lost on the way', { uncertain: true }));
    assert.equal(reply(await node.call()).code, 11);
    assert.deepEqual(node.files(), before);
    node.fake.world.store.before = () => Promise.resolve();
    await finishDeferred({ settings: { stateDir: node.dir } }, node.fake.platform());
    assert.equal(node.fake.world.given().size, 1);
  });

  test('an MTU that the uplink cannot carry is refused, and nothing is kept', async () => {
    const { code, msg } = reply(await node.call({}, { mtu: 9001 }));
    assert.equal(code, 7);
    assert.match(
      msg ?? '',
      /key 'mtu' is 9001: expected at most 9000, the MTU of the uplink of bridge 'br-cell'/,
    );
    assert.equal(node.fake.world.given().size, 0);
  });

  test('dns of the configuration is handed on', async () => {
    const dns = { nameservers: ['10.20.0.2'], search: ['cell'] };
    assert.deepEqual(reply(await node.call({}, { dns })).dns, dns);
  });
});

suite('CHECK of cellnet-ipam', () => {
  const node = useFakeNode();

  test('an address of etcd that prevResult lacks is a difference, and named the right way round', async () => {
    const added = await node.call({}, {}, 'cellnet-ipam');
    const prevResult = JSON.parse(added.stdout) as { ips: { address: string }[] };
    const call = { CNI_COMMAND: 'CHECK' };
    assert.equal((await node.call(call, { prevResult }, 'cellnet-ipam')).exitCode, 0);
    const [{ address } = { address: '' }] = prevResult.ips;
    const other = { ...prevResult, ips: [{ address: '10.9.9.9/24' }] };
    const error = reply(await node.call(call, { prevResult: other }, 'cellnet-ipam'));
    assert.equal(error.code, 105);
    assert.match(String(error.msg), new RegExp(`expected ${address} as in etcd, found 10.9.9.9/24`));
  });
});

suite('delegates', () => {
  const node = useFakeNode();

  const other = { ipam: { type: 'host-local' } };
  const internal = (): CniError => new CniError('delegate-failed', 'no more tries', '', { code: 999 });
  const BEFORE = ['inspect-bridge', 'create-veth', 'add-port', 'prepare', 'configure', 'mark', 'announce'];
  const AFTER = ['mark-port', 'prepare', 'configure', 'announce'];

  test('the interface is there, up and forwarding, before they are asked', async () => {
    const added = reply(await node.call({}, other));
    assert.equal(added.ips?.[0]?.address, '10.1.0.5/24');
    assert.match(added.interfaces?.[1]?.mac ?? '', /^0e(:[0-9a-f]{2}){5}$/);
    assert.deepEqual(node.work().toSorted(), [...BEFORE, 'delegate host-local ADD', ...AFTER].toSorted());
    const asked = node.work().indexOf('delegate host-local ADD');
    assert.deepEqual(node.work().slice(asked + 1), AFTER);
    assert.equal(node.fake.port?.externalIds['ip'], '10.1.0.5');
    assert.equal(node.fake.world.blocks().length, 0);
  });

  test('their DEL takes the address back, first of all', async () => {
    await node.call({}, other);
    node.fake.calls.length = 0;
    await node.call({ CNI_COMMAND: 'DEL' }, other);
    const order = ['clear-addresses', 'delegate host-local DEL', 'remove-port', 'delete-link'];
    assert.deepEqual(node.work(), order);
    assert.deepEqual(node.files(), []);
  });

  test('their DEL comes after port and link where the pod may still have the address', async () => {
    await node.call({}, other);
    const order = ['remove-port', 'delete-link', 'delegate host-local DEL'];
    for (const changes of [{ CNI_NETNS: '' }, { CNI_NETNS: '/another' }]) {
      node.fake.calls.length = 0;
      node.fake.failures.set('delegate host-local DEL', new Error('away'));
      assert.equal((await node.call({ CNI_COMMAND: 'DEL', ...changes }, other)).exitCode, 1);
      assert.deepEqual(node.work(), order);
    }
    node.fake.calls.length = 0;
    node.fake.failures.set('clear-addresses', new Error('busy'));
    assert.equal((await node.call({ CNI_COMMAND: 'DEL' }, other)).exitCode, 1);
    assert.deepEqual(node.work(), ['clear-addresses', ...order]);
  });

  test('a DEL of theirs that fails keeps no port and no link in place', async () => {
    await node.call({}, other);
    node.fake.calls.length = 0;
    node.fake.failures.set('delegate host-local DEL', new Error('away'));
    assert.equal(reply(await node.call({ CNI_COMMAND: 'DEL' }, other)).msg, 'away');
    assert.deepEqual(node.work().slice(-2), ['remove-port', 'delete-link']);
  });

  test('a failed ADD of theirs is followed by their DEL, once the interface is gone', async () => {
    node.fake.failures.set('delegate host-local ADD', new Error('full'));
    assert.equal((await node.call({}, other)).exitCode, 1);
    const undone = ['delegate host-local ADD', 'remove-port', 'delete-link', 'delegate host-local DEL'];
    assert.deepEqual(node.work().slice(-4), undone);
    assert.deepEqual(node.files(), []);
  });

  test('when both fail, nothing of ours is left', async () => {
    for (const verb of ['ADD', 'DEL'])
      node.fake.failures.set(`delegate host-local ${verb}`, new Error(`no ${verb}`));
    assert.equal(reply(await node.call({}, other)).msg, 'no ADD');
    assert.deepEqual(node.files(), []);
  });

  test('a failure after their answer gives the address back while the interface is there', async () => {
    node.fake.failures.set('mark-port', new Error('no database'));
    assert.equal((await node.call({}, other)).exitCode, 1);
    const undone = ['clear-addresses', 'delegate host-local DEL', 'remove-port', 'delete-link'];
    assert.deepEqual(node.work().slice(-5), ['mark-port', ...undone]);
  });

  test('an ADD that was killed is taken back before they are asked again', async () => {
    await node.call({}, other);
    node.fake.calls.length = 0;
    await node.call({}, other);
    const theirs = node.fake.calls.filter((name) => name.startsWith('delegate'));
    assert.deepEqual(theirs, ['delegate host-local DEL', 'delegate host-local ADD']);
  });

  test('a DHCP server that does not answer is code 11, another plugin keeps its code', async () => {
    for (const [type, code] of [
      ['dhcp', 11],
      ['host-local', 999],
    ] as const) {
      node.fake.failures.set(`delegate ${type} ADD`, internal());
      assert.equal(reply(await node.call({}, { ipam: { type } })).code, code);
    }
  });

  test('a requested MAC is that of the interface', async () => {
    const runtimeConfig = { mac: '02:00:00:00:00:07' };
    const added = reply(await node.call({}, { ...other, runtimeConfig }));
    assert.equal(added.interfaces?.[1]?.mac, '02:00:00:00:00:07');
  });

  test('a pod that is held to its own addresses may ask for one', async () => {
    await node.call({}, { ...other, sourceCheck: true });
    assert.deepEqual(node.fake.port?.limited?.limits.source, ['0.0.0.0']);
  });

  test('CHECK asks them, but not dhcp, which would take a second lease', async () => {
    for (const type of ['host-local', 'dhcp']) {
      const { stdout } = await node.call({}, { ipam: { type } });
      const prevResult = JSON.parse(stdout) as object;
      await node.call({ CNI_COMMAND: 'CHECK' }, { ipam: { type }, prevResult });
      await node.call({ CNI_COMMAND: 'DEL' }, { ipam: { type } });
    }
    assert.ok(node.fake.calls.includes('delegate host-local CHECK'));
    assert.ok(!node.fake.calls.includes('delegate dhcp CHECK'));
  });
});
