/** What the agent and Open vSwitch of a node tell of Services. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  FrontendRow,
  ServiceListReport,
  ServiceShowReport,
  ServingReport,
} from '../../cni/agent/dataplane/service-report.ts';
import type { RowListener } from '../../cni/ovsdb/session.ts';
import { map, set, uuid, type RawRow } from '../../cni/ovsdb/protocol.ts';
import type { AgentReply } from '../../cnictl/context/world.ts';
import { FakePlatform } from '../unit/cni/fake-platform.ts';
import { CliWorld, EmptyOvsdb } from './world.ts';

export const SERVING: ServingReport = {
  served: true,
  reason: null,
  known: true,
  bridges: [{ bridge: 'br-cell', inPlace: true, flows: 81, differences: 0, failure: null }],
};

const WEB: FrontendRow = {
  ...{
    service: 'shop/web',
    portName: 'http',
    kind: 'cluster',
    address: '10.96.0.10',
    protocol: 'TCP',
    port: 80,
  },
  ...{ affinitySeconds: null, sourceRanges: null, endpoints: 2, local: 1 },
};
const DNS: FrontendRow = {
  ...{
    service: 'kube-system/dns',
    portName: 'dns',
    kind: 'cluster',
    address: 'fd00:96::a',
    protocol: 'UDP',
    port: 53,
  },
  ...{ affinitySeconds: 10_800, sourceRanges: null, endpoints: 0, local: 0 },
};
const BALANCED: FrontendRow = {
  ...WEB,
  ...{ kind: 'load-balancer', address: '198.51.100.7', sourceRanges: ['192.0.2.0/24'] },
};
const REFUSAL = {
  ...{ service: 'shop/taken', what: 'the cluster IP 10.20.0.1' },
  reason: "is in the range blue (10.20.0.0/22), whose addresses are pods'",
};
const ENDPOINTS: ServiceShowReport['frontends'][number]['known'] = [
  {
    ...{ address: '10.20.1.80', port: 8080, node: 'node-1', state: 'ready', local: true },
    ...{ chosen: true, reason: null },
  },
  {
    ...{ address: '10.20.2.7', port: 8080, node: 'node-2', state: 'ready', local: false },
    ...{ chosen: true, reason: null },
  },
  {
    ...{ address: '10.20.2.8', port: 8080, node: 'node-2', state: 'not-ready', local: false },
    ...{ chosen: false, reason: 'is not ready' },
  },
];

export const LIST: ServiceListReport = { ...SERVING, frontends: [DNS, WEB, BALANCED], refusals: [REFUSAL] };
const SHOW: ServiceShowReport = {
  ...{ ...SERVING, service: 'shop/web', notServed: null, refusals: [] },
  frontends: [
    { ...WEB, takenBy: null, known: ENDPOINTS },
    { ...BALANCED, takenBy: 'shop/older', known: ENDPOINTS.slice(0, 1) },
  ],
};
const NONE: ServiceShowReport = {
  ...{ ...SERVING, service: 'shop/db', notServed: 'has no cluster IP (headless)', refusals: [REFUSAL] },
  frontends: [],
};

export const reply = (body: object, status = 200): AgentReply => ({ status, body: JSON.stringify(body) });

const CONNECTIONS = [
  'tcp,orig=(src=10.20.1.81,dst=10.96.0.10,sport=1,dport=80),reply=(src=10.20.1.80,dst=10.20.1.81,sport=8080,dport=1),zone=52753,protoinfo=(state=ESTABLISHED)',
  'tcp,orig=(src=10.20.1.81,dst=10.96.0.10,sport=2,dport=80),reply=(src=10.20.2.9,dst=10.20.1.81,sport=8080,dport=2),zone=52753,protoinfo=(state=ESTABLISHED)',
].join('\n');

const PORTS = `netdev@ovs-netdev:
  port 1: br-cell (tap)
  port 2: uplink0
  port 3: cellnear
  port 4: cellclient
`;

/** The traces of test/unit/cni/dataplane/traces, by their destination. */
const TRACES: readonly (readonly [RegExp, string])[] = [
  [/nw_dst=10\.96\.0\.10,.*tcp_dst=80\b/, 'near'],
  [/nw_dst=10\.96\.0\.11,/, 'far'],
  [/nw_dst=10\.96\.0\.12,/, 'other-vlan'],
  [/nw_dst=10\.96\.0\.13,/, 'no-endpoints'],
  [/nw_dst=10\.96\.0\.14,/, 'self'],
  [/nw_dst=10\.96\.0\.10,.*tcp_dst=81\b/, 'other-port'],
  [/icmp,.*nw_dst=10\.96\.0\.10,/, 'ping'],
  [/nw_dst=10\.20\.1\.80,/, 'to-pod'],
  [/ipv6_dst=fd00:96::10,.*tcp_dst=80\b/, 'near-ipv6'],
];

function vswitchd(method: string, params: readonly string[]): Promise<string> {
  if (method === 'dpctl/dump-dps') return Promise.resolve('netdev@ovs-netdev\n');
  if (method === 'dpctl/dump-conntrack') return Promise.resolve(CONNECTIONS);
  if (method === 'dpctl/show') return Promise.resolve(PORTS);
  const [, trace] = TRACES.find(([pattern]) => pattern.test(params[1] ?? '')) ?? [];
  if (method !== 'ofproto/trace' || trace === undefined)
    return Promise.reject(new Error(`no test asks ${method} ${params.join(' ')}`));
  const folder = join(import.meta.dirname, '../unit/cni/dataplane/traces');
  return Promise.resolve(readFileSync(join(folder, `${trace}.txt`), 'utf8'));
}

/** Two pods of the namespace default on VLAN 120: near and client. */
const ROWS: Readonly<Record<string, Readonly<Record<string, RawRow>>>> = {
  Bridge: { b: { name: 'br-cell', ports: set([uuid('p3'), uuid('p4')]) } },
  Port: {
    p3: portRow('near', 'cellnear', 'i3', '10.20.1.80,fd00:20::fb:7c98:b8ea:a000'),
    p4: portRow('client', 'cellclient', 'i4', '10.20.1.81,fd00:20::fb:7c98:b8ea:a001'),
  },
  Interface: { i3: { ofport: 2 }, i4: { ofport: 4 } },
};

function portRow(pod: string, name: string, its: string, ip: string): RawRow {
  const marks = { owner: 'cellnet', 'container-id': pod, ifname: 'eth0', ip };
  const ids = map({ ...marks, 'pod-namespace': 'default', 'pod-name': pod });
  return { name, tag: 120, trunks: set([]), external_ids: ids, interfaces: uuid(its) };
}

class PortsOvsdb extends EmptyOvsdb {
  override monitor(
    table?: string,
    _where?: unknown,
    _columns?: unknown,
    listener?: RowListener,
  ): Promise<void> {
    for (const [id, row] of Object.entries(ROWS[table ?? ''] ?? {})) listener?.(row, id);
    return Promise.resolve();
  }
}

/** This node, node-1, serves Services: its agent and its Open vSwitch answer. */
export async function servingWorld(): Promise<CliWorld> {
  const world = await CliWorld.make();
  world.env['CELLNET_STATE_DIR'] = '/none';
  world.platform = () => new FakePlatform('/none').platform();
  world.agentReplies = {
    '/services': reply(LIST),
    '/services/shop/web': reply(SHOW),
    '/services/shop/db': reply(NONE),
    '/services/shop/wbe': reply({ ...SERVING, hint: "Did you mean 'shop/web'?" }, 404),
  };
  world.vswitchd = vswitchd;
  world.ovsdb = new PortsOvsdb();
  return world;
}
