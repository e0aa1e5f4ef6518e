import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, suite, test } from 'node:test';
import fc from 'fast-check';
import { dispatch, type Output, type Plugin } from '../../../cni/dispatch.ts';
import { linkAlias } from '../../../cni/identity.ts';
import { OvsdbError } from '../../../cni/ovsdb/errors.ts';
import { VERBS } from '../../../cni/request.ts';
import { IpamError } from '../../../ipam/errors.ts';
import { callWith, CONFIG, ENV, FakeParts, reply } from './fake-parts.ts';

let dir: string;
let fake: FakeParts;
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'cellnet-unit-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));
beforeEach(async () => {
  rmSync(dir, { recursive: true, force: true });
  fake = await new FakeParts(dir).withRange();
});

const env = ENV;
const config = CONFIG;
const call = (
  changes?: Record<string, string | undefined>,
  more?: object | string,
  plugin?: Plugin,
): Promise<Output> => callWith(fake, changes, more, plugin);
const files = (): string[] =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'));
const work = (): string[] => fake.calls.filter((name) => !['ipam', 'switch', 'host-link'].includes(name));

/** Who is alone has the pod's end made ready while the port comes up, whatever becomes of it. */
const WIRE = ['create-veth', 'add-port', 'prepare'];
/** In a crowd the port comes after it. */
const CROWDED = ['create-veth', 'prepare', 'configure', 'add-port'];
const UNDONE = ['remove-port', 'delete-link'];

suite('ADD', () => {
  test('in order: bridge looked at, link, port and interface, then the mark, and the addresses are announced', async () => {
    const output = await call();
    assert.equal(output.exitCode, 0, output.stdout);
    assert.deepEqual(work(), ['inspect-bridge', ...WIRE, 'configure', 'mark', 'announce']);
    const { ips, interfaces, routes } = reply(output);
    assert.deepEqual(
      ips?.map((ip) => ip.interface),
      [1],
    );
    assert.equal(interfaces?.[1]?.mtu, 9000);
    assert.deepEqual(routes, [{ dst: '0.0.0.0/0', gw: '10.20.0.1' }]);
    assert.equal(files().length, 1);
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
        fake.crowded = crowded;
        fake.failures.set(step, new OvsdbError('port-failed', 'the first cause'));
        const output = await call();
        assert.equal(reply(output).msg, 'the first cause');
        assert.deepEqual(work().slice(1), undone);
        assert.equal(fake.world.given().size, 0);
        assert.deepEqual(files(), []);
      });
    }
  }

  test('the first cause is told where the interface fails beside the port', async () => {
    fake.failures.set('add-port', new OvsdbError('port-failed', 'the first cause'));
    fake.failures.set('prepare', new Error('what follows from it'));
    assert.equal(reply(await call()).msg, 'the first cause');
    assert.deepEqual(work().slice(1), [...WIRE, ...UNDONE]);
  });

  for (const crowded of [false, true]) {
    test(`a link that vswitchd has not taken is made once more${crowded ? ', in a crowd too' : ''}`, async () => {
      fake.crowded = crowded;
      fake.taken.push(false);
      const output = await call();
      assert.equal(output.exitCode, 0, output.stdout);
      const again = ['create-veth', 'prepare', 'configure', 'add-port', 'mark', 'announce'];
      assert.deepEqual(work().slice(-9), [...UNDONE, 'is-served', ...again]);
    });
  }

  test('where the second is not taken either, the ADD fails, and leaves nothing', async () => {
    fake.taken.push(false, false);
    const { code, msg } = reply(await call());
    assert.equal(code, 11);
    assert.match(msg ?? '', /has not taken the link/);
    assert.deepEqual(work().slice(-3), ['mark', ...UNDONE]);
    assert.equal(fake.world.given().size, 0);
    assert.deepEqual(files(), []);
  });

  /** After an ADD, as everything stands then. */
  const stands = async (taken: boolean): Promise<void> => {
    const { interfaces = [], ips = [], routes = [] } = reply(await call());
    const [host, pod] = interfaces;
    const alias = linkAlias({ containerId: ENV.CNI_CONTAINERID, ifname: ENV.CNI_IFNAME });
    fake.link = {
      name: host?.name ?? '',
      alias,
      mac: host?.mac ?? '',
      mtu: 9000,
      up: true,
      taken,
      carrier: true,
    };
    fake.pod = {
      mac: pod?.mac ?? '',
      mtu: pod?.mtu ?? 0,
      up: true,
      addresses: ips.map(({ address }) => address),
      routes,
      leadsElsewhere: () => false,
    };
    fake.calls.length = 0;
  };

  test('asked again, what stands is the answer, and announced again: the first ADD may have been killed before it did', async () => {
    await stands(true);
    const output = await call();
    assert.equal(output.exitCode, 0, output.stdout);
    assert.equal(reply(output).interfaces?.length, 2);
    assert.deepEqual(work(), ['inspect-bridge', 'inspect', 'find-ports', 'announce 1']);
  });

  test('asked again, a link that vswitchd has not taken is made anew', async () => {
    await stands(false);
    assert.equal((await call()).exitCode, 0);
    assert.deepEqual(work(), ['inspect-bridge', ...WIRE, 'configure', 'mark', 'announce']);
  });

  test('further announcements are left to a process of their own', async () => {
    await call({}, { gratuitousArp: { count: 4, intervalMs: 10 } });
    assert.ok(fake.calls.includes('announce 3'));
  });

  test("a chain's earlier result is carried on, with the indices moved", async () => {
    const prevResult = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'other0' }],
      ips: [{ address: '192.168.0.5/24', interface: 0 }],
    };
    const { interfaces, ips } = reply(await call({}, { prevResult }));
    assert.equal(interfaces?.[0]?.name, 'other0');
    assert.deepEqual(
      ips?.map((ip) => ip.interface),
      [0, 2],
    );
  });

  test('an uncertain allocation is taken back later', async () => {
    fake.world.store.before = (request) =>
      request === 'commit'
        ? Promise.reject(new IpamError('store-unreachable', 'lost on the way', { uncertain: true }))
        : Promise.resolve();
    assert.equal(reply(await call()).code, 11);
    assert.deepEqual(files(), ['pending/c1,eth0.json']);
  });
});

