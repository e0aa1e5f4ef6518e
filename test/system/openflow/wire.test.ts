import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { PORT, type Action } from '../../../cni/openflow/actions.ts';
import { written } from '../../../cni/openflow/bytes.ts';
import { encodeChange } from '../../../cni/openflow/changes.ts';
import type { FieldValue } from '../../../cni/openflow/fields.ts';
import { MESSAGE, writeMessage } from '../../../cni/openflow/header.ts';
import { barrier, hello } from '../../../cni/openflow/hello.ts';
import * as multipart from '../../../cni/openflow/multipart.ts';
import { encodePacketOut, setConfig, setPacketInFormat } from '../../../cni/openflow/packets.ts';
import type { Flush, Modification } from '../../../cni/openflow/program.ts';
import { switchErrorOf } from '../../../cni/openflow/switch-error.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { must } from '../../support/proc.ts';

const IPV4: FieldValue = { field: 'eth_type', value: 0x0800n };
const IPV6: FieldValue = { field: 'eth_type', value: 0x86ddn };
const ARP: FieldValue = { field: 'eth_type', value: 0x0806n };
const TCP: FieldValue = { field: 'ip_proto', value: 6n };
const UDP: FieldValue = { field: 'ip_proto', value: 17n };
const COOKIE = 0xce11_0000_0000_0001n;
const NORMAL: Action = { kind: 'output', port: PORT.normal };
const VIP = 0x0a60000an;

