/**
 * Compares `cnictl check` of a whole cluster with only reading the same data from etcd and the API
 * server, with the same clients in the same run. The check observes twice (the grace is 0) and
 * finds every thousandth address leaked.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeBlock } from '../../ipam/records/block-record.ts';
import { blockKey, nodeKey, rangeKey } from '../../ipam/records/keys.ts';
import { encodeNodeEntry } from '../../ipam/records/node-record.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { put, type Write } from '../../ipam/records/transaction.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import type { Store } from '../../ipam/store/store.ts';
import { OUR_PLUGINS } from '../support/cni.ts';
import { startEtcd } from '../support/etcd.ts';
import type { Scope } from '../support/netns.ts';
import { must, run, startDaemon } from '../support/proc.ts';
import { blockOf, blocksFor, goneOf, livingOf, rangeOf, RANGES } from './check-cluster.ts';
import { median, table } from './figures.ts';

/** Numbers of pods and allocations. The second is four times the first. */
const SIZES = [125_000, 500_000] as const;
/** Stays below etcd's limits of 128 operations and 1.5 MB per transaction, with full blocks. */
const PER_TRANSACTION = 100;
const WRITERS = 8;
const TIMEOUT_MS = 600_000;

export async function benchCheck(scope: Scope, rounds: number): Promise<void> {
  const rows: string[][] = [];
  const sizes: { wall: number; processor: number }[] = [];
  for (const pods of SIZES) {
    const figures = await benchSize(scope, pods, rounds);
    const of = (key: keyof Round): number => median(figures.map((round) => round[key]));
    sizes.push({ wall: of('checkMs'), processor: of('checkCpuMs') });
    rows.push([
      pods.toLocaleString('en'),
      (of('readMs') / 1000).toFixed(1),
      (of('checkMs') / 1000).toFixed(1),
      median(figures.map(({ checkMs, readMs }) => checkMs / readMs)).toFixed(2),
      median(figures.map(({ checkCpuMs, readCpuMs }) => checkCpuMs / readCpuMs)).toFixed(2),
      of('memoryMb').toFixed(0),
    ]);
  }
  const head = [
    'allocations and pods',
    'read, s',
    'check, s',
    'to reading',
    'processor, to reading',
    'memory, MB',
  ];
  console.log(`\ncnictl check, whole processes, medians of ${rounds} rounds in turn, ${RANGES} ranges:\n`);
  console.log(table([head, ...rows]));
  const [small, large] = sizes;
  const ratio = (key: 'wall' | 'processor'): string =>
    ((large?.[key] ?? NaN) / (small?.[key] ?? NaN)).toFixed(2);
  console.log(
    `\n4 times the data: ${ratio('wall')} times the time, ${ratio('processor')} times that of the processor`,
  );
}

interface Round {
  readonly readMs: number;
  readonly readCpuMs: number;
  readonly checkMs: number;
  readonly checkCpuMs: number;
  /** Peak resident memory of the check. */
  readonly memoryMb: number;
}

async function benchSize(scope: Scope, pods: number, rounds: number): Promise<Round[]> {
  const dir = await scope.tempDir();
  const etcd = await startEtcd({
    dir: join(dir, 'etcd'),
    args: ['--quota-backend-bytes', String(8 * 2 ** 30)],
  });
  const kubeconfig = join(dir, 'kubeconfig');
  const server = await startDaemon(
    process.execPath,
    ['--import', 'tsx', join(import.meta.dirname, 'check-server.ts'), String(pods), kubeconfig],
    (it) => it.output().includes('ready'),
    { timeoutMs: TIMEOUT_MS },
  );
  try {
    const [endpoint = ''] = etcd.endpoints;
    const store = openEtcdStore({ endpoints: [endpoint], prefix: '/cellnet' }, { deadlineMs: 60_000 });
    await seed(store, pods);
    store.close();
    const reader = ['--import', 'tsx', join(import.meta.dirname, 'check-read.ts'), endpoint, kubeconfig];
    const figures: Round[] = [];
    for (let n = 0; n < rounds; n++) {
      const read = JSON.parse(await must(process.execPath, reader, { timeoutMs: TIMEOUT_MS })) as {
        ms: number;
        cpuMs: number;
        pods: number;
      };
      if (read.pods !== livingOf(pods)) throw new Error(`${read.pods} pods read: expected ${livingOf(pods)}`);
      const checked = await timedCheck(dir, endpoint, kubeconfig, pods);
      figures.push({ readMs: read.ms, readCpuMs: read.cpuMs, ...checked });
      console.log(`${pods}: ${JSON.stringify(figures.at(-1))}`);
    }
    return figures;
  } finally {
    await server.stop();
    await etcd.stop();
  }
}

