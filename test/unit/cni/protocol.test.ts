import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { Plugin } from '../../../cni/protocol/invocation.ts';
import { VERBS } from '../../../cni/protocol/request.ts';
import { dispatch } from '../../../cni/verbs/dispatch.ts';
import { CONFIG, ENV, reply, useFakeNode } from './fake-platform.ts';

suite('the protocol', () => {
  const node = useFakeNode();

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
    const { code, details } = reply(await node.call({}, { cniVersion: '0.2.0' }));
    assert.equal(code, 1);
    assert.match(details ?? '', /0\.3\.0, 0\.3\.1, 0\.4\.0, 1\.0\.0, 1\.1\.0/);
  });

  for (const [verb, version] of [
    ['CHECK', '0.3.1'],
    ['GC', '1.0.0'],
    ['STATUS', '1.0.0'],
  ] as const) {
    test(`${verb} is not of ${version}`, async () =>
      assert.equal(reply(await node.call({ CNI_COMMAND: verb }, { cniVersion: version })).code, 1));
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
      const { code, msg } = reply(await node.call({ [name]: value }));
      assert.equal(code, 4);
      assert.ok(msg?.includes(name), msg);
      assert.deepEqual(node.fake.calls, []);
    });
  }

  test('the shared file is read, and refused by key', async () => {
    const input = {
      env: ENV,
      stdin: JSON.stringify(CONFIG),
      sharedConfig: { content: '{"etcd":{"endpont":[]}}', file: '/etc/x.json' },
    };
    const { code, msg } = reply(
      await dispatch('cellnet', input, () => Promise.resolve(node.fake.platform())),
    );
    assert.deepEqual(
      [code, msg],
      [
        7,
        "/etc/x.json: unknown key 'etcd.endpont': expected one of endpoints, prefix, caFile, certFile, keyFile, username, passwordFile",
      ],
    );
  });

  test('cellnet-ipam answers without interfaces, and looks only at its own section', async () => {
    const output = await node.call(
      {},
      { type: 'bridge', bridge: 5, mtu: 'x', unknown: true },
      'cellnet-ipam',
    );
    const { ips, interfaces, routes } = reply(output);
    assert.equal(interfaces, undefined);
    assert.equal(ips?.[0]?.interface, undefined);
    assert.deepEqual(routes, [{ dst: '0.0.0.0/0', gw: '10.20.0.1' }]);
    assert.deepEqual(node.work(), []);
    assert.equal(
      (await node.call({}, { type: 'bridge', ipam: { type: 'host-local' } }, 'cellnet-ipam')).exitCode,
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
          node.fake.calls.length = 0;
          const { revision } = node.fake.world.store;
          const output = await dispatch(plugin, { env: some, stdin: input, sharedConfig: undefined }, () =>
            Promise.resolve(node.fake.platform()),
          );
          if (output.exitCode === 0) return;
          const { cniVersion, code, msg } = reply(output);
          assert.equal(typeof cniVersion, 'string');
          assert.ok(typeof code === 'number' && code > 0 && code !== 999, output.stdout);
          assert.ok(typeof msg === 'string' && msg !== '' && !msg.includes('    at '));
          if ([1, 4, 6, 7].includes(code)) assert.equal(node.fake.world.store.revision, revision);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
