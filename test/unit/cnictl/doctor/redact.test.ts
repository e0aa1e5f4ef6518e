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
    ['a number in JSON', '{"pin": 12345678, "x": 1}', '12345678'],
    ['a list in JSON', '{"cookies": ["planted-a", {"b": "planted-b"}], "x": 1}', 'planted'],
    ['an object in JSON in JSON', JSON.stringify({ m: '{"secret":{"a":"planted"},"x":1}' }), 'planted'],
    ['a quoted text that is cut off', '{"token":"planted and more', 'planted'],
    ['a block of YAML', 'a:\n  password: |\n    planted one\n\n    planted two\n  next: x', 'planted'],
    ['a cookie', 'Set-Cookie: a=planted; Path=/', 'planted'],
    ['all of an Authorization header', 'Authorization: Digest username="x", response="planted"', 'planted'],
    ['a signature in a URL', 'https://h/x?X-Amz-Signature=planted&a=b', 'planted'],
    ['a SAS of Azure', 'https://h/x?sv=1&sig=planted%3D', 'planted'],
    ['the ID of a key', 'key AKIAABCDEFGHIJKLMNOP here', 'AKIAABCDEFGHIJKLMNOP'],
    ['a password with an @ in a URL', 'http://root:plan@ted@10.0.0.1/x', 'ted@'],
    ['a backslash at the end', JSON.stringify({ password: 'planted\\', x: 'kept' }), 'planted'],
  ];
  for (const [what, text, secret] of planted) {
    test(what, () => {
      const clean = redactText(text);
      assert.ok(!clean.includes(secret), clean);
      assert.ok(clean.includes(REDACTED));
    });
  }

  const NAMES =
    'cookie pin psk sshKey accessKey signature aws_secret_access_key AWS_SESSION_TOKEN client-secret dbPassword wpa.psk secretKeys preSharedKey sharedkey api-key apiKey private_key authToken otp sig bearer signingKey PGPASSWORD credentials wgPrivateKey tls-client-key-data'.split(
      ' ',
    );
  for (const name of NAMES)
    test(`the name ${name}, in each way to write it`, () => {
      for (const text of [
        `${name}=planted`,
        `${name}: planted`,
        `x ${name} = 'planted'`,
        `--${name} planted x`,
        `--${name}=planted x`,
        JSON.stringify({ [name]: 'planted' }),
        JSON.stringify({ log: JSON.stringify({ log: JSON.stringify({ [name]: 'pla"n\\ted' }) }) }),
        JSON.stringify({ a: [{ [name]: ['planted'] }] }, null, 2),
        JSON.stringify({ log: JSON.stringify({ [name]: { a: ['pla}"n\\ted', 1] }, kept: 'kept' }), kept: 1 }),
      ]) {
        const clean = redactText(text);
        assert.doesNotMatch(clean, /pla.?n.*ted/, text);
        if (text.startsWith('{')) assert.doesNotThrow(() => JSON.parse(clean) as unknown, clean);
        assert.equal(clean.includes('kept'), text.includes('kept'), clean);
      }
      assert.ok(!JSON.stringify(redactJson({ a: { [name]: 'planted' } })).includes('planted'));
      assert.ok(!JSON.stringify(redactJson([{ name, value: 'planted' }])).includes('planted'));
    });

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
      '{"key":"blocks/blue/10.20.0.16/28","value":"x"}',
      'indexKey=nodes/node-1/10.20.0.16/28 secretName: etcd-certs passwordFile="/etc/p"',
      '{"token":null,"secret":true,"mapping":"a","spinning":1,"author":"me","keyboard":"de"}',
    ])
      assert.equal(redactText(text), text);
  });
});

suite('a long value', () => {
  const N = 200_000;
  const many = (part: string): string => part.repeat(Math.ceil(N / part.length));
  for (const part of [
    'a',
    'a.',
    'a-',
    '-',
    '--',
    ' ',
    '\\',
    '"',
    "'",
    '\\"',
    'eyJ-',
    'eyJa.',
    '://',
    'a://',
    'a@',
    '-----BEGIN ',
    '-----BEGIN A',
    'LS0tLS1',
    'AKIA',
    'Bearer ',
    'cookie:',
    'password=',
    'password="',
    'password=\\"',
    'password=\\"\n',
    "password='\n",
    'password: |\n',
    'password: |\n ',
    '"password":[',
    '"password":{"',
    '--password ',
    '--password  -',
    'x:\n',
    '{"name":"a","value":"b"},',
  ])
    test(`of ${JSON.stringify(part)} takes time linear in its length`, () => {
      for (const text of [
        many(part),
        `password=${many(part)}`,
        `"token":"${many(part)}`,
        `${many(part)}=x`,
      ]) {
        const began = performance.now();
        redactText(text);
        const tookMs = performance.now() - began;
        assert.ok(tookMs < 2_000, `${tookMs} ms for ${JSON.stringify(text.slice(0, 40))}`);
      }
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
