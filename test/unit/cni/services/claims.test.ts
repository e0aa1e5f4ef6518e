import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatCidr } from '../../../../ipam/model/address.ts';
import type { KubeService } from '../../../../cni/kube/service.ts';
import { claimsOf, whyNotServed } from '../../../../cni/services/claims.ts';
import { NOTHING_FORBIDDEN, rulesOf } from '../../../../cni/services/forbidden.ts';
import { forbidden, PORT, refusalText, service } from './values.ts';

/** Returns what the Service `shop/web` at 10.96.0.1 claims, and what it is refused. */
function claim(more: Partial<KubeService>, not = NOTHING_FORBIDDEN): { claims: string[]; refused: string[] } {
  const { claims, refusals } = claimsOf('shop/web', service('web', '10.96.0.1', more), rulesOf(not));
  return { claims: claims.map(({ key, kind }) => `${key} ${kind}`), refused: refusals.map(refusalText) };
}

const OWN = '6 10.96.0.1 80 cluster';

suite('what a Service claims', () => {
  test('each of its addresses with each of its ports', () => {
    const { claims, refused } = claim({
      clusterIPs: ['10.96.0.1', 'fd00:96::1'],
      externalIPs: ['192.0.2.5'],
      loadBalancerIPs: ['198.51.100.9'],
      ports: [
        PORT,
        { ...PORT, name: 'dns', protocol: 'UDP', port: 53 },
        { ...PORT, name: 's', protocol: 'SCTP' },
      ],
    });
    const each = (address: string, kind: string): string[] =>
      ['6 A 80 K', '17 A 53 K', '132 A 80 K'].map((text) => text.replace('A', address).replace('K', kind));
    assert.deepEqual(claims, [
      ...each('10.96.0.1', 'cluster'),
      ...each('fd00:96::1', 'cluster'),
      ...each('198.51.100.9', 'load-balancer'),
      ...each('192.0.2.5', 'external'),
    ]);
    assert.deepEqual(refused, []);
  });

  test('an address that it has for two reasons counts by the first', () => {
    const { claims, refused } = claim({
      externalIPs: ['10.96.0.1', '192.0.2.5', '192.0.2.5'],
      loadBalancerIPs: ['192.0.2.5'],
    });
    assert.deepEqual(claims, [OWN, '6 192.0.2.5 80 load-balancer']);
    assert.deepEqual(refused, []);
  });

  test('an IPv6 address has one key, however it is spelled', () => {
    const { claims } = claim({ clusterIPs: ['FD00:0096:0::1', 'fd00:96::1'] });
    assert.deepEqual(claims, ['6 fd00:96::1 80 cluster']);
  });

  const UNSERVED: readonly (readonly [string, Partial<KubeService>, RegExp])[] = [
    ['headless', { clusterIPs: [] }, /headless/],
    ['headless with an external address', { clusterIPs: [], externalIPs: ['192.0.2.5'] }, /headless/],
    ['ExternalName', { type: 'ExternalName', externalIPs: ['192.0.2.5'] }, /ExternalName/],
    ["another proxy's", { proxyName: 'other' }, /proxy "other"/],
    ["a proxy's without a name", { proxyName: '' }, /proxy ""/],
  ];
  for (const [what, more, reason] of UNSERVED)
    test(`${what}: nothing, and nothing is refused`, () => {
      assert.deepEqual(claim({ ...more, ports: [{ ...PORT, port: 0 }] }), { claims: [], refused: [] });
      assert.match(whyNotServed(service('web', '10.96.0.1', more)) ?? 'served', reason);
    });

  test('a Service without ports: nothing', () => {
    assert.deepEqual(claim({ ports: [] }), { claims: [], refused: [] });
  });
});

