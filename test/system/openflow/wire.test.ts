import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { PORT, type Action } from '../../../cni/openflow/actions.ts';
import type { FieldValue } from '../../../cni/openflow/fields.ts';
import {
  encodeBundle,
  encodeModification,
  helloOf15,
  type Modification,
} from '../../../cni/openflow/program.ts';
import { newScope, type Scope } from '../../support/netns.ts';
import { must } from '../../support/proc.ts';
import { useOvs } from '../ovsdb/world.ts';

const IPV4: FieldValue = { field: 'eth_type', value: 0x0800n };
const IPV6: FieldValue = { field: 'eth_type', value: 0x86ddn };
const ARP: FieldValue = { field: 'eth_type', value: 0x0806n };
const TCP: FieldValue = { field: 'ip_proto', value: 6n };
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
  ];
const put = (match: readonly FieldValue[], actions: readonly Action[], priority = 100): Modification => ({
  kind: 'put-flow',
  flow: { table: 2, priority, cookie: COOKIE, match, actions },
});
const GROUP: Modification = {
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

suite('OpenFlow 1.5 as we write it', () => {
  const world = useOvs();
  let scope: Scope;
  let dir: string;
  before(async () => {
    scope = newScope();
    dir = await scope.tempDir();
  });
  after(() => scope.close());
  const ofctl = (...args: string[]): Promise<string> => must('ovs-ofctl', ['-O', 'OpenFlow15', ...args]);
  const bridge = (): string => world.ovs.remote.replace(/^unix:/, '').replace(/db\.sock$/, 'br-t.mgmt');
  const print = async (changes: readonly Modification[]): Promise<string[]> => {
    const file = join(dir, 'messages');
    await writeFile(file, Buffer.concat(changes.map((change) => encodeModification(change, 1))));
    return linesOf(await ofctl('ofp-parse', file));
  };
  const linesOf = (text: string): string[] =>
    text
      .split(/\n(?=OFPT_)/)
      .map((each) => each.replaceAll(/\s+/g, ' ').trim())
      .filter((each) => each.startsWith('OFPT_'));

  test('flows are read by ovs-ofctl as the same that it writes itself', async () => {
    const file = join(dir, 'flows');
    const texts = FLOWS.map(([text], i) => `table=2,priority=${100 + i},cookie=0xce11000000000001,${text}`);
    await writeFile(file, `${texts.join('\n')}\n`);
    const theirs = linesOf(await ofctl('parse-flows', file));
    assert.equal(theirs.length, FLOWS.length);
    const numberless = (line: string): string => line.replace(/\(xid=0x[0-9a-f]+\)/, '');
    assert.deepEqual(
      (await print(FLOWS.map(([, match, actions], i) => put(match, actions, 100 + i)))).map(numberless),
      theirs.map(numberless),
    );
  });

  test('deletions, groups and meters are read as what they mean', async () => {
    const meter = { id: 4, rateKbps: 10_000, burstKbit: 512 };
    const lines = await print([
      { kind: 'delete-flow', flow: { table: 2, priority: 7, cookie: COOKIE, match: [IPV4] } },
      { kind: 'delete-flows', cookie: 0xce11n << 48n, mask: 0xffffn << 48n },
      { kind: 'delete-group', id: 9 },
      { kind: 'add-meter', meter },
      { kind: 'change-meter', meter },
      { kind: 'delete-meter', id: 4 },
      GROUP,
    ]);
    const expected = [
      /DEL_STRICT table:2 priority=7,ip cookie:0xce11000000000001\/0xffffffffffffffff/,
      /DEL table:255 priority=0 cookie:0xce11000000000000\/0xffff000000000000/,
      /DEL group_id=9/,
      /ADD meter=4 kbps burst bands=/,
      /MOD meter=4 kbps burst bands=/,
      /DEL meter=4/,
      /ADD_OR_MOD group_id=9,type=select.*bucket_id:1,weight:100,actions=ct\(commit,table=5,zone=7,nat\(dst=10\.20\.0\.1:53\)\)/,
    ];
    assert.equal(lines.length, expected.length, lines.join('\n'));
    expected.forEach((each, i) => assert.match(lines[i] ?? '', each));
  });

  /** Sends the messages and a barrier. Returns the errors that come before its answer. */
  const send = (messages: readonly Buffer[]): Promise<string[]> =>
    new Promise((resolve, reject) => {
      const socket = connect(bridge());
      const errors: string[] = [];
      let rest: Buffer = Buffer.alloc(0);
      const barrier = Buffer.from('0614000800000063', 'hex');
      socket.setTimeout(5_000, () => reject(new Error('no answer')));
      socket.on('error', reject);
      socket.on('data', (bytes) => {
        rest = Buffer.concat([rest, bytes]);
        while (rest.length >= 8 && rest.length >= rest.readUInt16BE(2)) {
          const [type, length] = [rest.readUInt8(1), rest.readUInt16BE(2)];
          if (type === 1) errors.push(rest.subarray(8, 12).toString('hex'));
          rest = rest.subarray(length);
          if (type !== 21) continue;
          socket.destroy();
          resolve(errors);
        }
      });
      socket.write(Buffer.concat([helloOf15(1), ...messages, barrier]));
    });
  const ours = async (): Promise<string[]> =>
    (await ofctl('--no-stats', 'dump-flows', bridge(), 'cookie=0xce11000000000000/0xffff000000000000'))
      .split('\n')
      .filter((line) => line.includes('cookie='));

  test('a bundle is carried out whole on a running switch, group and flows together', async () => {
    const meter = encodeModification(
      { kind: 'add-meter', meter: { id: 4, rateKbps: 1_000, burstKbit: 100 } },
      2,
    );
    const changes = [GROUP, ...FLOWS.map(([, match, actions], i) => put(match, actions, 100 + i))];
    assert.deepEqual(await send([meter, ...encodeBundle(1, changes, 10)]), []);
    assert.equal((await ours()).length, FLOWS.length);
    assert.match(await ofctl('dump-groups', bridge()), /group_id=9,type=select/);
    const away: Modification[] = [
      { kind: 'delete-flows', cookie: 0xce11n << 48n, mask: 0xffffn << 48n },
      { kind: 'delete-group', id: 9 },
    ];
    assert.deepEqual(await send(encodeBundle(2, away, 10)), []);
    assert.deepEqual(await ours(), []);
    assert.match(await ofctl('dump-flows', bridge()), /actions=NORMAL/, 'what is not ours stays');
  });

  test('of a bundle with one change that the switch refuses nothing is carried out', async () => {
    const good = put([IPV4], [NORMAL]);
    const noGroup = put([IPV6], [{ kind: 'group', group: 77 }]);
    assert.notDeepEqual(await send(encodeBundle(3, [good, noGroup], 10)), []);
    assert.deepEqual(await ours(), []);
  });

  test('a value that its place has no room for is refused before anything is sent', () => {
    for (const field of [
      { field: 'tcp_dst', value: 65_536n },
      { field: 'ipv4_dst', value: -1n },
      { field: 'ipv4_dst', value: 5n, mask: 4n },
    ] as const)
      assert.throws(() => encodeModification(put([field], []), 1), RangeError);
  });
});
