import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { KnownState, type KnownRecord } from '../../../../ipam/events/state.ts';
import { IpamError } from '../../../../ipam/model/errors.ts';
import type { Lifetime } from '../../../../ipam/model/lifetime.ts';
import type { AddressHistory } from '../../../../ipam/query/history.ts';
import { parseAddress, parseCidr, sameAddress } from '../../../../ipam/model/address.ts';
import { newBlock, slotIndex, takeSlot } from '../../../../ipam/model/block.ts';
import { blockKey, rangeKey } from '../../../../ipam/records/keys.ts';
import { MapData } from '../../../../cnictl/serve/map-data.ts';
import { mapRoutes } from '../../../../cnictl/serve/map-routes.ts';
import { pageRoutes } from '../../../../cnictl/serve/page-routes.ts';
import { serveRoutes, type Served } from '../../../../cnictl/serve/server.ts';
import { owner, range } from '../../ipam/world.ts';

const NOW = Date.parse('2026-01-02T00:00:00Z');
const HOUR = 3_600_000;
const blue = range('10.20.0.0/26', { name: 'blue', gateway: '10.20.0.1', vlan: 120 });
const web = owner('c-web-1', { podNamespace: 'shop', podName: 'web-1', podUid: 'uid-1' });
const block = takeSlot(
  newBlock(blue, parseCidr('10.20.0.16/28'), 'node-1', NOW - 9 * HOUR),
  1,
  web,
  NOW - HOUR,
).block;
const past: Lifetime = {
  address: parseAddress('10.20.0.17'),
  node: 'node-2',
  owner: owner('c-api-1', { podNamespace: 'pay', podName: 'api-1', podUid: 'uid-2' }),
  allocatedAt: NOW - 5 * HOUR,
  releasedAt: NOW - 3 * HOUR,
  cause: { why: 'operator', by: 'alice@admin-1' },
};

interface Found {
  readonly kind: string;
  readonly text: string;
}

