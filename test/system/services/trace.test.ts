import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import fc from 'fast-check';
import { refusalMeter } from '../../../cni/dataplane/fixed-flows.ts';
import type { LocalPod } from '../../../cni/dataplane/local-pod.ts';
import { Program } from '../../../cni/dataplane/program.ts';
import { parseTrace } from '../../../cni/dataplane/trace.ts';
import { OpenFlowConnection } from '../../../cni/openflow/connection.ts';
import { callUnixctl } from '../../../cni/ovsdb/unixctl.ts';
import { frontendKey, type Frontend } from '../../../cni/services/frontend.ts';
import { formatAddress, parseAddress, parseCidr, type Address } from '../../../ipam/model/address.ts';
import { makeNamespace, newScope, uniqueName, type Scope } from '../../support/netns.ts';
import { startOvs } from '../../support/ovs.ts';
import { fatesOf, type Fate, type FirstPacket, type SmallWorld } from './model.ts';

const WORLDS = 100;
const PACKETS = 20;
const BRIDGE = 'br-trace';
const UPLINK = 9;
const GATEWAY_MAC = 0x0200_0000_0001n;

const RANGES = [
  ['blue', '10.20.0.0/24', 120, '10.20.0.1'],
  ['red', '10.30.0.0/24', 130, '10.30.0.1'],
  ['blue6', 'fd00:20::/64', 120, 'fd00:20::1'],
].map(([name, cidr, vlan, gateway]) => ({
  ...{ name: String(name), cidr: parseCidr(String(cidr)), vlan: Number(vlan) },
  exclude:
    cidr === '10.20.0.0/24' ? [{ first: parseAddress('10.20.0.2'), last: parseAddress('10.20.0.3') }] : [],
  gateway: parseAddress(String(gateway)),
}));
/** The node's pods by their ports: the first two on one VLAN, with addresses of both families. */
const podAt = (ofport: number, host: number): LocalPod => {
  const isBlue = ofport < 3;
  const four = parseAddress(`10.${isBlue ? 20 : 30}.0.${host}`);
  return {
    ...{ port: `p${ofport}`, ofport, vlan: isBlue ? 120 : 130, mac: (0x0a58n << 32n) | four.value },
    addresses: isBlue ? [four, parseAddress(`fd00:20::${host}`)] : [four],
  };
};

const host = fc.integer({ min: 1, max: 8 });
const port = fc.constantFrom(53, 80, 8080);
const protocol = fc.constantFrom(6 as const, 17 as const, 132 as const);
const endpointAddress = fc
  .tuple(fc.constantFrom('10.20.0.', '10.30.0.', '192.0.2.', 'fd00:20::', 'fd00:99::'), host)
  .map(([net, at]) => parseAddress(`${net}${at}`));
const virtual = fc.constantFrom('10.96.0.1', '10.96.0.2', '203.0.113.1', 'fd00:96::1').map(parseAddress);
const frontend = fc
  .record({
    ...{ address: virtual, protocol, port },
    endpoints: fc.array(fc.record({ address: endpointAddress, port }), { maxLength: 4 }),
    affinitySeconds: fc.option(fc.constant(60), { nil: undefined }),
    isRestricted: fc.boolean(),
  })
  .map(({ isRestricted, endpoints, ...each }): Frontend => {
    const isExternal = formatAddress(each.address).startsWith('203.');
    const fitting = endpoints.filter(({ address }) => address.family === each.address.family);
    return {
      ...{ ...each, service: 'a/b', portName: '', kind: isExternal ? 'load-balancer' : 'cluster' },
      endpoints: [...new Map(fitting.map((one) => [`${one.address.value} ${one.port}`, one])).values()].map(
        (one) => ({ ...one, nodeName: undefined, podUid: undefined }),
      ),
      sourceRanges: isExternal && isRestricted ? [parseCidr('10.20.0.0/30')] : undefined,
    };
  });
const world: fc.Arbitrary<SmallWorld> = fc
  .record({
    hosts: fc.uniqueArray(fc.integer({ min: 4, max: 8 }), { minLength: 3, maxLength: 3 }),
    frontends: fc.uniqueArray(frontend, { maxLength: 6, selector: frontendKey }),
  })
  .map(({ hosts, frontends }) => ({
    pods: hosts.map((at, i) => podAt(i + 1, at)),
    ...{ ranges: RANGES, frontends },
  }));
const packetSeed = fc.record({
  from: fc.integer({ min: 0, max: 3 }),
  to: fc.nat(),
  protocol,
  port,
  address: virtual,
});

type PacketSeed = typeof packetSeed extends fc.Arbitrary<infer Seed> ? Seed : never;

/** A packet of a pod or of the uplink: mostly to one of the frontends. */
function packetIn({ pods, frontends }: SmallWorld, seed: PacketSeed): FirstPacket {
  const aimed = frontends[seed.to % (frontends.length + 1)];
  const from = pods[seed.from];
  const destination = aimed?.address ?? seed.address;
  const own = from?.addresses.find(({ family }) => family === destination.family);
  return {
    ...{ from, destination, mac: GATEWAY_MAC, protocol: aimed?.protocol ?? seed.protocol },
    source: own ?? parseAddress(destination.family === 4 ? '198.51.100.1' : 'fd00:77::1'),
    port: seed.to % 3 === 0 ? seed.port : (aimed?.port ?? seed.port),
  };
}

