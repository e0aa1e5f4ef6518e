import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { metricsPortSettings } from '../../../../cni/agent/metrics-port-settings.ts';
import {
  mergeSettings,
  parseSharedConfig,
  settingsFromEnvironment,
  type PartialMetrics,
} from '../../../../ipam/settings/settings.ts';

const FILES = { certFile: '/m/tls.crt', keyFile: '/m/tls.key' };
const EVERYWHERE = '0.0.0.0:9464';

suite('the settings of the metrics port', () => {
  test('none without an address, or with off', () => {
    assert.equal(metricsPortSettings({}), undefined);
    assert.equal(metricsPortSettings(FILES), undefined);
    assert.equal(metricsPortSettings({ listen: 'off', ...FILES }), undefined);
  });

  test('TLS, a CA for clients, a token', () => {
    const address = { kind: 'tcp', host: '0.0.0.0', port: 9464 };
    assert.deepEqual(metricsPortSettings({ listen: EVERYWHERE, ...FILES }), { address, tls: FILES });
    const more = { clientCaFile: '/m/ca.crt', tokenFile: '/m/token' };
    assert.deepEqual(metricsPortSettings({ listen: EVERYWHERE, ...FILES, ...more }), {
      address,
      tls: { ...FILES, clientCaFile: '/m/ca.crt' },
      tokenFile: '/m/token',
    });
    assert.equal(metricsPortSettings({ listen: '[::]:9464', ...FILES })?.address.host, '::');
  });

  test('plain HTTP at the loopback, and elsewhere only when it is said', () => {
    for (const listen of ['127.0.0.1:9464', '127.8.9.1:1', '[::1]:65535'])
      assert.equal(metricsPortSettings({ listen })?.tls, undefined, listen);
    const plain = { listen: EVERYWHERE, plainHttp: true };
    assert.equal(metricsPortSettings(plain)?.tls, undefined);
    for (const listen of [EVERYWHERE, '[::]:9464', '10.0.0.1:9464', '[::ffff:127.0.0.1]:9464'])
      assert.throws(
        () => metricsPortSettings({ listen, tokenFile: '/m/token' }),
        (error: Error) =>
          error.message.startsWith(`key 'metrics.listen' is "${listen}": expected 'metrics.certFile'`) &&
          error.message.includes('"plainHttp": true'),
        listen,
      );
  });

  test('what is no address, and keys that need or exclude others', () => {
    for (const listen of [
      '9464',
      ':9464',
      'localhost:9464',
      '0.0.0.0',
      '0.0.0.0:0',
      '[::]:70000',
      '::1:9464',
    ])
      assert.throws(
        () => metricsPortSettings({ listen, ...FILES }),
        /key 'metrics\.listen' is .* expected an/,
      );
    const wrong: [PartialMetrics, RegExp][] = [
      [{ certFile: '/c' }, /'metrics\.certFile' is "\/c": expected 'metrics\.keyFile' beside it/],
      [{ keyFile: '/k' }, /'metrics\.keyFile' is "\/k": expected 'metrics\.certFile' beside it/],
      [{ clientCaFile: '/ca' }, /'metrics\.clientCaFile' is "\/ca": expected 'metrics\.certFile' and/],
      [{ ...FILES, plainHttp: true }, /'metrics\.plainHttp' is true: expected false/],
    ];
    for (const [partial, message] of wrong)
      assert.throws(() => metricsPortSettings({ listen: '127.0.0.1:9464', ...partial }), message);
  });

  test('from the shared file, each key from the environment first', () => {
    const file = parseSharedConfig(
      JSON.stringify({ metrics: { listen: EVERYWHERE, ...FILES, clientCaFile: '', plainHttp: false } }),
      'f.json',
    );
    const env = settingsFromEnvironment({
      CELLNET_METRICS_LISTEN: '[::]:9464',
      CELLNET_METRICS_TOKEN_FILE: '/m/token',
      CELLNET_METRICS_CLIENT_CA_FILE: '/m/ca.crt',
      CELLNET_METRICS_PLAIN_HTTP: 'false',
    });
    assert.deepEqual(mergeSettings([env, file]).metrics, {
      listen: '[::]:9464',
      ...FILES,
      clientCaFile: '/m/ca.crt',
      tokenFile: '/m/token',
      plainHttp: false,
    });
    assert.throws(
      () => settingsFromEnvironment({ CELLNET_METRICS_PLAIN_HTTP: 'yes' }),
      /CELLNET_METRICS_PLAIN_HTTP is "yes": expected true or false/,
    );
    assert.throws(
      () => parseSharedConfig('{"metrics":{"cert":"/c"}}', 'f.json'),
      /unknown key 'metrics\.cert': expected one of listen, certFile/,
    );
  });
});
