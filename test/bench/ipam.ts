/**
 * Measures IPAM without the plugin: allocations per second beside etcd's own transactions per
 * second with the same client and values of the same size. Also measures the processor time that
 * each takes in etcd and in the client, which is one process for all nodes.
 */
import { readFileSync } from 'node:fs';
import { hostEffects } from '../../cni/host/effects.ts';
import { allocate } from '../../ipam/allocate/allocate.ts';
import type { Owner } from '../../ipam/model/attachment.ts';
import { batchingIpam, type Ipam } from '../../ipam/node/ipam.ts';
import { noLocalNode } from '../../ipam/node/local-node.ts';
import { silentObserver } from '../../ipam/node/observer.ts';
import { BLOCKS } from '../../ipam/records/keys.ts';
import { put } from '../../ipam/records/transaction.ts';
import { release } from '../../ipam/release/release.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import { scanAll, type Store } from '../../ipam/store/store.ts';
import type { Etcd } from '../support/etcd.ts';
import { median, table } from './figures.ts';

interface BenchNode {
  readonly node: string;
  readonly ipam: Ipam;
}

interface BenchPod extends BenchNode {
  readonly owner: Owner;
}

/** Returns an Ipam as a node's agent uses it. */
const agentIpam = (store: Store): Ipam =>
  batchingIpam(
    { store, effects: hostEffects, observer: silentObserver, cache: new Map(), local: noLocalNode },
    5_000,
  );

/** The rate of one measurement and its cost. */
interface Figure {
  readonly perSecond: number;
  /** Processor time per operation in microseconds. */
  readonly etcdUs: number;
  readonly clientUs: number;
}

/**
 * Returns the processor time of a process so far in microseconds: utime and stime of
 * proc_pid_stat(5), in ticks of 10 ms.
 */
const cpuUs = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
};

/**
 * Runs 64 concurrent callers. Each repeats `work` until it returns false. `work` receives the
 * caller's number.
 */
const measure = async (etcdPid: number, work: (caller: number) => Promise<boolean>): Promise<Figure> => {
  const [started, etcd, client] = [performance.now(), cpuUs(etcdPid), process.cpuUsage()];
  let done = 0;
  const call = async (caller: number): Promise<void> => {
    while (await work(caller)) done++;
  };
  await Promise.all(Array.from({ length: 64 }, (_, i) => call(i)));
  const { user, system } = process.cpuUsage(client);
  return {
    perSecond: (done * 1000) / (performance.now() - started),
    etcdUs: (cpuUs(etcdPid) - etcd) / done,
    clientUs: (user + system) / done,
  };
};

const forEach = <T>(items: readonly T[], work: (item: T) => Promise<void>): (() => Promise<boolean>) => {
  let next = 0;
  return async () => {
    const item = items[next++];
    if (item === undefined) return false;
    await work(item);
    return true;
  };
};

const during = (
  ms: number,
  work: (caller: number) => Promise<void>,
): ((caller: number) => Promise<boolean>) => {
  const until = performance.now() + ms;
  return async (caller) => {
    if (performance.now() >= until) return false;
    await work(caller);
    return true;
  };
};

/** Returns the mean size in bytes of the block records, which an allocation writes. */
const meanBlockSize = async (store: Store): Promise<number> => {
  const sizes = (await scanAll(store, BLOCKS)).map(({ value }) => Buffer.byteLength(value));
  return Math.round(sizes.reduce((sum, size) => sum + size, 0) / sizes.length);
};

export async function benchIpam(etcd: Etcd, rounds: number): Promise<void> {
  const store = openEtcdStore(etcdSettings({ endpoints: [...etcd.endpoints], prefix: '/cellnet' }));
  let serial = 0;
  const podOn = ({ node, ipam }: BenchNode): BenchPod => {
    const containerId = `bench-${++serial}`;
    const owner = { containerId, ifname: 'eth0', network: 'bench', bootId: 'b', podName: containerId };
    return { node, ipam, owner };
  };
  const give = async ({ ipam, node, owner }: BenchPod): Promise<void> => {
    await allocate(ipam, { node, owner, families: [4] });
  };
  const takeBack = async ({ ipam, node, owner }: BenchPod): Promise<void> => {
    await release(ipam, { node, attachment: owner, cause: { why: 'del' } });
  };
  const one = { node: 'bench-node', ipam: agentIpam(store) };
  const nodes = Array.from({ length: 1_000 }, (_, i) => ({ node: `bench-${i}`, ipam: agentIpam(store) }));
  const measured = (work: (caller: number) => Promise<boolean>): Promise<Figure> => measure(etcd.pid, work);
  const onAll = async (podsEach: number): Promise<{ given: Figure; back: Figure }> => {
    const pods = Array.from({ length: podsEach }, () => nodes.map(podOn)).flat();
    return { given: await measured(forEach(pods, give)), back: await measured(forEach(pods, takeBack)) };
  };
  // A claim serves many pods, and a block's record grows once its addresses have been used. The
  // warm-up brings the blocks to that state before the measurement.
  for (const podsEach of [1, 8, 8]) await onAll(podsEach);
  const size = await meanBlockSize(store);
  const value = 'x'.repeat(size);
  const figures = { etcd: [], one: [], given: [], back: [] } as Record<
    'etcd' | 'one' | 'given' | 'back',
    Figure[]
  >;
  for (let n = 0; n < rounds; n++) {
    const transaction = async (caller: number): Promise<void> => {
      await store.commit([], [put(`bench/${caller}`, value)]);
    };
    figures.etcd.push(await measured(during(3_000, transaction)));
    const pair = async (): Promise<void> => {
      const pod = podOn(one);
      await give(pod);
      await takeBack(pod);
    };
    figures.one.push(await measured(during(3_000, pair)));
    const { given, back } = await onAll(8);
    figures.given.push(given);
    figures.back.push(back);
  }
  store.close();
  const of = (values: readonly Figure[], key: keyof Figure): number =>
    median(values.map((each) => each[key]));
  const row = (what: string, values: readonly Figure[]): string[] => [
    what,
    of(values, 'perSecond').toFixed(0),
    (of(values, 'perSecond') / of(figures.etcd, 'perSecond')).toFixed(2),
    of(values, 'etcdUs').toFixed(0),
    of(values, 'clientUs').toFixed(0),
  ];
  console.log(
    `\nIPAM alone, 64 callers, a second, medians of ${rounds} rounds in turn; processor time for each in µs:\n`,
  );
  console.log(
    table([
      ['', 'a second', "to etcd's", "etcd's µs", "client's µs"],
      row(`etcd: single transactions, ${size} bytes`, figures.etcd),
      row('one node through one agent: allocations, each released at once', figures.one),
      row('1,000 nodes, an agent each: allocations', figures.given),
      row('1,000 nodes, an agent each: releases, with their history', figures.back),
    ]),
  );
}
