import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { PORT, type Action } from '../../../cni/openflow/actions.ts';
import { OpenFlowConnection } from '../../../cni/openflow/connection.ts';
import type { OpenFlowError } from '../../../cni/openflow/errors.ts';
import type { FieldValue } from '../../../cni/openflow/fields.ts';
import { groupModifications, MOST_BUCKETS } from '../../../cni/openflow/groups.ts';
import type { PacketIn } from '../../../cni/openflow/packets.ts';
import type { Modification } from '../../../cni/openflow/program.ts';
import { newScope, scopedNamespace } from '../../support/netns.ts';
import { must } from '../../support/proc.ts';
import { useOvs } from '../ovsdb/world.ts';
import { arpReply, echoReply, isArp, udpFrame, type Datagram } from './frames.ts';

const IPV4: FieldValue = { field: 'eth_type', value: 0x0800n };
const UDP: FieldValue = { field: 'ip_proto', value: 17n };
const NORMAL: Action = { kind: 'output', port: PORT.normal };
const TABLE = 2;
const COOKIE = 0xce11n << 48n;
const LEARNED = COOKIE | 7n;
const OURS = { cookie: COOKIE, mask: 0xffffn << 48n };
const ZONE = 7;
const VIP = 0x0a60000an;

const put = (match: readonly FieldValue[], actions: readonly Action[], table = TABLE): Modification => ({
  kind: 'put-flow',
  flow: { table, priority: 100, cookie: COOKIE, match, actions },
});
/** Flows that differ from one another. */
const flows = (count: number): Modification[] =>
  Array.from({ length: count }, (_, i) => put([{ field: 'reg0', value: BigInt(i) }], [NORMAL]));
const group = (id: number, buckets: number): Extract<Modification, { kind: 'put-group' }>['group'] => ({
  id,
  buckets: Array.from({ length: buckets }, (_, i) => ({
    id: i + 1,
    weight: 100,
    actions: [
      {
        ...{ kind: 'ct', commit: true, zone: ZONE, table: 5 },
        nat: { side: 'dst', family: 4, address: BigInt(0x0a140000 + i), port: 80 },
      },
    ],
  })),
});
const noGroup = put([IPV4], [{ kind: 'group', group: 0xdead }]);
/** A port of TCP in a packet of no known protocol. */
const noProtocol = put([{ field: 'tcp_dst', value: 80n }], [NORMAL]);
const CLEAR: Modification = { kind: 'delete-flows', ...OURS };