/** What is encoded, and the same as ovs-ofctl(8) writes it. */
const FLOWS: readonly (readonly [text: string, match: readonly FieldValue[], actions: readonly Action[]])[] =
  [
    [
      'in_port=7,dl_src=0a:58:0a:14:00:05,arp,arp_spa=10.20.0.5,actions=NORMAL',
      [
        { field: 'in_port', value: 7n },
        { field: 'eth_src', value: 0x0a580a140005n },
        ARP,
        { field: 'arp_spa', value: 0x0a140005n },
      ],
      [NORMAL],
    ],
    [
      'ip,nw_src=10.20.0.0/22,actions=drop',
      [IPV4, { field: 'ipv4_src', value: 0x0a140000n, mask: 0xfffffc00n }],
      [],
    ],
    [
      'icmp6,icmp_type=136,nd_target=fd00::5,actions=resubmit(,3)',
      [
        IPV6,
        { field: 'ip_proto', value: 58n },
        { field: 'icmpv6_type', value: 136n },
        { field: 'nd_target', value: (0xfd00n << 112n) | 5n },
      ],
      [{ kind: 'resubmit', table: 3 }],
    ],
    [
      'ct_state=+new+trk-inv,tcp,nw_dst=10.96.0.10,tp_dst=53,actions=meter:4,group:9',
      [
        { field: 'ct_state', value: 0x21n, mask: 0x31n },
        IPV4,
        TCP,
        { field: 'ipv4_dst', value: VIP },
        { field: 'tcp_dst', value: 53n },
      ],
      [
        { kind: 'meter', meter: 4 },
        { kind: 'group', group: 9 },
      ],
    ],
    [
      'tcp,actions=ct(table=4,zone=7,nat)',
      [IPV4, TCP],
      [{ kind: 'ct', commit: false, zone: 7, table: 4, nat: 'restore' }],
    ],
    [
      'tcp,actions=ct(commit,zone=7,table=5,nat(dst=10.20.0.9:8080),exec(set_field:0x3->ct_mark))',
      [IPV4, TCP],
      [
        {
          ...{ kind: 'ct', commit: true, zone: 7, table: 5, mark: 3 },
          nat: { side: 'dst', family: 4, address: 0x0a140009n, port: 8080 },
        },
      ],
    ],
    [
      'tcp6,actions=ct(commit,zone=8,nat(src=fd00::1)),ct_clear',
      [IPV6, TCP],
      [
        {
          kind: 'ct',
          commit: true,
          zone: 8,
          nat: { side: 'src', family: 6, address: (0xfd00n << 112n) | 1n },
        },
        { kind: 'ct-clear' },
      ],
    ],
    [
      'ip,actions=set_field:0a:58:00:00:00:00/ff:ff:00:00:00:00->eth_dst,' +
        'move:NXM_OF_IP_DST[0..31]->NXM_OF_ETH_DST[0..31],set_field:5->reg0,IN_PORT',
      [IPV4],
      [
        { kind: 'set', to: { field: 'eth_dst', value: 0x0a5800000000n, mask: 0xffff00000000n } },
        { kind: 'copy', bits: 32, from: 'ipv4_dst', fromBit: 0, to: 'eth_dst', toBit: 0 },
        { kind: 'set', to: { field: 'reg0', value: 5n } },
        { kind: 'output', port: PORT.inPort },
      ],
    ],
    [
      'tcp,tcp_flags=+syn-ack,actions=meter:7,controller(userdata=63.65.6c.6c.3a.76)',
      [IPV4, TCP, { field: 'tcp_flags', value: 0x02n, mask: 0x12n }],
      [
        { kind: 'meter', meter: 7 },
        { kind: 'controller', userdata: Buffer.from('cell:v') },
      ],
    ],
    [
      'udp,nw_frag=later,metadata=0x5/0xff,reg4=4,reg5=5,reg6=6,reg7=0x70000/0xff0000,actions=drop',
      [
        IPV4,
        UDP,
        { field: 'ip_frag', value: 3n, mask: 3n },
        { field: 'metadata', value: 5n, mask: 0xffn },
        { field: 'reg4', value: 4n },
        { field: 'reg5', value: 5n },
        { field: 'reg6', value: 6n },
        { field: 'reg7', value: 0x70000n, mask: 0xff0000n },
      ],
      [],
    ],
    [
      'ct_state=+trk-inv,ip,ct_nw_proto=17,ct_nw_src=10.20.0.5,ct_nw_dst=10.96.0.10,ct_tp_src=40000,ct_tp_dst=53,actions=drop',
      [
        { field: 'ct_state', value: 0x20n, mask: 0x30n },
        IPV4,
        { field: 'ct_nw_proto', value: 17n },
        { field: 'ct_nw_src', value: 0x0a140005n },
        { field: 'ct_nw_dst', value: VIP },
        { field: 'ct_tp_src', value: 40_000n },
        { field: 'ct_tp_dst', value: 53n },
      ],
      [],
    ],
    [
      'ct_state=+trk-inv,ipv6,ct_ipv6_src=fd00::5,ct_ipv6_dst=fd00::6,actions=move:OXM_OF_IPV6_SRC[]->NXM_NX_XXREG0[],' +
        'set_field:0x1->xxreg0',
      [
        { field: 'ct_state', value: 0x20n, mask: 0x30n },
        IPV6,
        { field: 'ct_ipv6_src', value: (0xfd00n << 112n) | 5n },
        { field: 'ct_ipv6_dst', value: (0xfd00n << 112n) | 6n },
      ],
      [
        { kind: 'copy', bits: 128, from: 'ipv6_src', fromBit: 0, to: 'xxreg0', toBit: 0 },
        { kind: 'set', to: { field: 'xxreg0', value: 1n } },
      ],
    ],
    [
      'tcp,actions=learn(table=123,idle_timeout=600,hard_timeout=7,priority=100,cookie=0xce11030000000000,' +
        'eth_type=0x800,nw_proto=6,ip_src,ip_dst=10.96.0.10,tcp_dst=80,NXM_NX_CT_MARK[4..7]=5,' +
        'load:0x17->NXM_NX_REG3[],load:0xabc->NXM_NX_REG4[8..19])',
      [IPV4, TCP],
      [
        {
          ...{ kind: 'learn', table: 123, priority: 100, cookie: 0xce11_0300_0000_0000n },
          ...{ idleSeconds: 600, hardSeconds: 7 },
          match: [
            IPV4,
            TCP,
            'ipv4_src',
            { field: 'ipv4_dst', value: VIP },
            { field: 'tcp_dst', value: 80n },
            { field: 'ct_mark', value: 0x50n, mask: 0xf0n },
          ],
          load: [
            { field: 'reg3', value: 0x17n },
            { field: 'reg4', value: 0xabc00n, mask: 0xfff00n },
          ],
        },
      ],
    ],
    [
      'udp6,actions=learn(table=123,priority=100,cookie=0xce11030000000000,' +
        'eth_type=0x86dd,nw_proto=17,ipv6_src,ipv6_dst=fd00::5,load:0x17->NXM_NX_REG3[])',
      [IPV6, UDP],
      [
        {
          ...{ kind: 'learn', table: 123, priority: 100, cookie: 0xce11_0300_0000_0000n },
          ...{ idleSeconds: 0, hardSeconds: 0 },
          match: [IPV6, UDP, 'ipv6_src', { field: 'ipv6_dst', value: (0xfd00n << 112n) | 5n }],
          load: [{ field: 'reg3', value: 0x17n }],
        },
      ],
    ],
  ];
const put = (match: readonly FieldValue[], actions: readonly Action[], priority = 100): Modification => ({
  kind: 'put-flow',
  flow: { table: 2, priority, cookie: COOKIE, match, actions },
});
const GROUP: Extract<Modification, { kind: 'put-group' }> = {
  kind: 'put-group',
  group: {
    id: 9,
    buckets: [1, 2].map((id) => ({
      id,
      weight: 100,
      actions: [
        {
          ...{ kind: 'ct', commit: true, zone: 7, table: 5 },
          nat: { side: 'dst', family: 4, address: 0x0a140000n + BigInt(id), port: 53 },
        },
      ],
    })),
  },
};

