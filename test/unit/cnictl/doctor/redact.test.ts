import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { REDACTED, redactJson, redactText } from '../../../../cnictl/doctor/redact.ts';

const PEM = `-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIPlanted\nSecretSecret==\n-----END EC PRIVATE KEY-----`;
const JWT = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJl';

suite('secrets in texts', () => {
  const planted: [what: string, text: string, secret: string][] = [
    ['a private key', `key is ${PEM} here`, 'MHcCAQEEIPlanted'],
    ['a key that was cut off', '-----BEGIN PRIVATE KEY-----\nplanted9', 'planted9'],
    [
      'a key in base64',
      `client-key-data: ${Buffer.from(PEM).toString('base64')}`,
      Buffer.from(PEM).toString('base64'),
    ],
    ['a token of a service account', `token ${JWT}`, JWT],
    ['a bearer header', 'Authorization: Bearer abc.planted-1', 'abc.planted-1'],
    ['a basic header', 'authorization: Basic cGxhbnRlZA==', 'cGxhbnRlZA=='],
    ['a URL with a user', 'http://root:planted2@10.0.0.1:2379/x', 'planted2'],
    ['a setting', 'password=planted3 next', 'planted3'],
    ['a setting in JSON', '{"etcdPassword":"plan\\"ted4","x":1}', 'ted4'],
    ['a setting in JSON in JSON', JSON.stringify({ msg: '{"password":"plan\\"ted8","x":1}' }), 'ted8'],
    ['a setting in YAML', "  token: 'planted5 with spaces'", 'planted5 with spaces'],
    ['a flag', 'etcdctl --password planted6 get', 'planted6'],
    ['a flag with its value', 'x --client-token=planted7', 'planted7'],
  ];
  for (const [what, text, secret] of planted) {
    test(what, () => {
      const clean = redactText(text);
      assert.ok(!clean.includes(secret), clean);
      assert.ok(clean.includes(REDACTED));
    });
  }

  test('a known one goes wherever it stands', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 4 }), fc.string(), (before, secret, after) => {
        fc.pre(!REDACTED.includes(secret));
        assert.ok(
          !redactText(`${before}${secret}${after}`, [secret]).includes(secret) || REDACTED.includes(secret),
        );
      }),
    );
  });

  test('JSON stays JSON', () => {
    const inner = JSON.stringify({ password: 'planted, too', x: 1 });
    const outer = { k8s_auth_token: 'planted', log: inner };
    const clean = JSON.parse(redactText(JSON.stringify(outer))) as typeof outer;
    assert.equal(clean.k8s_auth_token, REDACTED);
    assert.deepEqual(JSON.parse(clean.log), { password: REDACTED, x: 1 });
  });

  test('what is none stays', () => {
    for (const text of [
      'etcd at http://127.0.0.1:2379 did not answer in time',
      'keyFile: /etc/cellnet/node.key',
      'key blocks/blue/10.20.0.0/28 of node-1',
      'the password file cannot be read',
    ])
      assert.equal(redactText(text), text);
  });
});

test('secrets in configurations, however deep; names of files stay', () => {
  const clean = redactJson(
    {
      etcd: {
        password: 'planted',
        passwordFile: '/etc/p',
        pw: 'planted',
        keyFile: '/etc/k',
        endpoints: ['http://u:planted@h:1'],
      },
      plugins: [
        {
          type: 'other',
          policy: { k8s_auth_token: 'planted' },
          kubernetes: { 'client-key-data': 'planted' },
        },
      ],
      users: [{ user: { token: 'planted', auth: { username: 'x' } } }],
      secret: ['planted'],
      note: `it says Bearer planted`,
    },
    [],
  );
  const text = JSON.stringify(clean);
  assert.ok(!text.includes('planted'), text);
  for (const kept of ['/etc/p', '/etc/k', '"type":"other"']) assert.ok(text.includes(kept), text);
});
