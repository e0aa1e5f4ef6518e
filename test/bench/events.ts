/**
 * Measures the stream of events: how many a second `cnictl events` tells of a past that is there,
 * how many a second `cnictl serve` hands to its listeners behind a writer, and how late they are.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { hostEffects } from '../../cni/host/effects.ts';
import { parseAddress } from '../../ipam/model/address.ts';
import {
  newBlock,
  releaseSlot,
  expectedOf,
  takeSlot,
  usedSlots,
  type Block,
} from '../../ipam/model/block.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { parseCidr } from '../../ipam/model/address.ts';
import { blockAt } from '../../ipam/model/range.ts';
import { encodeBlock } from '../../ipam/records/block-record.ts';
import { historyThatFits, recordLifetime } from '../../ipam/records/history-record.ts';
import { encodeMachineRecord, machineKey } from '../../ipam/records/machine-record.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { blockKey, rangeKey } from '../../ipam/records/keys.ts';
import { put, type Write } from '../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import type { Store } from '../../ipam/store/store.ts';
import { OUR_PLUGINS } from '../support/cni.ts';
import { startEtcd } from '../support/etcd.ts';
import type { Scope } from '../support/netns.ts';
import { childEnv, until } from '../support/proc.ts';
import { median, table } from './figures.ts';

const CNICTL = join(OUR_PLUGINS, 'cnictl');
const BLOCKS = 64;
const range = makeRange({ name: 'bench', cidr: parseCidr('10.20.0.0/22'), cooldownMs: 0 });

/** Writes what a node's agent writes for a batch: a block, its machine, and ended lifetimes. */
class Node {
  #block: Block;
  readonly #name: string;
  readonly #store: Store;
  #serial = 0;

  constructor(store: Store, n: number) {
    this.#store = store;
    this.#name = `bench-${n}`;
    const cidr = blockAt(range, parseAddress(`10.20.${n >> 4}.${(n & 15) * 16}`));
    this.#block = newBlock(range, cidr, this.#name, Date.now());
  }