/** A module preloaded into cnictl. It writes the process's resource usage at exit. */
const METER = (file: string): string => `
process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  require('node:fs').writeFileSync(${JSON.stringify(file)}, JSON.stringify({ cpuMs: (userCPUTime + systemCPUTime) / 1000, maxRssKb: maxRSS }));
});
`;

/** Runs the check under a terminal of `script`, so that it shows progress. */
async function timedCheck(
  dir: string,
  endpoint: string,
  kubeconfig: string,
  pods: number,
): Promise<Omit<Round, 'readMs' | 'readCpuMs'>> {
  const [meter, usage, report] = [join(dir, 'meter.cjs'), join(dir, 'usage.json'), join(dir, 'report.json')];
  writeFileSync(meter, METER(usage));
  const check = [join(OUR_PLUGINS, 'cnictl'), 'check', '--grace', '0', '--save', report];
  const command = ['env', `NODE_OPTIONS='--require ${meter}'`, ...check].join(' ');
  const env = {
    CELLNET_ETCD_ENDPOINTS: endpoint,
    KUBECONFIG: kubeconfig,
    TERM: 'xterm',
  };
  const began = performance.now();
  const ran = await run('script', ['-qefc', command, '/dev/null'], { env, timeoutMs: TIMEOUT_MS });
  const checkMs = performance.now() - began;
  if (ran.code !== 1) throw new Error(`check ended with ${ran.code}: ${ran.stdout.slice(-2000)}`);
  if (!/100%.* pods/.test(ran.stdout)) throw new Error('no progress was shown');
  const { counts } = JSON.parse(readFileSync(report, 'utf8')) as { counts: Record<string, number> };
  const expected = { allocated: pods, pods: livingOf(pods), leaked: goneOf(pods), missing: 0, records: 0 };
  for (const [key, count] of Object.entries(expected))
    if (counts[key] !== count) throw new Error(`${key} is ${counts[key]}: expected ${count}`);
  const { cpuMs, maxRssKb } = JSON.parse(readFileSync(usage, 'utf8')) as { cpuMs: number; maxRssKb: number };
  return { checkMs, checkCpuMs: cpuMs, memoryMb: maxRssKb / 1024 };
}

async function seed(store: Store, pods: number): Promise<void> {
  const ranges = Array.from({ length: RANGES }, (_, n) => rangeOf(n));
  const total = blocksFor(pods);
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < total) {
      const writes: Write[] = [];
      for (; next < total && writes.length < PER_TRANSACTION; next++) {
        const range = ranges[next % RANGES];
        if (!range) throw new RangeError(`block ${next}`);
        const block = blockOf(next, range, pods);
        writes.push(
          put(blockKey(range.name, block.cidr), encodeBlock(block)),
          put(nodeKey(block.node, block.cidr), encodeNodeEntry(block)),
        );
      }
      await store.commit([], writes);
    }
  };
  for (let n = 0; n < RANGES; n += PER_TRANSACTION)
    await store.commit(
      [],
      ranges.slice(n, n + PER_TRANSACTION).map((range) => put(rangeKey(range.name), encodeRange(range))),
    );
  await Promise.all(Array.from({ length: WRITERS }, writer));
}
