import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  checkNodeName,
  mergeSettings,
  parseSharedConfig,
  settingsFromEnvironment,
} from '../../../ipam/settings/settings.ts';
import { checkEtcdSettings, etcdSettings } from '../../../ipam/store/etcd/settings.ts';

suite('settings', () => {
  test('each key comes from the first layer that has it', () => {
    const file = parseSharedConfig(
      '{"etcd":{"endpoints":["http://f:1"],"prefix":"/file","caFile":""},"node":"file","bridge":"br-file"}',
      'f.json',
    );
    const env = settingsFromEnvironment({
      CELLNET_ETCD_ENDPOINTS: 'http://a:1, http://b:2',
      CELLNET_NODE: 'env',
      CELLNET_BRIDGE: '',
      CELLNET_AGENT: 'false',
    });
    const merged = mergeSettings([
      {
        etcd: undefined,
        node: 'flag',
        bridge: undefined,
        ovsdb: undefined,
        agent: undefined,
        kubeconfig: undefined,
      },
      env,
      file,
    ]);
    assert.equal(merged.node, 'flag');
    assert.deepEqual(merged.etcd?.endpoints, ['http://a:1', 'http://b:2']);
    assert.equal(merged.etcd.prefix, '/file');
    assert.equal(merged.etcd.caFile, undefined);
    assert.equal(merged.bridge, 'br-file');
    assert.equal(merged.agent, false);
  });

  test('masqueradeForwarded: from the file and the environment, which wins', () => {
    const file = parseSharedConfig('{"masqueradeForwarded":true}', 'f.json');
    const of = (value: string): boolean | undefined =>
      mergeSettings([settingsFromEnvironment({ CELLNET_MASQUERADE_FORWARDED: value }), file])
        .masqueradeForwarded;
    assert.deepEqual([of(''), of('false')], [true, false]);
    assert.throws(() => of('yes'), /CELLNET_MASQUERADE_FORWARDED is .*yes.*: expected true or false/);
    assert.throws(
      () => parseSharedConfig('{"masqueradeForwarded":"yes"}', 'f.json'),
      /f\.json: key 'masqueradeForwarded' is "yes": expected boolean/,
    );
  });

  test('the shared file is read strictly', () => {
    assert.throws(() => parseSharedConfig('{', 'f.json'), {
      code: 'invalid',
      message: /^f\.json is not JSON/,
    });
    assert.throws(
      () => parseSharedConfig('{"etcd":{"endpoint":["x"]}}', 'f.json'),
      /f\.json: unknown key 'etcd\.endpoint': expected one of endpoints, prefix/,
    );
    assert.throws(
      () => parseSharedConfig('{"node":5}', 'f.json'),
      /f\.json: key 'node' is 5: expected string/,
    );
  });

  test('etcd has defaults', () => {
    assert.deepEqual(etcdSettings(undefined), { endpoints: ['http://127.0.0.1:2379'], prefix: '/cellnet' });
  });

  const cases: [change: Parameters<typeof checkEtcdSettings>[0], message: RegExp][] = [
    [{ endpoints: [], prefix: '/c' }, /endpoints is empty/],
    [
      { endpoints: ['127.0.0.1:2379'], prefix: '/c' },
      /'127\.0\.0\.1:2379' is no endpoint: expected 'http:\/\/HOST:PORT'/,
    ],
    [{ endpoints: ['http://h:99999'], prefix: '/c' }, /is no endpoint/],
    [{ endpoints: ['http://a:1', 'https://b:1'], prefix: '/c' }, /mixes http and https/],
    [{ endpoints: ['http://a:1'], prefix: 'c' }, /etcd\.prefix 'c'/],
    [{ endpoints: ['http://a:1'], prefix: '/c/' }, /etcd\.prefix/],
    [
      { endpoints: ['https://a:1'], prefix: '/c', caFile: 'x', certFile: 'c' },
      /etcd\.certFile is given without etcd\.keyFile/,
    ],
    [
      { endpoints: ['http://a:1'], prefix: '/c', username: 'u' },
      /etcd\.username is given without etcd\.passwordFile/,
    ],
    [{ endpoints: ['http://a:1'], prefix: '/c', caFile: 'x' }, /caFile is given, but the endpoints are http/],
  ];
  for (const [settings, message] of cases) {
    test(`refused: ${message.source}`, () =>
      assert.throws(() => checkEtcdSettings(settings), { code: 'invalid', message }));
  }

  test('IPv6 endpoints are endpoints', () =>
    checkEtcdSettings({ endpoints: ['http://[fd00::1]:2379'], prefix: '/a/b' }));

  test('a node name is part of a key: no slash, no space', () => {
    assert.equal(checkNodeName('node-7.example.org'), 'node-7.example.org');
    for (const name of ['', 'a/b', 'a b', '-a', 'a\n'])
      assert.throws(() => checkNodeName(name), { code: 'invalid' });
  });
});
