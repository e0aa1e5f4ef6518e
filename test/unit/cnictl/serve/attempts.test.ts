import assert from 'node:assert/strict';
import { request } from 'node:http';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Attempts } from '../../../../cnictl/serve/attempts.ts';
import { readAccess } from '../../../../cnictl/serve/access.ts';
import { serveRoutes, type Served } from '../../../../cnictl/serve/server.ts';

const TOKEN = 'grün-à-ключ';

suite('wrong tokens', () => {
  test('an address that sent too many waits, all others do not, and it may again later', () => {
    let now = 0;
    const attempts = new Attempts(() => now);
    for (let n = 0; n < 10; n++) {
      assert.equal(attempts.waitSeconds('192.0.2.1'), 0);
      attempts.add('192.0.2.1', `t${n}`);
      attempts.add('192.0.2.1', 't0');
    }
    now = 20_500;
    assert.equal(attempts.waitSeconds('192.0.2.1'), 40);
    assert.equal(attempts.waitSeconds('::ffff:192.0.2.1'), 40, 'the same address');
    assert.equal(attempts.waitSeconds('192.0.2.2'), 0);
    now = 60_000;
    assert.equal(attempts.waitSeconds('192.0.2.1'), 0);
    attempts.add('192.0.2.1', 't');
    assert.equal(attempts.waitSeconds('192.0.2.1'), 0, 'it begins anew');
  });

  test('addresses of one IPv6 network count together', () => {
    const attempts = new Attempts(() => 0);
    for (let n = 0; n < 10; n++) attempts.add(`2001:db8:0:1::${n + 1}`, `t${n}`);
    assert.equal(attempts.waitSeconds('2001:db8:0:1:ffff:1:2:3'), 60);
    assert.equal(attempts.waitSeconds('2001:db8:0:2::1'), 0);
    for (let n = 0; n < 10; n++) attempts.add(`fe80::${n + 1}%eth0`, `t${n}`);
    assert.equal(attempts.waitSeconds('fe80::99%eth0'), 60);
    assert.equal(attempts.waitSeconds('::1'), 0);
  });

  test('many addresses fill no memory', () => {
    const attempts = new Attempts(() => 0);
    for (let n = 0; n < 10; n++) attempts.add('192.0.2.1', `t${n}`);
    for (let n = 0; n < 4_096; n++) attempts.add(`10.0.${n >> 8}.${n & 255}`, 't');
    assert.equal(attempts.waitSeconds('192.0.2.1'), 0, 'the oldest is forgotten');
  });
});

suite('a server with a token', () => {
  let served: Served;
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cellnet-token-'));
    writeFileSync(join(dir, 'token'), `${TOKEN}\n`);
    served = await serveRoutes(
      { listen: '127.0.0.1:0', tokenFile: join(dir, 'token') },
      [{ path: '/x', answer: (_, response) => void response.end('x') }],
      () => undefined,
    );
  });
  after(async () => {
    served.close();
    await rm(dir, { recursive: true });
  });

  interface Sent {
    readonly path?: string;
    readonly headers?: Record<string, string>;
    readonly body?: string;
    readonly localAddress?: string;
  }
  const send = ({ path = '/x', headers = {}, body, localAddress = '127.0.0.1' }: Sent): Promise<string[]> =>
    new Promise((resolve, reject) => {
      const method = body === undefined ? 'GET' : 'POST';
      const options = { method, headers, localAddress };
      const sent = request(`${served.url}${path}`, options, (reply) => {
        reply.resume();
        const { statusCode = 0, headers } = reply;
        resolve([String(statusCode), headers['retry-after'] ?? '', headers['set-cookie']?.[0] ?? '']);
      });
      sent.on('error', reject).end(body);
    });
  const bearer = (token: string): Record<string, string> => ({
    authorization: `Bearer ${Buffer.from(token).toString('latin1')}`,
  });
  const signIn = (token: string, localAddress?: string): Promise<string[]> =>
    send({ path: '/api/sign-in', body: token, ...(localAddress !== undefined && { localAddress }) });

  test('takes a token of letters beyond ASCII, in the header and from the page', async () => {
    assert.equal((await send({ headers: bearer(TOKEN) }))[0], '200');
    assert.equal((await signIn(TOKEN))[0], '204');
    assert.equal((await send({ headers: bearer('gr') }))[0], '401');
  });

  test('a file that is no UTF-8 is refused', () => {
    writeFileSync(join(dir, 'latin'), Buffer.from('gr\u00fcn', 'latin1'));
    assert.throws(() => readAccess({ listen: '127.0.0.1:0', tokenFile: join(dir, 'latin') }), {
      message: /latin': expected a file with one token in UTF-8, without blanks$/,
    });
  });

  test('a stranger who tries tokens has to wait, and keeps nobody else out', async () => {
    const stranger = '127.0.0.9';
    const [, , cookie = ''] = await signIn(TOKEN, stranger);
    for (let n = 0; n < 5; n++) assert.equal((await signIn(`wrong-${n}`, stranger))[0], '403');
    for (let n = 0; n < 5; n++)
      assert.equal((await send({ headers: bearer(`wrong-${n}`), localAddress: stranger }))[0], '401');
    const [status, retryAfter] = await signIn(TOKEN, stranger);
    assert.equal(status, '429');
    assert.ok(Number(retryAfter) > 50 && Number(retryAfter) <= 60, retryAfter);
    assert.equal((await send({ headers: bearer(TOKEN), localAddress: stranger }))[0], '429');
    assert.equal((await send({ localAddress: stranger }))[0], '401', 'who sends none is told so');
    const [session = ''] = cookie.split(';');
    const signedIn = { headers: { cookie: session }, localAddress: stranger };
    assert.equal((await send(signedIn))[0], '200', 'who signed in before stays so');
    assert.equal((await signIn(TOKEN))[0], '204');
    assert.equal((await send({ headers: bearer(TOKEN) }))[0], '200');
  });

  test('the same wrong token again and again is one try', async () => {
    for (let n = 0; n < 30; n++) assert.equal((await signIn('old', '127.0.0.11'))[0], '403');
    assert.equal((await signIn(TOKEN, '127.0.0.11'))[0], '204');
  });

  test('many requests at once get no more tries', async () => {
    const all = await Promise.all(Array.from({ length: 40 }, (_, n) => signIn(`wrong-${n}`, '127.0.0.10')));
    assert.equal(all.filter(([status]) => status === '403').length, 10);
  });
});