suite('what a Service is refused, while the rest is served', () => {
  const not = forbidden(['10.20.0.0/22'], ['192.0.2.7']);

  test('addresses of pods, of this node and of no host', () => {
    const { claims, refused } = claim(
      { externalIPs: ['10.20.0.5', '192.0.2.5'], loadBalancerIPs: ['192.0.2.7', '127.0.0.1'] },
      not,
    );
    assert.deepEqual(claims, [OWN, '6 192.0.2.5 80 external']);
    assert.deepEqual(refused, [
      'shop/web: the load balancer IP 192.0.2.7 is an address of this node',
      'shop/web: the load balancer IP 127.0.0.1 is a loopback address',
      "shop/web: the external IP 10.20.0.5 is in the range range0 (10.20.0.0/22), whose addresses are pods'",
    ]);
  });

  test('its cluster address too; its other addresses stay', () => {
    const { claims, refused } = claim({ clusterIPs: ['10.20.0.9'], externalIPs: ['192.0.2.5'] }, not);
    assert.deepEqual(claims, ['6 192.0.2.5 80 external']);
    assert.match(refused.join(), /the cluster IP 10\.20\.0\.9 is in the range/);
  });

  test('texts that are no address, which are quoted and cut', () => {
    const { claims, refused } = claim({
      externalIPs: ['\u001b[2Jx\n', '192.0.2.0/24', `1${'0'.repeat(500)}`],
    });
    assert.deepEqual(claims, [OWN]);
    assert.equal(refused[0], String.raw`shop/web: the external IP "\u001b[2Jx\n" is not an IP address`);
    assert.equal(refused[1], 'shop/web: the external IP "192.0.2.0/24" is a subnet, not one address');
    assert.match(refused[2] ?? '', /^shop\/web: the external IP "10{77,79}… is not an IP address$/);
  });

  test('addresses of a family in which it has no cluster address', () => {
    const { claims, refused } = claim({ externalIPs: ['2001:db8::5', '192.0.2.5'] });
    assert.deepEqual(claims, [OWN, '6 192.0.2.5 80 external']);
    assert.match(refused.join(), /2001:db8::5 has no use: the Service has no IPv6 cluster IP/);
  });

  test('ports that are none', () => {
    const { claims, refused } = claim({
      ports: [{ ...PORT, name: 'zero', port: 0 }, PORT, { ...PORT, port: 65_536 }],
    });
    assert.deepEqual(claims, [OWN]);
    assert.deepEqual(refused, [
      'shop/web: the number 0 of port "zero" is not a number from 1 to 65535',
      'shop/web: the number 65536 of port "http" is not a number from 1 to 65535',
    ]);
  });

  test('a second port with the same number and protocol', () => {
    const { claims, refused } = claim({
      ports: [PORT, { ...PORT, name: 'again' }, { ...PORT, protocol: 'UDP' }],
    });
    assert.deepEqual(claims, [OWN, '17 10.96.0.1 80 cluster']);
    assert.deepEqual(refused, ['shop/web: the number 80 of port "again" is the number of port "http" too']);
  });

  test('more than 4,096 addresses and ports; its cluster address comes first', () => {
    const externalIPs = Array.from({ length: 5_000 }, (_, i) => `198.18.${i >> 8}.${i & 255}`);
    const { claims, refused } = claim({ externalIPs });
    assert.equal(claims.length, 4_096);
    assert.equal(claims[0], OWN);
    assert.match(refused.join(), /more than 4096 addresses and ports is too much for one Service/);
  });

  test('of very many refusals the first hundred are told, and the number of the others', () => {
    const externalIPs = Array.from({ length: 5_000 }, (_, i) => `127.0.${i >> 8}.${i & 255}`);
    const { claims, refused } = claim({ externalIPs });
    assert.deepEqual(claims, [OWN]);
    assert.equal(refused.length, 101);
    assert.match(refused[100] ?? '', /: 4900 other addresses, ports and endpoints/);
  });
});

suite("clients that may use a load balancer's addresses", () => {
  /** Returns the source ranges of each claim. */
  function sources(ranges: readonly string[]): {
    by: Record<string, string[] | undefined>;
    refused: string[];
  } {
    const given = service('web', '10.96.0.1', {
      clusterIPs: ['10.96.0.1', 'fd00:96::1'],
      externalIPs: ['192.0.2.5'],
      loadBalancerIPs: ['198.51.100.9', '2001:db8::9'],
      loadBalancerSourceRanges: ranges,
    });
    const { claims, refusals } = claimsOf('shop/web', given, rulesOf(NOTHING_FORBIDDEN));
    const by = claims.map(({ key, sourceRanges }) => [key, sourceRanges?.map(formatCidr)] as const);
    return { by: Object.fromEntries(by), refused: refusals.map(refusalText) };
  }
  const V4 = '6 198.51.100.9 80';
  const V6 = '6 2001:db8::9 80';

  test('no range: every client', () => {
    assert.deepEqual(new Set(Object.values(sources([]).by)), new Set([undefined]));
  });

  test('ranges hold for the load balancer and their own family only', () => {
    const { by } = sources(['203.0.113.0/24', ' 198.51.100.77/25 ']);
    assert.deepEqual(by[V4], ['203.0.113.0/24', '198.51.100.0/25']);
    assert.deepEqual([by[V6], by['6 10.96.0.1 80'], by['6 192.0.2.5 80']], [undefined, undefined, undefined]);
  });

  test('a range that cannot be read lets nobody in', () => {
    const { by, refused } = sources(['203.0.113.0/240']);
    assert.deepEqual([by[V4], by[V6]], [[], []]);
    assert.match(refused.join(), /source range "203\.0\.113\.0\/240" is not a subnet/);
  });

  test('beside one that can be read, that one counts', () => {
    assert.deepEqual(sources(['x', '2001:db8:1::/48']).by[V6], ['2001:db8:1::/48']);
    assert.deepEqual(sources(['x', '2001:db8:1::/48']).by[V4], []);
  });

  test('without a load balancer they do not matter', () => {
    assert.deepEqual(claim({ loadBalancerSourceRanges: ['x'] }), { claims: [OWN], refused: [] });
  });
});
