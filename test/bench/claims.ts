/**
 * Measures how long a node's first address takes, including the claim of a block, with a growing
 * number of ranges in etcd.
 */
import { hostEffects } from '../../cni/host/effects.ts';
import { allocate } from '../../ipam/allocate/allocate.ts';
import { parseCidr } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { directIpam, type Ipam } from '../../ipam/node/ipam.ts';
import { rangeKey } from '../../ipam/records/keys.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { put } from '../../ipam/records/transaction.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import { median, percentile, table } from './figures.ts';

const COUNTS = [1, 50, 550];
const NODES = 40;

export async function benchClaims(endpoints: readonly string[]): Promise<void> {
  const store = openEtcdStore(etcdSettings({ endpoints: [...endpoints], prefix: '/claims' }));
  const ipam: Ipam = directIpam(store, hostEffects);
  const rows: string[][] = [];
  const first: number[] = [];
  let ranges = 0;
  for (const count of COUNTS) {
    for (; ranges < count; ranges++) {
      const cidr = parseCidr(`10.${ranges >> 6}.${(ranges & 63) * 4}.0/22`);
      const range = makeRange({ name: `r${ranges}`, cidr });
      await store.commit([], [put(rangeKey(range.name), encodeRange(range))]);
    }
    const [claims, trips]: [number[], number[]] = [[], []];
    for (let n = 0; n < NODES; n++) {
      const containerId = `claim-${count}-${n}`;
      const owner = { containerId, ifname: 'eth0', network: 'bench', bootId: 'b' };
      let started = performance.now();
      await allocate(ipam, { node: containerId, owner, families: [4] });
      claims.push(performance.now() - started);
      started = performance.now();
      await store.commit([], [put('bench', 'x'.repeat(300))]);
      trips.push(performance.now() - started);
    }
    first.push(median(claims));
    rows.push([
      `${count}`,
      median(claims).toFixed(1),
      percentile(claims, 95).toFixed(1),
      (median(claims) / (first[0] ?? NaN)).toFixed(2),
      median(trips).toFixed(1),
    ]);
  }
  store.close();
  console.log(`\nA node's first address, with the claim of a block, ms, ${NODES} nodes each:\n`);
  console.log(table([['ranges', 'median', 'p95', 'to one range', 'a single put in etcd'], ...rows]));
}
