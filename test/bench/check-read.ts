/**
 * Reads what `cnictl check` reads, with the same clients and page size, and discards it. Usage:
 * `check-read.ts ETCD KUBECONFIG`. Prints the wall time and the processor time of reading in
 * milliseconds as JSON.
 */
import { Client } from '../../cni/kube/client.ts';
import { findTarget } from '../../cni/kube/kubeconfig.ts';
import { within } from '../../cni/kube/limit.ts';
import { Sessions } from '../../cni/kube/session.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';

const [endpoint = '', kubeconfig = ''] = process.argv.slice(2);
const target = findTarget({ kubeconfig, env: {} });
const client = new Client({
  server: target.cluster.server,
  sessions: new Sessions(target, { env: {}, now: Date.now, monotonic: () => performance.now() }),
  idleMs: 30_000,
  retryPauseMs: 250,
  random: Math.random,
});

interface Page {
  readonly metadata: { readonly continue?: string };
  readonly items: readonly unknown[];
}

async function readList(resource: 'pods' | 'nodes'): Promise<number> {
  return within({ deadlineMs: 300_000, what: resource }, async (limit) => {
    let count = 0;
    let token: string | undefined = '';
    while (token !== undefined) {
      const more = token === '' ? '' : `&continue=${encodeURIComponent(token)}`;
      const reply = await client.get(
        `/api/v1/${resource}?limit=500${more}`,
        { verb: 'list', resource },
        limit,
      );
      if (reply.kind === 'other') throw reply.error;
      const { metadata, items } = reply.value as Page;
      count += items.length;
      token = metadata.continue;
    }
    return count;
  });
}

const store = openEtcdStore({ endpoints: [endpoint], prefix: '/cellnet' });
const cpu = process.cpuUsage();
const began = performance.now();
let keys = 0;
for (const prefix of ['ranges/', 'blocks/', 'nodes/'])
  for await (const page of store.scan(prefix)) keys += page.length;
const nodes = await readList('nodes');
const pods = await readList('pods');
const ms = performance.now() - began;
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ ms, cpuMs: (user + system) / 1000, keys, nodes, pods }));
store.close();
client.close();