suite('DEL', () => {
  test('in order: port, link, address, record; without a namespace', async () => {
    await call();
    fake.calls.length = 0;
    fake.world.store.before = (request) => {
      if (request === 'commit') fake.calls.push('release');
      return Promise.resolve();
    };
    const output = await call({ CNI_COMMAND: 'DEL', CNI_NETNS: undefined });
    assert.deepEqual(output, { stdout: '', exitCode: 0 });
    assert.deepEqual(work(), ['remove-port', 'delete-link', 'release']);
    assert.equal(fake.world.given().size, 0);
    assert.deepEqual(files(), []);
  });

  test('a port that could not be removed keeps its address back until it is', async () => {
    await call();
    fake.failures.set('switch', new OvsdbError('unreachable', 'away'));
    assert.equal((await call({ CNI_COMMAND: 'DEL' })).exitCode, 0);
    assert.equal(fake.world.given().size, 1);
    assert.deepEqual(files(), ['pending/c1,eth0.json']);
    fake.failures.clear();
    await call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c2' });
    assert.equal(fake.world.given().size, 0);
    assert.deepEqual(files(), []);
  });

  test('a link that cannot be deleted is an error: not found only counts as gone', async () => {
    await call();
    fake.failures.set('delete-link', new Error('device busy'));
    assert.equal((await call({ CNI_COMMAND: 'DEL' })).exitCode, 1);
    assert.equal(fake.world.given().size, 1);
  });
});

suite('teardowns that were put off', () => {
  const away = new OvsdbError('unreachable', 'away');
  const putOff = async (id: string, config: object = {}): Promise<void> => {
    fake.failures.set('switch', away);
    assert.equal((await call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: id }, config)).exitCode, 0);
    fake.failures.clear();
  };

  test('one that fails keeps none back that needs other servers', async () => {
    await call({ CNI_CONTAINERID: 'a' }, { ovsdb: 'unix:/gone.sock' });
    await call({ CNI_CONTAINERID: 'b' });
    await putOff('a', { ovsdb: 'unix:/gone.sock' });
    await putOff('b');
    fake.unreachable.add('unix:/gone.sock');
    await call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c' });
    assert.deepEqual(files(), ['pending/a,eth0.json']);
    assert.deepEqual([...fake.world.given().values()], ['a']);
  });

  test('a clock that was set back since the ADD loses no release', async () => {
    await call();
    fake.world.now -= 10_000;
    await putOff('c1');
    await call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c2' });
    assert.equal(fake.world.given().size, 0);
    assert.deepEqual(files(), []);
  });

  test('what cannot be undone is torn down later, and its address is not free before', async () => {
    fake.failures.set('configure', new Error('no'));
    fake.failures.set('remove-port', away);
    assert.equal((await call()).exitCode, 1);
    assert.equal(fake.world.given().size, 1);
    assert.ok(files().includes('pending/c1,eth0.json'));
    fake.failures.clear();
    await call({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c2' });
    assert.equal(fake.world.given().size, 0);
  });

  test('cellnet-ipam keeps its record while the release is neither done nor put off', async () => {
    await call({}, {}, 'cellnet-ipam');
    fake.failures.set('ipam', new IpamError('store-unreachable', 'away'));
    writeFileSync(join(dir, 'pending'), 'in the way');
    assert.equal(reply(await call({ CNI_COMMAND: 'DEL' }, {}, 'cellnet-ipam')).code, 5);
    assert.deepEqual(files(), ['attachments/c1,eth0.json']);
  });
});

