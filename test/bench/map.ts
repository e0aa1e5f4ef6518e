/**
 * Measures the page of `cnictl serve` with a large cluster: 550 ranges of a /22, half a million
 * addresses in use, in a real etcd and a real browser.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { hostEffects } from '../../cni/host/effects.ts';
import { parseCidr } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import { Browser } from '../support/browser.ts';
import { OUR_PLUGINS } from '../support/cni.ts';
import { startEtcd } from '../support/etcd.ts';
import { filledBlocks, writeRange } from '../support/map-fill.ts';
import type { Scope } from '../support/netns.ts';
import { childEnv, until } from '../support/proc.ts';
import { median, percentile, table } from './figures.ts';

const RANGES = 550;
const ROUNDS = 5;

export async function benchMap(scope: Scope): Promise<void> {
  const etcd = scope.use(await startEtcd({ ip: '127.0.0.1', dir: await scope.tempDir() }));
  const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
  scope.defer(() => store.close());
  let used = 0;
  for (let n = 0; n < RANGES; n++) {
    const cidr = parseCidr(`10.${n >> 6}.${(n & 63) * 4}.0/22`);
    const range = makeRange({ name: `range-${n}`, cidr });
    const filling = { claimed: 0.95, used: 2, first: 64 * n, nodes: 5_000, now: Date.now() };
    const blocks = filledBlocks(range, filling);
    used += blocks.reduce((sum, { slots }) => sum + slots.filter(({ state }) => state === 'used').length, 0);
    await writeRange(store, range, blocks);
  }
  const rows: string[][] = [[`the page, ${RANGES} ranges, ${used} addresses in use`, 'ms']];
  const startedAt = performance.now();
  const url = await serving(scope, etcd.endpoints.join(','));
  rows.push(['serve: from its start until etcd is read', ms(performance.now() - startedAt)]);
  const browser = await Browser.start({ dir: await scope.tempDir() });
  scope.defer(() => browser.close());
  const usable: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await browser.open('about:blank');
    await hostEffects.pause(300);
    await browser.open(`${url}/`);
    const isThere = `document.querySelector('h1')?.textContent.startsWith('${RANGES} ranges')`;
    usable.push(await browser.sees('all ranges', `${isThere} && ${PAINTED}`));
  }
  rows.push([`page: from its start until all is painted, first time`, ms(usable[0] ?? NaN)]);
  rows.push([`page: the same, median of ${ROUNDS}`, ms(median(usable))]);
  const frames = await browser.value<number[]>(SCROLL);
  rows.push(['page: a frame while it scrolls, median', ms(median(frames))]);
  rows.push(['page: a frame while it scrolls, 99 of 100', ms(percentile(frames, 99))]);
  for (const [what, query] of QUESTIONS) {
    const took: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const begun = performance.now();
      await (await fetch(`${url}/api/${query}`)).text();
      took.push(performance.now() - begun);
    }
    rows.push([`serve: ${what}, median`, ms(median(took))]);
  }
  console.log(`\n${table(rows)}\n`);
}

const QUESTIONS = [
  ['all ranges', 'ranges'],
  ['a range', 'range?name=range-77'],
  ['an address with its history', 'address?ip=10.1.4.20'],
  ['a search for a pod by a part of its name', 'search?q=web-77'],
  ['a search for all addresses of a node', 'search?q=node:node-4321&limit=200'],
] as const;

/** When the page was painted, in milliseconds since it was asked for. */
const PAINTED = `new Promise((resolve) =>
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now()))))`;

/** Scrolls through all ranges, and returns how long each frame took. */
const SCROLL = `new Promise((resolve) => {
  const surface = document.querySelector('.surface');
  const frames = [];
  let last = performance.now();
  const step = () => {
    const now = performance.now();
    frames.push(now - last);
    last = now;
    surface.scrollTop += 40;
    if (frames.length < 200) requestAnimationFrame(step);
    else resolve(frames.slice(1));
  };
  requestAnimationFrame(step);
})`;

const ms = (value: number): string => value.toFixed(value < 10 ? 1 : 0);

async function serving(scope: Scope, endpoints: string): Promise<string> {
  const child = spawn(join(OUR_PLUGINS, 'cnictl'), ['serve', '--listen', '127.0.0.1:0'], {
    env: childEnv({ CELLNET_ETCD_ENDPOINTS: endpoints }),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  scope.defer(() => void child.kill('SIGKILL'));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const url = await until('the server', () => /events at (\S+)\/events/.exec(said)?.[1]);
  await until('etcd is read', async () => (await fetch(`${url}/healthz`)).ok || undefined, 60_000);
  return url;
}
