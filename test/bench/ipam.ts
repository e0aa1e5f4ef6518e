/** IPAM alone: allocations a second, beside etcd's own transactions a second by the same client with values of the same size. */
import { allocate, release, type Ipam } from '../../ipam/allocator.ts';
import { etcdSettings } from '../../ipam/etcd/settings.ts';
import { openEtcdStore } from '../../ipam/etcd/store.ts';
import { OrderQueue } from '../../ipam/orders.ts';
import { realSurroundings } from '../../ipam/retry.ts';
import { put, type Store } from '../../ipam/store.ts';
import { median, table } from './figures.ts';

/** What an agent has of its node. */
const agentIpam = (store: Store): Ipam => {
  const ipam = { store, around: realSurroundings, cache: new Map() };
  return { ...ipam, queue: new OrderQueue(ipam, 5_000) };
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
  const cycle = async (ipam: Ipam, node: string): Promise<void> => {
    const containerId = `bench-${++serial}`;
    const owner = { containerId, ifname: 'eth0', network: 'bench', bootId: 'b', podName: containerId };
    await allocate(ipam, { node, owner, families: [4] });
    await release(ipam, { node, attachment: owner, cause: { why: 'del' } });
  };
  const one = agentIpam(store);
  const nodes = Array.from({ length: 1_000 }, (_, i) => ({ name: `bench-${i}`, ipam: agentIpam(store) }));
  const figures = { etcd: [] as number[], one: [] as number[], many: [] as number[] };
  for (let n = 0; n < rounds; n++) {
    figures.etcd.push(
      await rate(64, 3_000, async (caller) => {
        await store.commit([], [put(`bench/${caller}`, value)]);
      }),
    );
    figures.one.push(await rate(64, 3_000, () => cycle(one, 'bench-node')));
    let next = 0;
    figures.many.push(
      await rate(64, 3_000, () => {
        const { name, ipam } = nodes[next++ % nodes.length] ?? { name: 'bench', ipam: one };
        return cycle(ipam, name);
      }),
    );
  }
  store.close();
  const base = median(figures.etcd);
  const row = (what: string, values: number[], writes: number): string[] => [
    what,
    median(values).toFixed(0),
    (median(values) / base).toFixed(2),
    ((median(values) * writes) / base).toFixed(2),
  ];
  console.log(
    `\nIPAM alone, 64 callers, a second, medians of ${rounds} rounds in turn (each cycle allocates and releases):\n`,
  );
  console.log(
    table([
      ['', 'a second', "to etcd's", 'writes to etcd’s'],
      row('etcd: single transactions, 1.5 KB', figures.etcd, 1),
      row('one node through one agent, cycles', figures.one, 2),
      row('1,000 nodes, an agent each, cycles', figures.many, 2),
    ]),
  );
}