suite('A connection to a bridge in OpenFlow 1.5', () => {
  const world = useOvs();
  let connection: OpenFlowConnection;
  const packets: PacketIn[] = [];
  let onPacket: (packet: PacketIn) => void = (packet) => void packets.push(packet);
  const mgmt = (bridge = 'br-t'): string => world.ovs.socket.replace(/db\.sock$/, `${bridge}.mgmt`);
  const open = (more: Partial<Parameters<typeof OpenFlowConnection.connect>[1]> = {}, bridge?: string) =>
    OpenFlowConnection.connect(mgmt(bridge), {
      deadlineMs: 5_000,
      onLost: (error) => assert.fail(error),
      ...more,
    });
  before(async () => {
    connection = await open({ onPacket: (packet) => onPacket(packet) });
  });
  after(() => connection.close());
  const ofctl = (...args: string[]): Promise<string> => must('ovs-ofctl', ['-O', 'OpenFlow15', ...args]);
  const count = (): Promise<number> => connection.countFlows(OURS);

  test('carries out a bundle whole, group and flows together', async () => {
    await connection.bundle([
      { kind: 'put-group', group: group(9, 2) },
      ...flows(3_000),
      put([IPV4], [{ kind: 'group', group: 9 }]),
    ]);
    assert.equal(await count(), 3_001);
    assert.deepEqual(
      (await connection.listGroups()).map(({ id }) => id),
      [9],
    );
    await connection.bundle([CLEAR, { kind: 'delete-group', id: 9 }]);
    assert.equal(await count(), 0);
    assert.deepEqual(await connection.listGroups(), []);
    assert.match(await ofctl('dump-flows', mgmt()), /actions=NORMAL/, 'what is not ours stays');
    await connection.bundle([]);
  });

  test('carries out nothing of a bundle of which the switch refuses one change', async () => {
    for (const [bad, name] of [
      [noGroup, 'OFPBAC_BAD_OUT_GROUP'],
      [noProtocol, 'OFPBMC_BAD_PREREQ'],
      [{ kind: 'delete-meter', id: 77 }, 'OFPBFC_MSG_UNSUP'],
    ] as const)
      for (const after of [0, 5_000])
        await assert.rejects(
          connection.bundle([...flows(20), bad, ...flows(after)]),
          (error: OpenFlowError) => {
            assert.deepEqual([error.code, error.change, error.switchError?.name], ['refused', 20, name]);
            return true;
          },
        );
    assert.equal(await count(), 0);
  });

  test('sends nothing that has no room in its place, and goes on', async () => {
    const bad = put([{ field: 'tcp_dst', value: 65_536n }], []);
    await assert.rejects(connection.bundle([...flows(5_000), bad]), RangeError);
    await assert.rejects(connection.send([...flows(1), bad]), RangeError);
    assert.equal(await count(), 0);
    await connection.bundle([CLEAR]);
  });

  test('serves requests that overlap', async () => {
    const some = flows(4_000);
    const [, , , before] = await Promise.all([
      connection.bundle(some.slice(0, 2_000)),
      connection.bundle(some.slice(2_000)),
      assert.rejects(connection.bundle([noGroup]), { code: 'refused', change: 0 }),
      count(),
    ]);
    assert.ok(before <= 4_000);
    assert.equal(await count(), 4_000);
    await connection.bundle([CLEAR]);
  });

  test('lists flows as the switch has them', async () => {
    await connection.bundle(flows(3_000));
    const listed = await connection.listFlows(OURS);
    assert.equal(listed.length, 3_000);
    assert.ok(
      listed.every(({ table, priority, cookie }) => table === TABLE && priority === 100 && cookie === COOKIE),
    );
    // OFPIT_APPLY_ACTIONS with an output to NORMAL.
    assert.match(listed[0]?.instructionBytes.toString('hex') ?? '', /^0004001800000000.*fffffffa/);
    await connection.bundle([CLEAR]);
    assert.deepEqual(await connection.listFlows(OURS), []);
  });

  test('meters in either unit', async () => {
    const meter = { id: 4, unit: 'kbps', rate: 1_000, burst: 100 } as const;
    await connection.send([
      { kind: 'add-meter', meter },
      { kind: 'add-meter', meter: { ...meter, id: 5, unit: 'packets' } },
    ]);
    assert.deepEqual((await connection.listMeters()).sort(), [4, 5]);
    await assert.rejects(
      connection.send([
        { kind: 'change-meter', meter },
        { kind: 'add-meter', meter },
      ]),
      {
        ...{ code: 'refused', change: 1 },
        switchError: { type: 12, code: 1, name: 'OFPMMFC_METER_EXISTS' },
      },
    );
    await connection.send([
      { kind: 'delete-meter', id: 4 },
      { kind: 'delete-meter', id: 5 },
    ]);
    assert.deepEqual(await connection.listMeters(), []);
  });

  test('a group of more buckets than one message holds', async () => {
    const changes = [10, 11].flatMap((id) => groupModifications(group(id, id === 10 ? 2_000 : MOST_BUCKETS)));
    assert.equal(changes.length, 2 + 4);
    await connection.bundle(changes);
    const groups = (await connection.listGroups()).sort((a, b) => a.id - b.id);
    assert.deepEqual(groups, [
      { id: 10, buckets: 2_000 },
      { id: 11, buckets: MOST_BUCKETS },
    ]);
    const stats = await ofctl('dump-group-stats', mgmt(), 'group_id=10');
    assert.equal(stats.match(/bucket\d+:/g)?.length, 2_000);
    // All of it again, with fewer buckets.
    await connection.bundle(groupModifications(group(10, 3)));
    await connection.bundle([{ kind: 'delete-group', id: 11 }]);
    assert.deepEqual(await connection.listGroups(), [{ id: 10, buckets: 3 }]);
    await connection.bundle([{ kind: 'delete-group', id: 10 }]);
    assert.throws(() => groupModifications(group(10, MOST_BUCKETS + 1)), RangeError);
  });

  test('a bucket with an action that the switch would ignore is refused', async () => {
    const toTable: Action = { kind: 'resubmit', table: 3 };
    const bucket = (actions: readonly Action[]): Modification => ({
      kind: 'put-group',
      group: { id: 9, buckets: [{ id: 1, weight: 100, actions }] },
    });
    for (const actions of [
      [{ kind: 'controller', userdata: Buffer.from('x') }],
      [{ kind: 'meter', meter: 1 }],
      [toTable, toTable],
      [{ kind: 'ct', commit: false, zone: ZONE }, toTable],
    ] satisfies Action[][])
      await assert.rejects(
        connection.bundle([bucket(actions)]),
        /of a bucket: expected set, copy and one of/,
      );
    await connection.bundle([bucket([{ kind: 'set', to: { field: 'reg3', value: 1n } }, toTable])]);
    await connection.bundle([{ kind: 'delete-group', id: 9 }]);
  });

  test('a packet of a pod comes to the agent, and the agent answers it', async (t) => {
    const pod = await scopedNamespace(newScope(t), 'pod');
    await must('ip', ['-n', world.ns.name, 'link', 'set', 'w0', 'netns', pod.name]);
    await pod.exec('ip', 'address', 'add', '172.30.0.5/24', 'dev', 'w0');
    await pod.exec('ip', 'link', 'set', 'w0', 'up');
    const inPort = await world.add('v0');
    const userdata = Buffer.from('cellnet: a test');
    await connection.bundle([
      put([{ field: 'in_port', value: BigInt(inPort) }], [{ kind: 'controller', userdata }], 0),
    ]);
    onPacket = (packet) => {
      packets.push(packet);
      if (packet.inPort !== inPort) return;
      const data = isArp(packet.data) ? arpReply(packet.data, '0a:58:ac:1e:00:09') : echoReply(packet.data);
      connection.packetOut({ inPort: PORT.controller, actions: [{ kind: 'output', port: inPort }], data });
    };
    await pod.pings('172.30.0.9');
    const [packet = assert.fail('no packet')] = packets;
    assert.deepEqual(
      { ...packet, data: packet.data.length },
      { inPort, table: 0, cookie: COOKIE, reason: 1, data: 42, userdata },
    );
    await connection.bundle([CLEAR]);
  });

  /** Sends a datagram through a table as if the agent had it from a pod. */
  const inject = async (actions: readonly Action[], datagram: Partial<Datagram> = {}): Promise<void> => {
    const data = udpFrame({ src: '10.20.0.5', dst: '10.96.0.10', srcPort: 40_000, dstPort: 53, ...datagram });
    connection.packetOut({ inPort: PORT.controller, actions, data });
    await count();
  };

  test('a packet makes a flow', async () => {
    const learn: Action = {
      ...{ kind: 'learn', table: 3, priority: 100, cookie: LEARNED, idleSeconds: 600, hardSeconds: 0 },
      match: [IPV4, UDP, 'ipv4_src', { field: 'ipv4_dst', value: VIP }, { field: 'udp_dst', value: 53n }],
      load: [{ field: 'reg3', value: 17n }],
    };
    const toLearn: Action = { kind: 'resubmit', table: TABLE };
    const buckets = [{ id: 1, weight: 100, actions: [toLearn] }];
    const selection = { method: 'hash', fields: ['ipv4_src'] } as const;
    await connection.bundle([
      { kind: 'put-group', group: { id: 9, buckets, selection } },
      put([IPV4, UDP], [learn]),
    ]);
    await inject([toLearn]);
    await inject([{ kind: 'group', group: 9 }], { src: '10.20.0.6' });
    const learned = await connection.listFlows({ cookie: LEARNED, mask: 0xffffffffffffffffn });
    assert.deepEqual(
      learned.map(({ table, priority, idleSeconds, hardSeconds }) => [
        table,
        priority,
        idleSeconds,
        hardSeconds,
      ]),
      [
        [3, 100, 600, 0],
        [3, 100, 600, 0],
      ],
    );
    const text = await ofctl('--no-stats', '--no-names', 'dump-flows', mgmt(), 'table=3');
    for (const src of ['10.20.0.5', '10.20.0.6'])
      assert.match(
        text,
        new RegExp(`udp,nw_src=${src},nw_dst=10.96.0.10,tp_dst=53 actions=set_field:0x11->reg3`),
      );
    await connection.bundle([CLEAR, { kind: 'delete-group', id: 9 }]);
  });

  test('flushes the connections that it is told to, and no other', async () => {
    const commit: Action = { kind: 'ct', commit: true, zone: ZONE };
    const tracked = async (): Promise<string[]> => {
      const lines = (await world.ovs.appctl('dpctl/dump-conntrack')).split('\n');
      return lines
        .map((line) => /src=([^,]+),dst=([^,]+),sport=(\d+)/.exec(line)?.slice(1).join(' ') ?? '')
        .filter((line) => line !== '')
        .sort();
    };
    const nat = { side: 'dst', family: 4, address: 0x0a140009n, port: 5_353 } as const;
    await inject([{ ...commit, nat }], { srcPort: 1 });
    await inject([{ ...commit, nat }], { srcPort: 2 });
    await inject([{ ...commit, nat }], { srcPort: 3, dst: '10.96.0.11' });
    await inject([{ ...commit, zone: 8 }], { srcPort: 1 });
    assert.equal((await tracked()).length, 4);
    const flush = { kind: 'flush-connections', zone: ZONE, protocol: 17, family: 4 } as const;
    const one = { src: 0x0a140005n, dst: VIP, srcPort: 1, dstPort: 53 };
    await connection.send([{ ...flush, original: { ...one, dstPort: 54 } }]);
    assert.equal((await tracked()).length, 4);
    await connection.send([{ ...flush, original: one }]);
    assert.deepEqual(await tracked(), [
      '10.20.0.5 10.96.0.10 1',
      '10.20.0.5 10.96.0.10 2',
      '10.20.0.5 10.96.0.11 3',
    ]);
    // All connections to a Service.
    await connection.send([{ ...flush, original: { dst: VIP, dstPort: 53 } }]);
    assert.deepEqual(await tracked(), ['10.20.0.5 10.96.0.10 1', '10.20.0.5 10.96.0.11 3']);
    // All connections to an endpoint.
    await connection.send([{ ...flush, reply: { src: 0x0a140009n, srcPort: 5_353 } }]);
    assert.deepEqual(await tracked(), ['10.20.0.5 10.96.0.10 1']);
    await connection.send([{ ...flush, zone: 8 }]);
    assert.deepEqual(await tracked(), []);
  });

  test('says what a bridge lacks that does not speak the version, and what is not there', async () => {
    await world.ovs.vsctl(
      'add-br',
      'br-old',
      '--',
      'set',
      'bridge',
      'br-old',
      'datapath_type=netdev',
      'protocols=OpenFlow13',
    );
    await assert.rejects(open({}, 'br-old'), (error: OpenFlowError) => {
      assert.equal(error.code, 'protocol');
      assert.match(error.remedy, /ovs-vsctl add bridge br-old protocols OpenFlow15/);
      return true;
    });
    await assert.rejects(open({}, 'br-absent'), { code: 'unreachable' });
  });

  test('gives up a switch that is silent, busy or idle', async () => {
    const lost: OpenFlowError[] = [];
    const options = { deadlineMs: 1_000, onLost: (error: OpenFlowError) => void lost.push(error) };
    const [busy, idle] = [await open(options), await open(options)];
    world.ovs.pauseVswitchd();
    try {
      const start = performance.now();
      await assert.rejects(busy.bundle(flows(20_000)), { code: 'timeout' });
      const ms = performance.now() - start;
      assert.ok(ms >= 990 && ms < 3_000, `${ms} ms`);
      await assert.rejects(busy.countFlows({ cookie: 0n, mask: 0n }), { code: 'timeout' });
      assert.equal(busy.lost?.code, 'timeout');
      await assert.rejects(open(options), { code: 'timeout' });
      await until(() => lost.length === 2);
      assert.deepEqual(
        lost.map(({ code }) => code),
        ['timeout', 'timeout'],
      );
      assert.equal(idle.lost?.code, 'timeout');
    } finally {
      world.ovs.resumeVswitchd();
    }
    await connection.bundle([CLEAR]);
    assert.equal(await count(), 0, 'nothing of the bundle was carried out');
  });

  test('an idle connection stays open, and one that its user closes is not lost', async () => {
    const own = await open({ deadlineMs: 500 });
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    assert.equal(own.lost, undefined);
    own.close();
    await assert.rejects(own.bundle([]), { code: 'connection-lost' });
  });

  test('tells its user when the switch is gone', async () => {
    const lost: OpenFlowError[] = [];
    const own = await open({ onLost: (error) => void lost.push(error) });
    connection.close();
    const filling = assert.rejects(own.bundle(flows(50_000)), { code: 'connection-lost' });
    await world.ovs.killVswitchd();
    await filling;
    assert.deepEqual(
      lost.map(({ code }) => code),
      ['connection-lost'],
    );
  });
});

/** Waits up to 5 s. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
}