  /** Releases what it has and assigns as many again. @returns the number of events */
  async turn(size: number): Promise<number> {
    const writes: Write[] = [];
    let events = 0;
    for (const { address, slot } of usedSlots(this.#block)) {
      const ended = releaseSlot(this.#block, address, expectedOf(slot), Date.now(), { why: 'del' });
      if (ended.outcome !== 'released') continue;
      this.#block = ended.block;
      writes.push(recordLifetime(range, ended.block, ended.lifetime));
      events += 1;
    }
    for (const [index, slot] of this.#block.slots.entries()) {
      if (slot.state === 'reserved' || index >= size) continue;
      const id = `${this.#name}-${++this.#serial}`;
      const pod = { podNamespace: 'bench', podName: id, podUid: `uid-of-${id}` };
      const owner = {
        containerId: id.padEnd(64, '0'),
        ifname: 'eth0',
        network: 'cell',
        bootId: 'boot',
        ...pod,
      };
      this.#block = takeSlot(this.#block, index, owner, Date.now()).block;
      events += 1;
    }
    const machine = { generation: this.#serial, mark: 'mark', at: Date.now() };
    const own = [
      put(blockKey(range.name, this.#block.cidr), encodeBlock(this.#block)),
      put(machineKey(this.#name), encodeMachineRecord(machine)),
    ];
    const history = historyThatFits(
      writes.filter((write) => write.kind === 'put'),
      own,
    );
    await this.#store.commit([], [...own, ...history]);
    return events;
  }
}

interface Reader {
  /** How many events of addresses came. */
  count(): number;
  /** How late they came, in milliseconds: by the time in them, which this machine wrote. */
  readonly late: number[];
  close(): void;
}

const read = (stream: NodeJS.ReadableStream, close: () => void): Reader => {
  let count = 0;
  let rest = '';
  const late: number[] = [];
  stream.setEncoding('utf8');
  stream.on('data', (part: string) => {
    const now = Date.now();
    const lines = (rest + part).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.includes('"ip":"')) continue;
      count += 1;
      // One of a hundred: to parse all of them would measure the benchmark.
      if (count % 100 === 0) late.push(now - Date.parse(/"at":"([^"]+)"/.exec(line)?.[1] ?? ''));
    }
  });
  stream.on('error', () => undefined);
  return { count: () => count, late, close };
};

const start = (scope: Scope, args: readonly string[], env: Record<string, string>): ChildProcess => {
  const child = spawn(CNICTL, args, { env: childEnv(env), stdio: ['ignore', 'pipe', 'pipe'] });
  scope.defer(() => void child.kill('SIGKILL'));
  return child;
};

const listen = (url: string): Promise<Reader> =>
  new Promise((resolve, reject) => {
    const asking = request(url, (response: IncomingMessage) =>
      resolve(read(response, () => void asking.destroy())),
    );
    asking.once('error', reject);
    asking.end();
  });

/** Writes from all nodes at once. @returns how many events that are, and how long it took */
async function write(
  nodes: readonly Node[],
  ms: number,
  size: number,
): Promise<{ events: number; ms: number }> {
  const startedAt = performance.now();
  let events = 0;
  const all = nodes.map(async (node) => {
    while (performance.now() - startedAt < ms) {
      const told = await node.turn(size);
      events += told;
    }
  });
  await Promise.all(all);
  return { events, ms: performance.now() - startedAt };
}

const perSecond = (events: number, ms: number): string => ((events * 1000) / ms).toFixed(0);
const percentile = (values: readonly number[], part: number): string =>
  ([...values].sort((a, b) => a - b)[Math.floor(values.length * part)] ?? 0).toFixed(0);

export async function benchEvents(scope: Scope, seconds: number): Promise<void> {
  const etcd = scope.use(await startEtcd({ ip: '127.0.0.1', dir: await scope.tempDir() }));
  const env = { CELLNET_ETCD_ENDPOINTS: etcd.endpoints.join(',') };
  const store = openEtcdStore({ endpoints: etcd.endpoints, prefix: '/cellnet' });
  scope.defer(() => store.close());
  await store.commit([], [put(rangeKey(range.name), encodeRange(range))]);
  const nodes = Array.from({ length: BLOCKS }, (_, n) => new Node(store, n));
  const rows: string[][] = [['', 'events a second', 'late, median', 'late, 99 of 100']];

  const serving = start(scope, ['serve', '--listen', '127.0.0.1:0'], env);
  let said = '';
  serving.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  const url = await until('the server', () => /events at (\S+)/.exec(said)?.[1]);
  await until(
    'etcd is followed',
    async () => (await fetch(url.replace('events', 'healthz'))).ok || undefined,
  );
  for (const [size, count] of [
    [1, 1],
    [16, 1],
    [16, 10],
  ] as const) {
    const listeners = await Promise.all(Array.from({ length: count }, () => listen(`${url}?format=json`)));
    const startedAt = performance.now();
    const written = await write(nodes, seconds * 1_000, size);
    await until('all', () => listeners.every((each) => each.count() >= written.events) || undefined, 120_000);
    const ms = performance.now() - startedAt;
    const late = listeners.flatMap((each) => each.late);
    const what = `${size === 1 ? 'one address' : '16 addresses'} a transaction, ${count} listener${count > 1 ? 's' : ''}`;
    rows.push([`writer: ${what}`, perSecond(written.events, written.ms), '', '']);
    rows.push([
      `serve: all of it told to each`,
      perSecond(written.events, ms),
      `${median(late).toFixed(0)} ms`,
      `${percentile(late, 0.99)} ms`,
    ]);
    listeners.forEach((each) => each.close());
    await hostEffects.pause(500);
  }
  const before = await store.watches.newest();
  const written = await write(nodes, seconds * 1_000, 16);
  const startedAt = performance.now();
  const past = start(scope, ['events', '--from-revision', String(before + 1), '-o', 'json'], env);
  const reader = past.stdout && read(past.stdout, () => undefined);
  await new Promise((resolve) => past.once('close', resolve));
  if (reader?.count() !== written.events)
    throw new Error(`${reader?.count()} of ${written.events} were told`);
  rows.push([
    'cnictl events: the past, with its start',
    perSecond(written.events, performance.now() - startedAt),
    '',
    '',
  ]);
  console.log(`\nEvents, ${seconds} s each, ${BLOCKS} nodes that write at once beside the readers:\n`);
  console.log(table(rows));
}
