/**
 * The page of `cnictl serve` in a real browser, with a real etcd: from all ranges to one address
 * while pods come and go. `UPDATE_PICTURES=1` has it make the pictures of the documentation.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { hostEffects } from '../../../cni/host/effects.ts';
import { allocate } from '../../../ipam/allocate/allocate.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { listRangeUsage } from '../../../ipam/query/range-usage.ts';
import { release } from '../../../ipam/release/release.ts';
import { openEtcdStore } from '../../../ipam/store/etcd/store.ts';
import type { Store } from '../../../ipam/store/store.ts';
import { Browser } from '../../support/browser.ts';
import { OUR_PLUGINS } from '../../support/cni.ts';
import { startEtcd, type Etcd } from '../../support/etcd.ts';
import { filledBlocks, writeGrowth, writeRange } from '../../support/map-fill.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { run, startDaemon, until, type Daemon } from '../../support/proc.ts';
import { range } from '../../unit/ipam/world.ts';
import { pod } from '../../unit/ipam/pods.ts';

const IMAGES = join(import.meta.dirname, '../../../docs/images');
const UPDATES = process.env['UPDATE_PICTURES'] === '1';
const TITLE = `(document.querySelector('h1')?.textContent ?? '')`;
const CHOSEN = `(document.querySelector('.address')?.textContent ?? '')`;

suite('the page of cnictl serve', () => {
  let scope: Scope;
  let etcd: Etcd;
  let store: Store;
  let ipam: Ipam;
  let browser: Browser;
  let server: Daemon;
  let url: string;

  const give = async (name: string, node: string): Promise<string> => {
    const [given] = await allocate(ipam, { node, owner: pod(name), families: [4], ranges: ['blue'] });
    return given ? formatAddress(given.address) : '';
  };
  const end = (name: string, node: string) => {
    const { containerId, ifname } = pod(name);
    return release(ipam, { node, attachment: { containerId, ifname }, cause: { why: 'del' } });
  };
  const serving = async (...options: string[]): Promise<{ daemon: Daemon; url: string }> => {
    const daemon = await startDaemon(
      join(OUR_PLUGINS, 'cnictl'),
      ['serve', '--listen', '127.0.0.1:0', ...options],
      (it) => it.output().includes('events at http'),
      { env: { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(',') } },
    );
    scope.defer(() => daemon.stop());
    const [, at = ''] = /events at (\S+)\/events/.exec(daemon.output()) ?? [];
    await until('etcd is read', async () => (await fetch(`${at}/healthz`)).ok || undefined);
    return { daemon, url: at };
  };
  const fullTimes = async () => {
    const { ranges } = (await (await fetch(`${url}/api/ranges`)).json()) as { ranges: readonly Forecasted[] };
    return ranges.map(fullTime);
  };
  const picture = async (name: string): Promise<void> => {
    const file = join(IMAGES, `${name}.png`);
    if (UPDATES) {
      mkdirSync(IMAGES, { recursive: true });
      writeFileSync(file, await browser.picture());
    }
    assert.ok(existsSync(file), `${file} is missing: run this test with UPDATE_PICTURES=1`);
  };

  before(async () => {
    scope = newScope();
    etcd = scope.use(await startEtcd());
    const opened = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
    scope.defer(() => opened.close());
    store = opened;
    ipam = directIpam(store, hostEffects);
    const now = Date.now();
    await writeRange(store, range('10.20.0.0/24', { name: 'blue', gateway: '10.20.0.1', vlan: 120 }), []);
    for (let n = 0; n < 40; n++) {
      const each = range(`10.30.${4 * n}.0/22`, { name: `rack-${n + 1}`, vlan: 200 + n });
      const part = ((n * 37) % 100) / 100;
      const filling = { claimed: part, used: 0.55 + part / 2, first: 64 * n, nodes: 150, now, variety: true };
      await writeRange(store, each, filledBlocks(each, filling));
    }
    for (let n = 0; n < 24; n++) await give(`web-${n}`, `node-${n % 3}`);
    const { usages } = await listRangeUsage(ipam);
    await writeGrowth(store, usages, now, (name) => Math.max(0, (Number(name.slice(5)) % 5) - 1) * 2);
    browser = await Browser.start({ dir: await scope.tempDir() });
    scope.defer(() => browser.close());
    ({ daemon: server, url } = await serving());
    await browser.colours('light');
  });

  after(() => scope.close());

  test('from all ranges to an address, while pods come and go', async () => {
    await browser.open(`${url}/`);
    await browser.sees('all ranges', `${TITLE}.startsWith('41 ranges')`);
    await browser.sees(
      'that it is live',
      `document.querySelector('.link.live')?.textContent.includes('revision')`,
    );
    await until('the forecasts', async () => (await fullTimes()).some(([, full]) => full !== undefined));
    const passing = await give('passing-1', 'node-1');
    await browser.sees(
      'the event',
      `document.querySelector('.event.assigned')?.textContent.includes('${passing}')`,
    );
    await picture('map-overview-light');
    await browser.colours('dark');
    await picture('map-overview-dark');
    await browser.colours('light');
    await browser.click('.surface', { x: 90, y: 30 });
    await browser.sees('the range', `${TITLE}.includes('10.20.0.0/24')`);
    assert.equal(await browser.value('location.hash'), '#/ranges/blue');
    await browser.sees('25 used', `document.querySelector('.legend')?.textContent.includes('used 25')`);
    await end('passing-1', 'node-1');
    await browser.sees(
      'that it rests',
      `document.querySelector('.legend')?.textContent.includes('cooling 1')`,
    );
    await browser.click('.surface', { x: 6 + 126 + 8 + 16 * 1, y: 12 });
    await browser.sees('the gateway', `${CHOSEN}.includes('gateway')`);
    assert.equal(await browser.value('location.hash'), '#/ranges/blue/10.20.0.1');
  });

  test('the keyboard leads to an address and back, and says where it is', async () => {
    await browser.press('Escape');
    assert.equal(await browser.value('location.hash'), '#/ranges/blue');
    await browser.press('Home', 'ArrowRight');
    assert.match(await browser.text('#spoken'), /^10\.20\.0\.1, reserved, /);
    await browser.press('Enter');
    await browser.sees('the gateway', `${CHOSEN}.includes('gateway')`);
    await browser.press('ArrowLeft');
    await browser.sees(
      'the network',
      `(${CHOSEN}).includes('network') && location.hash === '#/ranges/blue/10.20.0.0'`,
    );
    await browser.press('Escape', 'Escape');
    await browser.sees('all ranges', `${TITLE}.startsWith('41 ranges')`);
    await browser.press('ArrowRight');
    await browser.sees(
      'its words',
      `document.querySelector('#spoken').textContent.startsWith('Range rack-1, 10.30.0.0/22')`,
    );
    await browser.press('Enter');
    await browser.sees('the next range', `${TITLE}.startsWith('rack-1 ')`);
    await browser.press('?');
    await browser.sees('the keys', `document.querySelector('dialog[open]')?.textContent.includes('search')`);
    await browser.press('Escape');
  });

  test('until when ranges last, as range list tells it', async () => {
    const listed = await run(join(OUR_PLUGINS, 'cnictl'), ['range', 'list', '-o', 'json'], {
      env: { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(',') },
    });
    const ranges = JSON.parse(listed.stdout) as readonly Forecasted[];
    const told = await fullTimes();
    for (const [i, each] of ranges.map(fullTime).entries()) {
      const [name, of, at = 0] = told[i] ?? [];
      assert.deepEqual([name, of], [each[0], each[1]]);
      // Both tell it as of their own present.
      assert.ok(Math.abs(at - (each[2] ?? 0)) < 3_600_000, `${each.join(' ')}: ${at}`);
    }
    assert.ok(told.filter(([, full]) => full !== undefined).length > 15, JSON.stringify(told));
    await browser.value(`location.hash = '#/'`);
    await browser.sees('all ranges', `${TITLE}.startsWith('41 ranges')`);
    await browser.value(
      `{ const order = document.querySelector('#order'); order.value = 'until-full'; order.dispatchEvent(new Event('change')); }`,
    );
    await browser.press('/', 'Escape', 'End', 'Home');
    assert.match(await browser.text('#spoken'), /^Range rack-\d+, .*full (now|in \d+ .+)$/);
  });

  test('a search finds pods, nodes and namespaces', async () => {
    await browser.press('/');
    await browser.type('web-7');
    await browser.sees(
      'what is found',
      `document.querySelector('.option .name')?.textContent === 'shop/web-7'`,
    );
    await browser.press('Enter');
    await browser.sees('the pod', `${CHOSEN}.includes('shop/web-7')`);
    await browser.press('/');
    await browser.type('node:node-2');
    await browser.sees('the node', `document.querySelector('.option .kind')?.textContent === 'node'`);
    await browser.press('ArrowDown', 'Enter');
    await browser.sees('its addresses', `document.querySelectorAll('.results tbody tr').length > 8`);
    const other = await give('late-1', 'node-2');
    await browser.sees('a new one', `document.querySelector('.results')?.textContent.includes('${other}')`);
  });

  test('a link that was sent: an address, and who had it at a time', async () => {
    const ip = await give('night-1', 'node-0');
    const time = `${new Date().toISOString().slice(0, -5)}Z`;
    await hostEffects.pause(1_100);
    await end('night-1', 'node-0');
    await browser.open('about:blank');
    await browser.open(`${url}/#/${ip}`);
    await browser.sees('its state', `${CHOSEN}.includes('cooling')`);
    await browser.sees(
      'its past owner',
      `document.querySelector('.past')?.textContent.includes('shop/night-1')`,
    );
    const after = new Date(Date.parse(time) + 1_000).toISOString();
    await browser.value(`location.hash = '#/ranges/blue/${ip}?at=${after}'`);
    await browser.sees(
      'who had it',
      `document.querySelector('.had')?.textContent.includes('shop/night-1 on node-0')`,
    );
    await browser.press('Escape');
    await browser.colours('dark');
    await browser.sees('the range', `${TITLE}.includes('10.20.0.0/24')`);
    const [first = ''] = (await found(`${url}/api/search?q=web-3`)).map((each) => each.ip ?? '');
    assert.match(first, /^10\.20\.0\./);
    await browser.value(`location.hash = '#/ranges/rack-9/10.30.32.20'`);
    await browser.sees('another range', `${CHOSEN}.includes('api-513-4')`);
    await picture('map-range-dark');
    await browser.colours('light');
    await picture('map-range-light');
    await browser.value(`location.hash = '#/ranges/blue'`);
    await browser.sees('the range', `${TITLE}.includes('10.20.0.0/24')`);
    assert.deepEqual(browser.complaints, []);
  });

  test('it tells that etcd is away, and that the server is', async () => {
    await etcd.kill();
    await browser.sees(
      'that etcd is away',
      `document.querySelector('.trouble:not([hidden])')?.textContent.includes('etcd cannot be followed')`,
    );
    await etcd.restart();
    await browser.sees(
      'that it is back',
      `document.querySelector('.trouble').hidden && document.querySelector('.link.live')`,
    );
    await give('after-1', 'node-1');
    await browser.sees(
      'a pod that came',
      `document.querySelector('.legend')?.textContent.includes('used 26')`,
    );
    await server.stop();
    await browser.sees(
      'that the server is away',
      `document.querySelector('.trouble:not([hidden])')?.textContent.includes('No connection')`,
    );
  });

  test('with a token the page asks for it, and no script can read what it gets', async () => {
    const dir = await scope.tempDir();
    writeFileSync(join(dir, 'token'), 'correct-horse\n');
    const { url: guarded } = await serving('--token-file', join(dir, 'token'));
    const status = async (path: string): Promise<number> => (await fetch(`${guarded}${path}`)).status;
    assert.deepEqual(
      await Promise.all(['/', '/page.js', '/api/ranges', '/api/status', '/events'].map(status)),
      [200, 200, 401, 401, 401],
    );
    await browser.open(`${guarded}/`);
    await browser.sees('the form', `document.querySelector('#token')`);
    await browser.type('wrong');
    await browser.press('Enter');
    await browser.sees(
      'a refusal',
      `document.querySelector('.notice')?.textContent === 'This is not the token.'`,
    );
    await browser.value(`document.querySelector('#token').value = ''`);
    await browser.type('correct-horse');
    await browser.press('Enter');
    await browser.sees('all ranges', `${TITLE}.startsWith('41 ranges')`);
    await browser.sees('that it is live', `document.querySelector('.link.live')`);
    assert.equal(await browser.value('document.cookie'), '');
    await browser.click('#sign-out');
    await browser.sees('the form again', `document.querySelector('#token')`);
  });
});

interface Forecasted {
  readonly name: string;
  readonly forecast?: { readonly full: { readonly of: string; readonly at: string } | null } | null;
}

const fullTime = ({ name, forecast }: Forecasted): [name: string, of?: string, at?: number] =>
  forecast?.full ? [name, forecast.full.of, Date.parse(forecast.full.at)] : [name];

async function found(address: string): Promise<readonly { readonly ip?: string }[]> {
  const answer = (await (await fetch(address)).json()) as { found: { ip?: string }[] };
  for (const { ip } of answer.found) if (ip !== undefined) parseAddress(ip);
  return answer.found;
}