const SELECTION = { method: 'hash', fields: ['ipv4_src', 'tcp_src'] } as const;
/** An ARP request, as short as a frame may be. */
const FRAME = Buffer.concat([
  Buffer.from('ffffffffffff0a580a1400050806', 'hex'),
  Buffer.from('00010800060400010a580a1400050a1400050000000000000a140001', 'hex'),
  Buffer.alloc(18),
]);

suite('OpenFlow 1.5 as we write it', () => {
  let scope: Scope;
  let dir: string;
  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
  });
  after(() => scope.close());
  const ofctl = (...args: string[]): Promise<string> => must('ovs-ofctl', ['-O', 'OpenFlow15', ...args]);
  const printed = async (messages: readonly Buffer[]): Promise<string[]> => {
    const file = join(dir, 'messages');
    await writeFile(file, Buffer.concat(messages));
    return linesOf(await ofctl('ofp-parse', file));
  };
  const print = (changes: readonly (Modification | Flush)[]): Promise<string[]> =>
    printed(changes.map((change) => encodeChange(change, 1)));
  const numberless = (line: string): string => line.replace(/ ?\(xid=0x[0-9a-f]+\)/, '');
  const linesOf = (text: string): string[] =>
    text
      .split(/\n(?=OFP|NXT)/)
      .map((each) => each.replaceAll(/\s+/g, ' ').trim())
      .filter((each) => /^(OFP|NXT)/.test(each));

  test('flows are read by ovs-ofctl as the same that it writes itself', async () => {
    const file = join(dir, 'flows');
    const texts = FLOWS.map(([text], i) => `table=2,priority=${100 + i},cookie=0xce11000000000001,${text}`);
    await writeFile(file, `${texts.join('\n')}\n`);
    const theirs = linesOf(await ofctl('parse-flows', file));
    assert.equal(theirs.length, FLOWS.length);
    assert.deepEqual(
      (await print(FLOWS.map(([, match, actions], i) => put(match, actions, 100 + i)))).map(numberless),
      theirs.map(numberless),
    );
  });

  test('deletions, groups and meters are read as what they mean', async () => {
    const meter = { id: 4, unit: 'kbps', rate: 10_000, burst: 512 } as const;
    const lines = await print([
      { kind: 'delete-flow', flow: { table: 2, priority: 7, cookie: COOKIE, match: [IPV4] } },
      { kind: 'delete-flows', cookie: 0xce11n << 48n, mask: 0xffffn << 48n },
      { kind: 'delete-group', id: 9 },
      { kind: 'add-meter', meter },
      { kind: 'change-meter', meter: { ...meter, unit: 'packets' } },
      { kind: 'delete-meter', id: 4 },
      GROUP,
      { kind: 'put-group', group: { ...GROUP.group, selection: SELECTION } },
      { kind: 'add-buckets', id: 9, buckets: GROUP.group.buckets },
      { kind: 'put-group', group: { ...GROUP.group, selection: { method: 'dp_hash' } } },
    ]);
    const buckets =
      'bucket=bucket_id:1,weight:100,actions=ct\\(commit,table=5,zone=7,nat\\(dst=10\\.20\\.0\\.1:53\\)\\),bucket=bucket_id:2,';
    const expected = [
      /DEL_STRICT table:2 priority=7,ip cookie:0xce11000000000001\/0xffffffffffffffff/,
      /DEL table:255 priority=0 cookie:0xce11000000000000\/0xffff000000000000/,
      /DEL group_id=9/,
      /ADD meter=4 kbps burst bands= type=drop rate=10000 burst_size=512/,
      /MOD meter=4 pktps burst bands= type=drop rate=10000 burst_size=512/,
      /DEL meter=4/,
      new RegExp(`ADD_OR_MOD group_id=9,type=select,${buckets}`),
      new RegExp(
        `ADD_OR_MOD group_id=9,type=select,selection_method=hash,fields\\(ip_src,tcp_src\\),${buckets}`,
      ),
      new RegExp(`INSERT_BUCKET command_bucket_id:last,group_id=9,${buckets}`),
      new RegExp(`ADD_OR_MOD group_id=9,type=select,selection_method=dp_hash,${buckets}`),
    ];
    assert.equal(lines.length, expected.length, lines.join('\n'));
    expected.forEach((each, i) => assert.match(lines[i] ?? '', each));
  });

  test('a flush of connections is read as what it means', async () => {
    const tuple = { src: 0x0a140005n, dst: VIP, srcPort: 40_000, dstPort: 53 };
    const flush = { kind: 'flush-connections', zone: 7, protocol: 17 } as const;
    const lines = await print([
      { ...flush, family: 4, original: tuple, reply: { dst: 0x0a140005n } },
      { ...flush, family: 6, original: { dst: (0xfd00n << 112n) | 5n, dstPort: 53 } },
      { ...flush, family: 4 },
    ]);
    assert.deepEqual(lines.map(numberless), [
      "NXT_CT_FLUSH (OF1.5): zone=7 'ct_nw_src=10.20.0.5,ct_nw_dst=10.96.0.10,ct_tp_src=40000,ct_tp_dst=53,ct_nw_proto=17' 'ct_nw_src=::,ct_nw_dst=10.20.0.5,ct_tp_src=0,ct_tp_dst=0'",
      "NXT_CT_FLUSH (OF1.5): zone=7 'ct_ipv6_src=::,ct_ipv6_dst=fd00::5,ct_tp_src=0,ct_tp_dst=53,ct_nw_proto=17' 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0'",
      "NXT_CT_FLUSH (OF1.5): zone=7 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0,ct_nw_proto=17' 'ct_ipv6_src=::,ct_ipv6_dst=::,ct_tp_src=0,ct_tp_dst=0'",
    ]);
  });

  test('packets to the switch, and what asks for its packets, are read as what they mean', async () => {
    const lines = await printed([
      encodePacketOut({ inPort: PORT.controller, actions: [NORMAL], data: FRAME }, 1),
      encodePacketOut({ inPort: 7, actions: [{ kind: 'resubmit', table: 3 }], data: FRAME }, 1),
      setConfig(1),
      setPacketInFormat(1),
      hello(1),
      barrier(1),
    ]);
    const expected = [
      /OFPT_PACKET_OUT .*in_port=CONTROLLER actions=NORMAL data_len=60.*arp/,
      /OFPT_PACKET_OUT .*in_port=7 actions=resubmit\(,3\) data_len=60/,
      /OFPT_SET_CONFIG .*miss_send_len=65535/,
      /NXT_SET_PACKET_IN_FORMAT .*format=nxt_packet_in2/,
      /OFPT_HELLO .*0x06/,
      /OFPT_BARRIER_REQUEST/,
    ];
    expected.forEach((each, i) => assert.match(lines[i] ?? '', each));
  });

  test('questions are read as what they mean', async () => {
    const lines = await printed([
      multipart.countFlows({ cookie: 0xce11n << 48n, mask: 0xffffn << 48n }, 1),
      multipart.listFlows({ cookie: 0xce11n << 48n, mask: 0xffffn << 48n, table: 131 }, 1),
      multipart.listGroups(1),
      multipart.listMeters(1),
    ]);
    const expected = [
      /OFPST_AGGREGATE request \(OF1\.5\)/,
      /OFPST_FLOW request \(OF1\.5\)/,
      /OFPST_GROUP request .*group_id=ALL/,
      /OFPST_METER_CONFIG request .*meter=all/,
    ];
    expected.forEach((each, i) => assert.match(lines[i] ?? '', each));
  });

  test('errors have the names that Open vSwitch gives them', async () => {
    const errorOf = (type: number, code: number): Buffer => Buffer.from([0, type, 0, code]);
    const known = Array.from({ length: 20 * 20 }, (_, i) => errorOf(Math.floor(i / 20), i % 20))
      .map((body) => ({ body, ...switchErrorOf(body) }))
      .filter(({ name }) => name.startsWith('OFP'));
    assert.ok(known.length > 90);
    const lines = await printed(
      known.map(({ body }) => written((to) => writeMessage(to, MESSAGE.error, 1, () => to.bytes(body)))),
    );
    assert.deepEqual(
      lines.map((line) => / (OFP\w+)/.exec(line)?.[1]),
      known.map(({ name }) => name),
    );
  });

  test('a value that its place has no room for is refused before anything is sent', () => {
    for (const field of [
      { field: 'tcp_dst', value: 65_536n },
      { field: 'ipv4_dst', value: -1n },
      { field: 'ipv4_dst', value: 5n, mask: 4n },
    ] as const)
      assert.throws(() => encodeChange(put([field], []), 1), RangeError);
    const learn: Action = {
      ...{ kind: 'learn', table: 1, priority: 1, cookie: 0n, idleSeconds: 0, hardSeconds: 0 },
      match: [{ field: 'reg0', value: 5n, mask: 5n }],
      load: [],
    };
    assert.throws(() => encodeChange(put([], [learn]), 1), /expected bits side by side/);
  });
});
