/**
 * What a pod's traffic loses on the way through a ClusterIP, beside straight to the same endpoint
 * from the same pod, in turn; and what traffic of no Service loses on a bridge that serves 5,000.
 */
import type { Scope } from '../support/netns.ts';
import { endpoint } from '../support/kube-api.ts';
import type { AddedPod } from '../support/node.ts';
import { must, startDaemon, until, type Daemon } from '../support/proc.ts';
import { compiledProgram } from './compiled.ts';
import { median } from './figures.ts';
import { atLeast, told, type Row } from './services-rows.ts';
import type { BenchWorld, ServedNode } from './services-world.ts';

const IPERF_PORT = 5_201;
const CONNECTIONS_PORT = 9_000;
const SECONDS = 2;
const CLIENTS = 8;
/**
 * Endpoints listen on other ports than those that are asked straight: a connection straight to an
 * endpoint may have the ports of one that came by a Service.
 */
const ENDPOINT_PORTS = 100;
const portsFrom = (first: number): { name: string; protocol: string; port: number }[] => [
  { name: 'iperf', protocol: 'TCP', port: IPERF_PORT + first },
  { name: 'many', protocol: 'TCP', port: CONNECTIONS_PORT + first },
];

/** A pod, and one way to a server. */
interface Way {
  readonly client: AddedPod;
  readonly to: string;
}

export async function benchTraffic(scope: Scope, world: BenchWorld, rounds: number): Promise<Row[]> {
  const { none, many } = world;
  const pods = {
    client: await addPod(many, 'client'),
    here: await addServer(scope, many, 'here'),
    elsewhere: await addServer(scope, none, 'elsewhere'),
    otherClient: await addPod(none, 'other-client'),
  };
  const vips = {
    here: await serve(many, 'bench-here', '10.97.0.1', pods.here),
    elsewhere: await serve(many, 'bench-elsewhere', '10.97.0.2', pods.elsewhere),
  };
  const { client, otherClient } = pods;
  const ways = {
    straight: { client, to: pods.here.ip },
    service: { client, to: vips.here },
    straightElsewhere: { client, to: pods.elsewhere.ip },
    serviceElsewhere: { client, to: vips.elsewhere },
    off: { client: otherClient, to: pods.elsewhere.ip },
  };
  const bits = await inTurn(ways, rounds, bitsASecond);
  const opened = await inTurn(ways, rounds, connectionsASecond);
  return [
    told('TCP straight to a pod of this bridge, Gbit/s', bits.straight / 1e9, 2),
    atLeast('through a ClusterIP, of that', 0.9, bits.service / bits.straight, 2),
    told('straight to a pod of another node, Gbit/s', bits.straightElsewhere / 1e9, 2),
    atLeast('through a ClusterIP, of that', 0.9, bits.serviceElsewhere / bits.straightElsewhere, 2),
    told('connections a second straight to a pod of this bridge', opened.straight, 0),
    atLeast('through a ClusterIP, of that', 0.7, opened.service / opened.straight, 2),
    told('connections a second straight to a pod of another node', opened.straightElsewhere, 0),
    atLeast('through a ClusterIP, of that', 0.7, opened.serviceElsewhere / opened.straightElsewhere, 2),
    told('TCP of no Service with 5,000 Services, of that on a bridge without', bits.straight / bits.off, 2),
    told('connections a second likewise', opened.straight / opened.off, 2),
  ];
}

/** Measures each way in turn, and returns the medians. */
async function inTurn<Name extends string>(
  ways: Readonly<Record<Name, Way>>,
  rounds: number,
  measure: (way: Way) => Promise<number>,
): Promise<Record<Name, number>> {
  const names = Object.keys(ways) as Name[];
  const values = new Map(names.map((name) => [name, [] as number[]]));
  for (let round = -1; round < rounds; round++)
    for (const name of names) {
      const value = await measure(ways[name]);
      // The first round fills the caches.
      if (round >= 0) values.get(name)?.push(value);
    }
  return Object.fromEntries(names.map((name) => [name, median(values.get(name) ?? [])])) as Record<
    Name,
    number
  >;
}

async function bitsASecond({ client, to }: Way): Promise<number> {
  const args = ['-c', to, '-p', String(IPERF_PORT), '-t', String(SECONDS), '-J'];
  const told = JSON.parse(await must('iperf3', args, { netns: client.ns.name, timeoutMs: 30_000 })) as {
    end: { sum_received: { bits_per_second: number } };
  };
  return told.end.sum_received.bits_per_second;
}

async function connectionsASecond({ client, to }: Way): Promise<number> {
  const args = ['open', to, String(CONNECTIONS_PORT), String(SECONDS * 1_000), String(CLIENTS)];
  const text = await must(compiledProgram('connections'), args, { netns: client.ns.name, timeoutMs: 30_000 });
  const [rate = NaN, failed = NaN] = text.split(' ').map(Number);
  if (failed > 0) console.log(`${failed} connections to ${to} failed`);
  return rate;
}

const addPod = ({ node, agent }: ServedNode, name: string): Promise<AddedPod> =>
  node.addPod(name, { config: { agent: agent.socket } });

async function addServer(scope: Scope, served: ServedNode, name: string): Promise<AddedPod> {
  const pod = await addPod(served, name);
  for (const first of [0, ENDPOINT_PORTS]) {
    const servers: [string, string[]][] = [
      ['iperf3', ['-s', '-p', String(IPERF_PORT + first), '--forceflush']],
      [compiledProgram('connections'), ['serve', pod.ip, String(CONNECTIONS_PORT + first)]],
    ];
    for (const [program, args] of servers) {
      const isReady = (daemon: Daemon): boolean => daemon.output().includes('listening');
      scope.use(await startDaemon(program, args, isReady, { netns: pod.ns.name }));
    }
  }
  return pod;
}

/** Makes a Service of one pod. @returns its address once the bridge serves it */
async function serve({ api, node }: ServedNode, name: string, vip: string, pod: AddedPod): Promise<string> {
  api?.putService({ name, clusterIPs: [vip], ports: portsFrom(0) });
  const ports = portsFrom(ENDPOINT_PORTS);
  api?.putEndpointSlice({ name: `${name}-1`, service: name, ports, endpoints: [endpoint(pod.ip)] });
  await until('the bridge serves the Service', async () => {
    const match = `tcp,nw_src=${pod.ip},tp_src=${CONNECTIONS_PORT + ENDPOINT_PORTS}`;
    const text = await node.ovs.ofctl('-O', 'OpenFlow15', 'dump-flows', '--no-stats', 'br-cell', match);
    return text.includes('actions=');
  });
  return vip;
}