suite('a configuration that is wrong by the time of DEL', () => {
  const wrong: [what: string, changes: object][] = [
    ['an unknown key', { bridg: 'x' }],
    ['a value', { mtu: 10, trunk: 'all' }],
    ['a key of ipam', { ipam: { type: 'cellnet-ipam', etdc: {}, ranges: 5 } }],
    ['prevResult', { prevResult: { ips: 'none' } }],
  ];
  for (const [what, changes] of wrong) {
    for (const plugin of ['cellnet', 'cellnet-ipam'] as const) {
      test(`in ${what}: ${plugin} ends the pod all the same, and an ADD with it is refused`, async () => {
        await call({}, {}, plugin);
        assert.equal(fake.world.given().size, 1);
        assert.deepEqual(await call({ CNI_COMMAND: 'DEL' }, changes, plugin), { stdout: '', exitCode: 0 });
        assert.equal(fake.world.given().size, 0);
        assert.deepEqual(files(), []);
        if (plugin === 'cellnet') assert.equal(reply(await call({}, changes, plugin)).code, 7);
      });
    }
  }

  test('in its name, or CNI_ARGS: the container and interface are enough', async () => {
    await call();
    const args = { CNI_COMMAND: 'DEL', CNI_ARGS: 'nonsense' };
    assert.equal((await call(args, { name: '../x' })).exitCode, 0);
    assert.equal(fake.world.given().size, 0);
  });

  test('that is no JSON is refused', async () =>
    assert.equal(reply(await call({ CNI_COMMAND: 'DEL' }, '{')).code, 6));
});

test('an MTU that the uplink cannot carry is refused, and nothing is kept', async () => {
  const { code, msg } = reply(await call({}, { mtu: 9001 }));
  assert.equal(code, 7);
  assert.match(
    msg ?? '',
    /key 'mtu' is 9001: expected at most 9000, the MTU of the uplink of bridge 'br-cell'/,
  );
  assert.equal(fake.world.given().size, 0);
});

test('dns of the configuration is handed on', async () => {
  const dns = { nameservers: ['10.20.0.2'], search: ['cell'] };
  assert.deepEqual(reply(await call({}, { dns })).dns, dns);
});

suite('delegates', () => {
  const other = { ipam: { type: 'host-local' } };
  test('a failed ADD is followed by their DEL', async () => {
    fake.failures.set('delegate host-local ADD', new Error('full'));
    assert.equal((await call({}, other)).exitCode, 1);
    assert.deepEqual(
      fake.calls.filter((name) => name.startsWith('delegate')),
      ['delegate host-local ADD', 'delegate host-local DEL'],
    );
  });
  test('their address is ours to attach, and theirs to take back', async () => {
    assert.equal(reply(await call({}, other)).ips?.[0]?.address, '10.1.0.5/24');
    await call({ CNI_COMMAND: 'DEL' }, other);
    assert.ok(fake.calls.includes('delegate host-local DEL'));
    assert.equal(fake.world.blocks().length, 0);
  });
});

