import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { devicesIn } from '../../../cnictl/commands/trace.ts';
import { destinationMac, flowText } from '../../../cnictl/commands/trace-flow.ts';
import { parseTarget } from '../../../cnictl/commands/trace-target.ts';
import type { LocalPod } from '../../../cni/dataplane/local-pod.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';

const pod = (ofport: number, vlan: number, ...addresses: readonly string[]): LocalPod => ({
  ...{
    port: `cell${ofport}`,
    ofport,
    vlan,
    mac: BigInt(ofport),
    addresses: addresses.map((each) => parseAddress(each)),
  },
});

suite('the destination of a trace', () => {
  for (const [text, address, protocol, port] of [
    ['10.96.0.10', '10.96.0.10', 'icmp', undefined],
    ['10.96.0.10:53/udp', '10.96.0.10', 'udp', 53],
    ['10.96.0.10:53/UDP', '10.96.0.10', 'udp', 53],
    ['10.96.0.10:80', '10.96.0.10', 'tcp', 80],
    ['fd00:96::a', 'fd00:96::a', 'icmp', undefined],
    ['[fd00:96::a]', 'fd00:96::a', 'icmp', undefined],
    ['[fd00:96::a]:443/sctp', 'fd00:96::a', 'sctp', 443],
  ] as const) {
    test(text, () => {
      const target = parseTarget(text);
      assert.deepEqual(
        [formatAddress(target.address), target.protocol, target.port],
        [address, protocol, port],
      );
    });
  }

  for (const text of [
    '',
    ':80',
    '10.96.0.10/udp',
    '10.96.0.10:0',
    '10.96.0.10:65536',
    '10.96.0.10:80/icmp',
    'web:80',
  ])
    test(`'${text}' is refused`, () => assert.throws(() => parseTarget(text)));
});

suite('the traced packet', () => {
  const client = pod(2, 120, '10.20.0.5', 'fd00:20::5');
  const [v4, v6] = client.addresses;
  assert.ok(v4 && v6);

  test('in the syntax of Open vSwitch, for each protocol and family', () => {
    const mac = '02:ce:11:00:00:01';
    const told = (text: string, source = v4): string => flowText(client, source, mac, parseTarget(text));
    const ends = 'in_port=2,dl_src=00:00:00:00:00:02,dl_dst=02:ce:11:00:00:01';
    assert.equal(
      told('10.96.0.10:53/udp'),
      `${ends},udp,nw_src=10.20.0.5,nw_dst=10.96.0.10,nw_ttl=64,udp_src=40000,udp_dst=53,dp_hash=1`,
    );
    assert.match(told('10.96.0.10'), /,icmp,.*,icmp_type=8,icmp_code=0,dp_hash=1$/);
    assert.match(told('fd00:96::a', v6), /,icmp6,ipv6_src=fd00:20::5,ipv6_dst=fd00:96::a,.*icmpv6_type=128/);
    assert.match(told('[fd00:96::a]:1/sctp', v6), /,sctp6,.*,sctp_src=40000,sctp_dst=1,/);
  });

  test('goes to the MAC of a pod of the same VLAN, else to the gateway', () => {
    const others = [client, pod(3, 120, '10.20.0.6'), pod(4, 130, '10.30.0.6')];
    const macs = ['10.20.0.6', '10.30.0.6:80', '192.0.2.1:80'].map((text) =>
      destinationMac(client, others, parseTarget(text)),
    );
    assert.deepEqual(macs, ['00:00:00:00:00:03', '02:ce:11:00:00:01', '02:ce:11:00:00:01']);
  });
});

test('ports of a datapath by their numbers: of several datapaths, of the one that has the bridge', () => {
  const text = [
    'system@ovs-system:',
    '  lookups: hit:1 missed:2 lost:0',
    '  port 0: ovs-system (internal)',
    '  port 1: br-other (internal)',
    'netdev@ovs-netdev:',
    '  port 0: ovs-netdev (tap)',
    '  port 1: br-cell (tap)',
    '  port 2: uplink0',
    '',
  ].join('\n');
  assert.deepEqual([...devicesIn(text, 'br-cell')].slice(1), [
    [1, 'br-cell'],
    [2, 'uplink0'],
  ]);
});