const macText = (mac: bigint): string =>
  mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?=.)/g, '$&:');
/** What connection tracking says of the packet, each time that it is asked. */
const NEW = ['--ct-next', 'trk,new'];
const NAMES = { 6: 'tcp', 17: 'udp', 132: 'sctp' } as const;

function flowOf({ from, source, destination, protocol: of, port: to, mac }: FirstPacket): string {
  const [name, field] = destination.family === 4 ? [NAMES[of], 'nw'] : [`${NAMES[of]}6`, 'ipv6'];
  return [
    ...[
      `in_port=${from?.ofport ?? UPLINK}`,
      name,
      `dl_src=${macText(from?.mac ?? 1n)}`,
      `dl_dst=${macText(mac)}`,
    ],
    ...[`${field}_src=${formatAddress(source)}`, `${field}_dst=${formatAddress(destination)}`],
    ...['nw_ttl=64', `dp_hash=${1 + (to % 7)}`, `${NAMES[of]}_src=40000`, `${NAMES[of]}_dst=${to}`],
  ].join(',');
}

/** Reads what the bridge does off its own account of it. */
function fateIn(text: string, family: Address['family']): Fate {
  const trace = parseTrace(text);
  const actions = trace?.steps.flatMap((step) => step.actions) ?? [];
  if (actions.some((action) => action.startsWith('controller('))) return { outcome: 'refused' };
  const outcome = (['IN_PORT', 'NORMAL'] as const).find((each) => actions.includes(each));
  if (!outcome || !trace) return { outcome: 'dropped' };
  const field = (name: string): string => trace.packet.get(name) ?? '';
  return {
    ...{ outcome, destination: parseAddress(field(family === 4 ? 'nw_dst' : 'ipv6_dst')) },
    ...{ port: Number(field('tp_dst')), mac: BigInt(`0x${field('dl_dst').replaceAll(':', '')}`) },
  };
}

const shown = ({ outcome, destination, port: at = 0, mac = 0n }: Fate): string =>
  destination ? `${outcome} ${formatAddress(destination)} ${at} ${macText(mac)}` : outcome;

suite("the bridge's program and a model of it", () => {
  let scope: Scope;
  let connection: OpenFlowConnection;
  let control: string;
  before(async () => {
    scope = newScope();
    const ns = scope.use(await makeNamespace(uniqueName('trace')));
    const dir = await scope.tempDir();
    const ovs = scope.use(await startOvs({ netns: ns.name, dir: join(dir, 'ovs') }));
    await ovs.vsctl('add-br', BRIDGE, '--', 'set', 'bridge', BRIDGE, 'datapath_type=netdev');
    for (const [name, at, more] of [
      ['p1', 1, ['tag=120']],
      ['p2', 2, ['tag=120']],
      ['p3', 3, ['tag=130']],
      ['up', UPLINK, []],
    ] as const)
      await ovs.vsctl(
        ...['add-port', BRIDGE, name, ...more, '--', 'set', 'interface', name],
        ...['type=internal', `ofport_request=${at}`],
      );
    connection = await OpenFlowConnection.connect(join(dir, 'ovs', `${BRIDGE}.mgmt`), {
      deadlineMs: 5_000,
      onLost: () => undefined,
    });
    scope.defer(() => connection.close());
    await connection.send([{ kind: 'add-meter', meter: refusalMeter }]);
    control = join(dir, 'ovs', 'ovs-vswitchd.ctl');
  });
  after(() => scope.close());

  test('a first packet of any connection meets what the model says', async () => {
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        world,
        fc.array(packetSeed, { minLength: PACKETS, maxLength: PACKETS }),
        async (small, seeds) => {
          const program = new Program();
          program.setRanges(small.ranges);
          program.setPods(small.pods);
          for (const each of small.frontends) program.setFrontend(frontendKey(each), each);
          await connection.bundle(program.take().changes);
          for (const seed of seeds) {
            const packet = packetIn(small, seed);
            const flow = flowOf(packet);
            const text = await callUnixctl(control, 'ofproto/trace', [BRIDGE, flow, ...NEW, ...NEW]);
            const fate = fateIn(text, packet.destination.family);
            const expected = fatesOf(small, packet).map(shown);
            assert.ok(
              expected.includes(shown(fate)),
              `${flow}\n${shown(fate)}, not ${expected.join(' or ')}\n${text}`,
            );
            seen.set(fate.outcome, (seen.get(fate.outcome) ?? 0) + 1);
          }
        },
      ),
      { numRuns: WORLDS },
    );
    assert.deepEqual([...seen.keys()].sort(), ['IN_PORT', 'NORMAL', 'dropped', 'refused']);
  });
});
