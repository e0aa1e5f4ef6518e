/**
 * Measures `cnictl map` in a terminal on a whole cluster: how soon its first screen stands, how
 * soon that screen tells every address, how soon a key and a search are answered, and how many
 * bytes go to the terminal for a key.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeBlock } from '../../ipam/records/block-record.ts';
import { blockKey, rangeKey } from '../../ipam/records/keys.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { put } from '../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import { OUR_PLUGINS } from '../support/cni.ts';
import { startEtcd } from '../support/etcd.ts';
import type { Scope } from '../support/netns.ts';
import { Pty } from '../support/pty.ts';
import { blockOf, blocksFor, rangeOf, RANGES } from './check-cluster.ts';
import { median, table } from './figures.ts';

const CNICTL = join(OUR_PLUGINS, 'cnictl');
const ADDRESSES = 500_000;
/** Stays below etcd's limits of 128 operations and 1.5 MB per transaction, with full blocks. */
const PER_TRANSACTION = 100;
const LONGEST_MS = 120_000;

interface Round {
  readonly firstMs: number;
  readonly wholeMs: number;
  readonly keyMs: number;
  readonly keyBytes: number;
  /** At once, while owners are still decoded. */
  readonly earlySearchMs: number;
  readonly searchMs: number;
}

/** How long somebody looks before a search, in milliseconds. */
const LOOKS_MS = 4_000;

/** @param rounds how often the map is opened */
export async function benchMapTerminal(scope: Scope, rounds: number): Promise<void> {
  const { endpoints } = scope.use(await startEtcd({ dir: await scope.tempDir() }));
  await fill(endpoints);
  const measured: Round[] = [];
  for (let n = 0; n < rounds; n++)
    measured.push(await measure({ CELLNET_ETCD_ENDPOINTS: endpoints.join(',') }));
  const of = (key: keyof Round): string => median(measured.map((round) => round[key])).toFixed(0);
  console.log(
    `\ncnictl map, ${ADDRESSES.toLocaleString('en')} addresses of ${RANGES} ranges, medians of ${rounds}:\n`,
  );
  console.log(
    table([
      ['', ''],
      ['first screen, all ranges, ms', of('firstMs')],
      ['all addresses counted, ms', of('wholeMs')],
      ['a key, ms', of('keyMs')],
      ['a key, bytes to the terminal', of('keyBytes')],
      ['a search of a pod at once, ms', of('earlySearchMs')],
      [`a search of a pod after ${LOOKS_MS / 1000} s, ms`, of('searchMs')],
    ]),
  );
}

export async function fill(endpoints: readonly string[]): Promise<void> {
  const store = openEtcdStore({ endpoints, prefix: '/cellnet' });
  const ranges = Array.from({ length: RANGES }, (_, n) => rangeOf(n));
  const writes = ranges.map((range) => put(rangeKey(range.name), encodeRange(range)));
  for (let b = 0; b < blocksFor(ADDRESSES); b++) {
    const range = ranges[b % RANGES];
    if (!range) continue;
    const block = blockOf(b, range, ADDRESSES);
    writes.push(put(blockKey(range.name, block.cidr), encodeBlock(block)));
  }
  for (let i = 0; i < writes.length; i += PER_TRANSACTION)
    await store.commit([], writes.slice(i, i + PER_TRANSACTION));
  store.close();
}

export async function measure(env: Record<string, string>): Promise<Round> {
  const begun = performance.now();
  const pty = new Pty([CNICTL, 'map'], env);
  try {
    await pty.shows(/> r000/, LONGEST_MS);
    const firstMs = performance.now() - begun;
    await pty.shows(/ranges, 500000 used +live/, LONGEST_MS);
    const wholeMs = performance.now() - begun;
    const bytes = pty.bytes;
    const [keyMs] = await timed(pty, '\u001b[B', /> r001/);
    const keyBytes = pty.bytes - bytes;
    const [earlySearchMs] = await timed(pty, '/web-000000333333\r', /1 of 1: pod team-33\/web-000000333333/);
    pty.press('\u001b\u001b');
    await sleep(LOOKS_MS);
    const [searchMs] = await timed(pty, '/web-000000222222\r', /1 of 1: pod team-22\/web-000000222222/);
    pty.press('q');
    await pty.ended();
    return { firstMs, wholeMs, keyMs, keyBytes, earlySearchMs, searchMs };
  } finally {
    pty.close();
  }
}

async function timed(pty: Pty, keys: string, shows: RegExp): Promise<[number]> {
  const begun = performance.now();
  pty.press(keys);
  await pty.shows(shows, LONGEST_MS);
  return [performance.now() - begun];
}
