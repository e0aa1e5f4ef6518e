/** IPAM alone: allocations a second, beside etcd's own transactions a second by the same client with values of the same size. */
import { allocate, release, type Ipam } from '../../ipam/allocator.ts';
import type { Owner } from '../../ipam/block.ts';
import { etcdSettings } from '../../ipam/etcd/settings.ts';
import { openEtcdStore } from '../../ipam/etcd/store.ts';
import { OrderQueue } from '../../ipam/orders.ts';
import { realSurroundings } from '../../ipam/retry.ts';
import { put, type Store } from '../../ipam/store.ts';
import { median, table } from './figures.ts';

interface BenchNode {
  readonly node: string;
  readonly ipam: Ipam;
}

interface BenchPod extends BenchNode {
  readonly owner: Owner;
}

/** What an agent has of its node. */
const agentIpam = (store: Store): Ipam => {
  const ipam = { store, around: realSurroundings, cache: new Map() };
  return { ...ipam, queue: new OrderQueue(ipam, 5_000) };
};

/** How many a second 64 callers get done side by side until nothing is left to do. */
const rateOf = async <T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<number> => {
  let next = 0;
  const call = async (): Promise<void> => {
    for (let item = items[next++]; item; item = items[next++]) await work(item);
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: 64 }, call));
  return (items.length * 1000) / (performance.now() - started);
};

/** How many a second `callers` get done side by side in `ms`; `work` is told which caller it is. */
const rate = async (
  callers: number,
  ms: number,
  work: (caller: number) => Promise<void>,
): Promise<number> => {
  const until = performance.now() + ms;
  const started = performance.now();
  let done = 0;
  const call = async (caller: number): Promise<void> => {
    while (performance.now() < until) {
      await work(caller);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, i) => call(i)));
  return (done * 1000) / (performance.now() - started);
};

export async function benchIpam(endpoints: readonly string[], rounds: number): Promise<void> {
  const store = openEtcdStore(etcdSettings({ endpoints: [...endpoints], prefix: '/cellnet' }));
  const value = 'x'.repeat(1_500);
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
  // A claim is for many pods: what is measured finds the block there.
  const first = nodes.map(podOn);
  await rateOf(first, give);
  await rateOf(first, takeBack);
  const figures = { etcd: [], one: [], given: [], back: [] } as Record<
    'etcd' | 'one' | 'given' | 'back',
    number[]
  >;
  for (let n = 0; n < rounds; n++) {
    figures.etcd.push(
      await rate(64, 3_000, async (caller) => {
        await store.commit([], [put(`bench/${caller}`, value)]);
      }),
    );
    figures.one.push(
      await rate(64, 3_000, async () => {
        const pod = podOn(one);
        await give(pod);
        await takeBack(pod);
      }),
    );
    const pods = Array.from({ length: 8 }, () => nodes.map(podOn)).flat();
    figures.given.push(await rateOf(pods, give));
    figures.back.push(await rateOf(pods, takeBack));
  }
  store.close();
  const base = median(figures.etcd);
  const row = (what: string, values: number[]): string[] => [
    what,
    median(values).toFixed(0),
    (median(values) / base).toFixed(2),
  ];
  console.log(`\nIPAM alone, 64 callers, a second, medians of ${rounds} rounds in turn:\n`);
  console.log(
    table([
      ['', 'a second', "to etcd's"],
      row('etcd: single transactions, 1.5 KB', figures.etcd),
      row('one node through one agent: allocations, each released at once', figures.one),
      row('1,000 nodes, an agent each: allocations', figures.given),
      row('1,000 nodes, an agent each: releases, with their history', figures.back),
    ]),
  );
}