suite('the protocol', () => {
  test('VERSION needs nothing', async () => {
    const output = await dispatch(
      'cellnet',
      { env: { CNI_COMMAND: 'VERSION' }, stdin: '', sharedConfig: undefined },
      () => Promise.reject(new Error('no parts')),
    );
    assert.deepEqual(reply(output), {
      cniVersion: '1.1.0',
      supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });

  test('a version that we do not speak is code 1, with those that we do', async () => {
    const { code, details } = reply(await call({}, { cniVersion: '0.2.0' }));
    assert.equal(code, 1);
    assert.match(details ?? '', /0\.3\.0, 0\.3\.1, 0\.4\.0, 1\.0\.0, 1\.1\.0/);
  });

  for (const [verb, version] of [
    ['CHECK', '0.3.1'],
    ['GC', '1.0.0'],
    ['STATUS', '1.0.0'],
  ] as const) {
    test(`${verb} is not of ${version}`, async () =>
      assert.equal(reply(await call({ CNI_COMMAND: verb }, { cniVersion: version })).code, 1));
  }

  for (const [name, value] of [
    ['CNI_COMMAND', 'add'],
    ['CNI_COMMAND', ''],
    ['CNI_CONTAINERID', ''],
    ['CNI_CONTAINERID', '../x'],
    ['CNI_CONTAINERID', '-x'],
    ['CNI_CONTAINERID', 'a'.repeat(300)],
    ['CNI_IFNAME', ''],
    ['CNI_IFNAME', 'a/b'],
    ['CNI_IFNAME', 'a b'],
    ['CNI_IFNAME', 'a:b'],
    ['CNI_IFNAME', '..'],
    ['CNI_IFNAME', 'x'.repeat(16)],
    ['CNI_IFNAME', 'a\u0000b'],
    ['CNI_NETNS', ''],
    ['CNI_PATH', ''],
    ['CNI_ARGS', 'nonsense'],
    ['CNI_ARGS', 'FOO=bar'],
    ['CNI_ARGS', 'IgnoreUnknown=1;K8S_POD_NAME=a b'],
  ] as const) {
    test(`${name}=${JSON.stringify(value.slice(0, 20))} is code 4 and names the variable`, async () => {
      const { code, msg } = reply(await call({ [name]: value }));
      assert.equal(code, 4);
      assert.ok(msg?.includes(name), msg);
      assert.deepEqual(fake.calls, []);
    });
  }

  test('the shared file is read, and refused by key', async () => {
    const input = {
      env,
      stdin: JSON.stringify(config),
      sharedConfig: { content: '{"etcd":{"endpont":[]}}', file: '/etc/x.json' },
    };
    const { code, msg } = reply(await dispatch('cellnet', input, () => Promise.resolve(fake.parts())));
    assert.deepEqual(
      [code, msg],
      [
        7,
        "/etc/x.json: unknown key 'etcd.endpont': expected one of endpoints, prefix, caFile, certFile, keyFile, username, passwordFile",
      ],
    );
  });

  test('cellnet-ipam answers without interfaces, and looks only at its own section', async () => {
    const output = await call({}, { type: 'bridge', bridge: 5, mtu: 'x', unknown: true }, 'cellnet-ipam');
    const { ips, interfaces, routes } = reply(output);
    assert.equal(interfaces, undefined);
    assert.equal(ips?.[0]?.interface, undefined);
    assert.deepEqual(routes, [{ dst: '0.0.0.0/0', gw: '10.20.0.1' }]);
    assert.deepEqual(work(), []);
    assert.equal(
      (await call({}, { type: 'bridge', ipam: { type: 'host-local' } }, 'cellnet-ipam')).exitCode,
      1,
    );
  });

  test('whatever comes in: a valid reply or a valid error, and what is refused changes nothing', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom(
        'c1',
        '/pod',
        'eth0',
        '/plugins',
        'IgnoreUnknown=1',
        '1.1.0',
        '0.4.0',
        'cell',
        'cellnet',
      ),
    );
    const environment = fc.record(
      {
        CNI_COMMAND: fc.oneof(fc.constantFrom(...VERBS), text),
        CNI_CONTAINERID: text,
        CNI_NETNS: text,
        CNI_IFNAME: text,
        CNI_PATH: text,
        CNI_ARGS: text,
      },
      { requiredKeys: [] },
    );
    const json = fc.record(
      {
        cniVersion: fc.oneof(fc.constantFrom('1.1.0', '1.0.0', '0.4.0'), fc.jsonValue()),
        name: fc.oneof(fc.constant('cell'), fc.jsonValue()),
        bridge: fc.jsonValue(),
        mtu: fc.jsonValue(),
        gratuitousArp: fc.jsonValue(),
        ipam: fc.oneof(fc.constant({ type: 'cellnet-ipam' }), fc.jsonValue()),
        prevResult: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const stdin = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.jsonValue().map((each) => JSON.stringify(each)),
      json.map((each) => JSON.stringify(each)),
    );
    await fc.assert(
      fc.asyncProperty(
        environment,
        stdin,
        fc.constantFrom<Plugin>('cellnet', 'cellnet-ipam'),
        async (some, input, plugin) => {
          fake.calls.length = 0;
          const { revision } = fake.world.store;
          const output = await dispatch(plugin, { env: some, stdin: input, sharedConfig: undefined }, () =>
            Promise.resolve(fake.parts()),
          );
          if (output.exitCode === 0) return;
          const { cniVersion, code, msg } = reply(output);
          assert.equal(typeof cniVersion, 'string');
          assert.ok(typeof code === 'number' && code > 0 && code !== 999, output.stdout);
          assert.ok(typeof msg === 'string' && msg !== '' && !msg.includes('    at '));
          if ([1, 4, 6, 7].includes(code)) assert.equal(fake.world.store.revision, revision);
        },
      ),
      { numRuns: 3000 },
    );
  });
});