suite('routes of the page', () => {
  let served: Served;
  let dir: string;
  let isRead = true;
  let isAway = false;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cellnet-web-'));
    writeFileSync(join(dir, 'token'), 'correct-horse\n');
    const records = new Map<string, KnownRecord>([
      [rangeKey('blue'), { revision: 1, known: { kind: 'range', range: blue } }],
      [blockKey('blue', block.cidr), { revision: 2, known: { kind: 'block', block } }],
    ]);
    const state = new KnownState(2, records);
    served = await serveRoutes(
      { listen: '127.0.0.1:0', tokenFile: join(dir, 'token') },
      [
        ...pageRoutes('/dist', (path) =>
          path === '/dist/lib/web/index.html' ? '<!doctype html>' : undefined,
        ),
        ...mapRoutes({
          data: new MapData(() => (isRead ? state : undefined)),
          now: () => NOW,
          extras: () => ({ forecast: { full: null } }),
          history: (address): Promise<AddressHistory> => {
            if (isAway) return Promise.reject(new IpamError('store-unreachable', 'etcd does not answer'));
            const slot = block.slots[slotIndex(block, address)];
            const view = {
              address,
              range: 'blue',
              block: block.cidr,
              node: 'node-1',
              state: 'used' as const,
              slot,
            };
            const own = sameAddress(address, past.address) ? [past] : [];
            const completeSince = NOW - 6 * HOUR;
            return Promise.resolve({
              view,
              block: block.cidr,
              past: own,
              kept: 16,
              completeSince,
              unreadable: [],
            });
          },
        }),
      ],
      () => undefined,
    );
  });
  after(async () => {
    served.close();
    await rm(dir, { recursive: true });
  });

  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${served.url}${path}`, { headers: { authorization: 'Bearer correct-horse', ...headers } });
  const json = async (path: string): Promise<Record<string, unknown>> =>
    (await (await get(path)).json()) as Record<string, unknown>;
  const refused = async (path: string): Promise<string> => {
    const response = await get(path);
    return `${response.status} ${(await response.text()).trim()}`;
  };

  test('all ranges, with their counts, a strip of their blocks, and what other parts tell', async () => {
    const { ranges, revision, now } = await json('/api/ranges');
    assert.deepEqual([revision, now], [2, '2026-01-02T00:00:00.000Z']);
    const counts = { free: 60, used: 1, cooling: 0, kept: 0, reserved: 3, conflict: 0, unknown: 0 };
    assert.deepEqual(ranges, [
      {
        ...{ name: 'blue', cidr: '10.20.0.0/26', gateway: '10.20.0.1', vlan: 120, state: 'active' },
        ...{ namedOnly: false, blockSize: 16, cooldownMs: 30_000, capacity: 61, counts },
        ...{ blocks: { total: 4, claimed: 1 }, holders: 1, strip: '.0..', forecast: { full: null } },
      },
    ]);
    assert.deepEqual((await json('/api/ranges?name=other'))['ranges'], []);
  });

  test('a range with its rows, a block, an address, a search', async () => {
    const { rows } = await json('/api/range?name=blue&block=10.20.0.16/28');
    assert.deepEqual(rows, [
      {
        cidr: '10.20.0.16/28',
        holder: { kind: 'node', name: 'node-1' },
        claimedAt: '2026-01-01T15:00:00.000Z',
        cells: '.#..............',
      },
    ]);
    const { addresses } = await json('/api/block?cidr=10.20.0.16/28');
    assert.equal((addresses as unknown[]).length, 16);
    const { address } = (await json('/api/address?ip=10.20.0.17')) as { address: Record<string, unknown> };
    assert.deepEqual(address['pod'], { namespace: 'shop', name: 'web-1', uid: 'uid-1' });
    assert.deepEqual([address['mac'], address['node']], ['0a:58:0a:14:00:11', 'node-1']);
    const { found, more } = (await json('/api/search?q=web')) as { found: Found[]; more: boolean };
    assert.deepEqual([found.map(({ text }) => text), more], [['shop/web-1'], false]);
  });

  test('who had an address at a time; nobody, and not known, are two things', async () => {
    const at = async (hours: number): Promise<Record<string, unknown>> => {
      const time = new Date(NOW - hours * HOUR).toISOString();
      return (await json(`/api/address?ip=10.20.0.17&at=${time}`))['at'] as Record<string, unknown>;
    };
    assert.deepEqual(((await at(0.5))['owner'] as { pod: object }).pod, {
      namespace: 'shop',
      name: 'web-1',
      uid: 'uid-1',
    });
    const had = (await at(4))['owner'] as Record<string, unknown>;
    assert.deepEqual([had['node'], had['why'], had['by']], ['node-2', 'operator', 'alice@admin-1']);
    const nobody = await at(2);
    assert.deepEqual([nobody['owner'], nobody['isCertain']], [null, true]);
    const unknown = await at(7);
    assert.deepEqual([unknown['owner'], unknown['isCertain']], [null, false]);
  });

  test('a wrong question is told what was expected', async () => {
    assert.equal(await refused('/api/range?name=red'), `404 there is no range 'red'`);
    assert.equal(await refused('/api/range'), '400 name: expected the name of a range');
    assert.match(
      await refused('/api/address?ip=10.20'),
      /^400 ip '10\.20' is not an IP address: expected the form/,
    );
    assert.equal(await refused('/api/address?ip=10.99.0.1'), '404 no range contains 10.99.0.1');
    assert.match(
      await refused('/api/address?ip=10.20.0.17&at=yesterday'),
      /^400 at=yesterday: expected a time with its zone, such as 2026-/,
    );
    assert.equal(
      await refused('/api/block?cidr=10.20.0.0/27'),
      `400 cidr '10.20.0.0/27': expected a block of range 'blue'`,
    );
    assert.equal(
      await refused('/api/search?q=a&limit=999'),
      '400 limit=999: expected a number from 1 to 200',
    );
    assert.equal(
      await refused('/api/ranges?nmae=blue'),
      `400 unknown parameter 'nmae': expected one of name`,
    );
    isRead = false;
    assert.equal(await refused('/api/ranges'), '503 etcd has not been read yet');
    isRead = true;
    isAway = true;
    assert.equal(await refused('/api/address?ip=10.20.0.17'), '503 etcd does not answer');
    isAway = false;
  });

  test('what is still so is not sent again', async () => {
    const first = await get('/api/ranges');
    const etag = first.headers.get('etag') ?? '';
    await first.text();
    const again = await get('/api/ranges', { 'if-none-match': etag });
    assert.equal(again.status, 304);
    assert.equal((await get('/api/search?q=web', { 'if-none-match': etag })).status, 200);
  });

  test('no other page may show, frame or read what is answered', async () => {
    for (const path of ['/', '/api/ranges', '/nothing']) {
      const { headers } = await get(path);
      const policy = headers.get('content-security-policy') ?? '';
      assert.match(policy, /default-src 'none'.*frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|http/);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('referrer-policy'), 'no-referrer');
      assert.equal(headers.get('cross-origin-resource-policy'), 'same-origin');
      assert.equal(headers.get('access-control-allow-origin'), null);
    }
  });

  test('the page signs in once with the token, and has a cookie that no script reads', async () => {
    const signIn = (token: string, headers: Record<string, string> = {}): Promise<Response> =>
      fetch(`${served.url}/api/sign-in`, { method: 'POST', body: token, headers });
    const open = (cookie: string, headers: Record<string, string> = {}): Promise<number> =>
      fetch(`${served.url}/api/ranges`, { headers: { cookie, ...headers } }).then(({ status }) => status);
    assert.equal((await fetch(`${served.url}/`)).status, 200);
    assert.equal((await fetch(`${served.url}/api/ranges`)).status, 401);
    assert.equal((await signIn('wrong')).status, 403);
    assert.equal((await signIn('correct-horse', { 'sec-fetch-site': 'cross-site' })).status, 403);
    assert.equal((await signIn('x'.repeat(5_000))).status, 413);
    assert.equal((await fetch(`${served.url}/api/sign-in`)).status, 405);
    const header = (await signIn('correct-horse')).headers.get('set-cookie') ?? '';
    assert.match(header, /^cellnet=\d+\.[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    const [cookie = ''] = header.split(';');
    assert.equal(await open(cookie), 200);
    assert.equal(await open(`other=1; ${cookie}`), 200);
    assert.equal(await open(cookie, { 'sec-fetch-site': 'same-site' }), 401);
    assert.equal(await open(cookie.replace(/\d/, (digit) => String((Number(digit) + 1) % 10))), 401);
    assert.equal(await open('cellnet='), 401);
    const out = await fetch(`${served.url}/api/sign-out`, { method: 'POST' });
    assert.match(out.headers.get('set-cookie') ?? '', /^cellnet=; .*Max-Age=0/);
  });
});

test('a port that another program has is named, with what to do', async () => {
  const first = await serveRoutes({ listen: '127.0.0.1:0' }, [], () => undefined);
  const listen = new URL(first.url).host;
  try {
    await assert.rejects(
      serveRoutes({ listen }, [], () => undefined),
      {
        message: `map and events cannot be served at ${listen}: address already in use`,
        remedy: /another port with --listen/,
      },
    );
  } finally {
    first.close();
  }
});
