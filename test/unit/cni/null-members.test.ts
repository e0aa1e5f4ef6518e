import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readNetworkConfig } from '../../../cni/protocol/config.ts';
import { grantOfDelegate } from '../../../cni/protocol/grant.ts';
import { withoutNullMembers } from '../../../ipam/records/decode.ts';
import { parseSharedConfig } from '../../../ipam/settings/settings.ts';
import { CONFIG, reply, useFakeNode } from './fake-platform.ts';

suite('null, which programs in Go write for what is not set', () => {
  const node = useFakeNode();

  const OPTIONAL: object[] = [
    ...['mtu', 'vlan', 'trunk', 'externalIds', 'createBridge', 'gratuitousArp', 'addressProbe', 'agent'],
    ...['args', 'capabilities', 'runtimeConfig', 'prevResult', 'dns', 'disableCheck', 'cniVersions'],
  ].map((key) => ({ [key]: null }));
  const NESTED: object[] = [
    { capabilities: { ips: null } },
    { dns: { nameservers: null, domain: null } },
    { runtimeConfig: { ips: null, mac: null, bandwidth: null } },
    { runtimeConfig: { bandwidth: { ingressRate: null } } },
    { args: { cni: null } },
    { args: { cni: { ips: null, mac: null } } },
    { gratuitousArp: { count: null, intervalMs: 100 } },
    { ipam: { ...CONFIG.ipam, ranges: null, families: null, node: null, etcd: null } },
    { ipam: { ...CONFIG.ipam, etcd: { endpoints: null, prefix: null } } },
    { prevResult: { cniVersion: '1.1.0', interfaces: null, ips: null, routes: null, dns: null } },
    { prevResult: { ips: [{ address: '10.9.0.2/24', gateway: null, interface: null }] } },
    { prevResult: { routes: [{ dst: '10.0.0.0/8', gw: null, mtu: null, table: null, scope: null }] } },
    { prevResult: { interfaces: [{ name: 'lo', mac: null, mtu: null, sandbox: null }] } },
  ];
  for (const more of [...OPTIONAL, ...NESTED]) {
    test(`ADD with ${JSON.stringify(more)}`, async () =>
      assert.equal(reply(await node.call({}, more)).msg, undefined));
  }

  test('a reply hands on no null of the result before it', async () => {
    const previous = { ips: [{ address: '10.9.0.2/24', gateway: null }], routes: null, dns: null };
    const { stdout } = await node.call({}, { prevResult: previous, dns: { nameservers: null } });
    assert.doesNotMatch(stdout, /null/);
  });

  test('a required key that is null is missing', async () => {
    const { code, msg } = reply(await node.call({}, { name: null }));
    assert.equal(code, 7);
    assert.match(msg ?? '', /key 'name' is missing/);
  });

  test('a null element of a list is refused', async () => {
    const { code, msg } = reply(await node.call({}, { prevResult: { ips: [null] } }));
    assert.equal(code, 7);
    assert.match(msg ?? '', /'prevResult\.ips\.0' is null/);
  });

  test('CHECK with a null prevResult says that it needs one', async () => {
    const { msg } = reply(await node.call({ CNI_COMMAND: 'CHECK' }, { prevResult: null }));
    assert.match(msg ?? '', /CHECK needs key 'prevResult'/);
  });

  const GC_LISTS: [more: object, left: number][] = [
    [{ 'cni.dev/valid-attachments': null }, 0],
    [{ 'cni.dev/attachments': null }, 0],
    [{ 'cni.dev/valid-attachments': null, 'cni.dev/attachments': null }, 0],
    [
      { 'cni.dev/valid-attachments': null, 'cni.dev/attachments': [{ containerID: 'c1', ifname: 'eth0' }] },
      1,
    ],
    [{ 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }] }, 1],
  ];
  for (const [more, left] of GC_LISTS) {
    test(`GC with ${JSON.stringify(more)} leaves ${left} of 1`, async () => {
      await node.call();
      assert.equal((await node.call({ CNI_COMMAND: 'GC' }, more)).stdout, '');
      assert.equal(node.fake.world.given().size, left);
    });
  }

  test('GC without a list is refused', async () =>
    assert.equal(reply(await node.call({ CNI_COMMAND: 'GC' })).code, 7));

  test("of a delegate's result", () => {
    const { ips, routes, dns } = grantOfDelegate(
      'host-local',
      JSON.stringify({
        interfaces: null,
        ips: [{ address: '10.1.0.5/24', gateway: null, interface: null }],
        routes: [{ dst: '0.0.0.0/0', gw: null, priority: null }],
        dns: null,
      }),
    );
    assert.deepEqual(
      { ips, routes, dns },
      {
        ips: [{ address: '10.1.0.5/24' }],
        routes: [{ dst: '0.0.0.0/0' }],
        dns: undefined,
      },
    );
    assert.deepEqual(
      grantOfDelegate('host-local', '{"ips":[{"address":"10.1.0.5/24"}],"routes":null}').routes,
      [],
    );
  });

  test('of the shared file', () => {
    const text = '{"etcd":{"endpoints":null,"caFile":null},"ovsdbTls":null,"agent":null,"kubeconfig":null}';
    assert.deepEqual(parseSharedConfig(text, 'config.json'), { etcd: {} });
  });

  test('nesting of any depth is no trouble', () => {
    const depth = 200_000;
    const deep = `${'['.repeat(depth)}${']'.repeat(depth)}`;
    const stdin = `{"cniVersion":"1.1.0","name":"cell","args":${deep}}`;
    assert.equal(readNetworkConfig(stdin, 'cellnet', 'DEL').config.name, 'cell');
    assert.equal(withoutNullMembers(5), 5);
  });
});
