/**
 * A bridge's whole program as one bundle: how long it takes to write, and how long ovs-vswitchd
 * takes to carry it out. Not a part of `npm run bench`.
 * Run: npx tsx test/bench/openflow.ts
 */
import { join } from 'node:path';
import { bundleXids, fillBundle } from '../../cni/openflow/bundle.ts';
import { OpenFlowConnection } from '../../cni/openflow/connection.ts';
import { groupModifications } from '../../cni/openflow/groups.ts';
import type { FieldValue } from '../../cni/openflow/fields.ts';
import type { Flow, Modification, SelectGroup } from '../../cni/openflow/program.ts';
import { makeNamespace, newScope, uniqueName } from '../support/netns.ts';
import { startOvs } from '../support/ovs.ts';

const SERVICES = 5_000;
const ENDPOINTS = 10;
const ZONE = 52_753;
const COOKIE = 0xce11n << 48n;
const tcp: readonly FieldValue[] = [
  { field: 'eth_type', value: 0x0800n },
  { field: 'ip_proto', value: 6n },
];
const endpointOf = (service: number, i: number): bigint => BigInt(0x0a140000 + service * ENDPOINTS + i);

const groupOf = (service: number): SelectGroup => ({
  id: service + 1,
  buckets: Array.from({ length: ENDPOINTS }, (_, i) => ({
    id: i + 1,
    weight: 100,
    actions: [
      {
        ...{ kind: 'ct', commit: true, zone: ZONE, table: 140, mark: 1 },
        nat: { side: 'dst', family: 4, address: endpointOf(service, i), port: 8_080 },
      },
    ],
  })),
});

const serviceFlow = (service: number): Flow => ({
  ...{ table: 120, priority: 100, cookie: COOKIE },
  match: [
    ...tcp,
    { field: 'ipv4_dst', value: BigInt(0x0a600000 + service) },
    { field: 'tcp_dst', value: 443n },
  ],
  actions: [{ kind: 'group', group: service + 1 }],
});

const replyFlow = (service: number, i: number): Flow => ({
  ...{ table: 131, priority: 100, cookie: COOKIE },
  match: [...tcp, { field: 'ipv4_src', value: endpointOf(service, i) }, { field: 'tcp_src', value: 8_080n }],
  actions: [{ kind: 'ct', commit: false, zone: ZONE, table: 132, nat: 'restore' }],
});

function program(): Modification[] {
  const services = Array.from({ length: SERVICES }, (_, service) => service);
  const put = (flow: Flow): Modification => ({ kind: 'put-flow', flow });
  return [
    ...services.flatMap((service) => groupModifications(groupOf(service))),
    ...services.map((service) => put(serviceFlow(service))),
    ...services.flatMap((service) => Array.from({ length: ENDPOINTS }, (_, i) => put(replyFlow(service, i)))),
  ];
}

/** Prints how long the work takes, and how much of this process's CPU. */
async function timed<T>(what: string, work: () => T | Promise<T>): Promise<T> {
  const [start, before] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  const ms = Math.round(performance.now() - start);
  console.log(`${what}: ${ms} ms, of this process's CPU ${Math.round((user + system) / 1_000)} ms`);
  return result;
}

const changes = await timed('the program as values, split by size', program);
for (let round = 1; round <= 3; round++) {
  let bytes = 0;
  await timed(`${changes.length} changes written, round ${round}`, () => {
    for (const part of fillBundle(1, changes, bundleXids(1, changes))) bytes += part.length;
  });
  console.log(`  ${Math.round(bytes / 1e6)} MB`);
}

const scope = newScope();
try {
  const ns = scope.use(await makeNamespace(uniqueName('openflow')));
  const dir = join(await scope.tempDir(), 'ovs');
  const ovs = scope.use(await startOvs({ netns: ns.name, dir }));
  await ovs.vsctl('add-br', 'br-b', '--', 'set', 'bridge', 'br-b', 'datapath_type=netdev');
  const connection = await OpenFlowConnection.connect(join(dir, 'br-b.mgmt'), {
    deadlineMs: 60_000,
    onLost: (error) => console.error(error),
  });
  const carryOut = (what: string, bundle: readonly Modification[]): Promise<void> =>
    timed(what, () => connection.bundle(bundle));
  await carryOut('carried out, the first time', changes);
  console.log(
    `  ${await timed('flows counted', () => connection.countFlows({ cookie: COOKIE, mask: COOKIE }))}`,
  );
  await timed('flows listed', () => connection.listFlows({ cookie: COOKIE, mask: COOKIE }));
  await timed('their matches listed', () => connection.listMatches({ cookie: COOKIE, mask: COOKIE }));
  await timed('groups listed', () => connection.listGroups());
  await carryOut('carried out again', changes);
  await carryOut('one group carried out', changes.slice(0, 1));
  await carryOut('everything deleted', [
    { kind: 'delete-flows', cookie: COOKIE, mask: COOKIE },
    ...Array.from({ length: SERVICES }, (_, i): Modification => ({ kind: 'delete-group', id: i + 1 })),
  ]);
  connection.close();
} finally {
  await scope.close();
}
