import { familyBits, type Address, type Cidr } from '../../ipam/model/address.ts';
import type { FieldValue } from '../openflow/fields.ts';
import type { Flow } from '../openflow/program.ts';
import { parseAllowed } from '../protocol/limits.ts';
import type { LocalPod } from './local-pod.ts';
import { ARP, icmp, ip, value, within } from './match.ts';
import { cookieOf, goOn, TABLE } from './tables.ts';

/** Types of ICMPv6 messages: RFC 4861 section 4, RFC 3810 section 5. */
const ICMPV6 = {
  routerAdvertisement: 134,
  solicitation: 135,
  advertisement: 136,
  redirect: 137,
  mld: 143,
} as const;
const ALL_ZERO: Cidr = { base: { family: 6, value: 0n }, prefixLength: 128 };
const IPV4_ZERO = value('arp_spa', 0);

/**
 * Returns the flows that let a pod send only with its own MAC and addresses, and those that are
 * allowed beside them: in Ethernet, ARP (sender), neighbour discovery (target and link-layer
 * addresses) and IP. All else that the pod sends is dropped, router advertisements too.
 * @param allowed addresses, subnets and MACs
 * @throws IpamError `invalid`
 */
export function sourceFlows(pod: LocalPod, allowed: readonly string[]): Flow[] {
  const also = allowed.map(parseAllowed);
  const macs = also.flatMap((each) => ('mac' in each ? [each.mac] : []));
  const subnets = also.flatMap((each) => ('subnet' in each ? [each.subnet] : []));
  const cookie = cookieOf('pod', pod.ofport);
  const from = value('in_port', pod.ofport);
  const admit = [goOn(TABLE.admitted)];
  const flow = (priority: number, match: readonly FieldValue[], actions: Flow['actions']): Flow => ({
    ...{ table: TABLE.source, priority, cookie, actions },
    match: [from, ...match],
  });
  const addresses = [...pod.addresses.map(single), ...subnets];
  return [
    ...[pod.mac, ...macs].flatMap((mac) => {
      const sender = value('eth_src', mac);
      return [
        ...addresses
          .filter(isIpv4)
          .flatMap((subnet) => [
            flow(100, [sender, ARP, arpSender(subnet), value('arp_sha', mac)], admit),
            flow(100, [sender, ip(4), within('src', subnet)], admit),
          ]),
        // A probe whether an address is free (RFC 5227).
        flow(100, [sender, ARP, IPV4_ZERO, value('arp_sha', mac)], admit),
        ...neighbourFlows(flow, sender, mac, [...addresses.filter(isIpv6), linkLocal(mac)], admit),
      ];
    }),
    ...Object.values(ICMPV6)
      .filter((type) => type !== ICMPV6.mld)
      .map((type) => flow(150, icmp(6, type), [])),
    flow(1, [], []),
  ];
}

type MakeFlow = (priority: number, match: readonly FieldValue[], actions: Flow['actions']) => Flow;

function neighbourFlows(
  flow: MakeFlow,
  sender: FieldValue,
  mac: bigint,
  subnets: readonly Cidr[],
  admit: Flow['actions'],
): Flow[] {
  // A message without a link-layer address has zero in its place.
  const solicitations = [mac, 0n].flatMap((own) =>
    [...subnets, ALL_ZERO].map((subnet) =>
      flow(200, [sender, ...withSource(ICMPV6.solicitation, subnet), value('nd_sll', own)], admit),
    ),
  );
  const advertisements = [mac, 0n].flatMap((own) =>
    subnets.map((subnet) =>
      flow(200, [sender, ...icmp(6, ICMPV6.advertisement), target(subnet), value('nd_tll', own)], admit),
    ),
  );
  return [
    ...solicitations,
    ...advertisements,
    ...subnets.map((subnet) => flow(100, [sender, ip(6), within('src', subnet)], admit)),
    flow(100, [sender, ...withSource(ICMPV6.mld, ALL_ZERO)], admit),
  ];
}

const withSource = (type: number, subnet: Cidr): FieldValue[] => {
  const [family, ...rest] = icmp(6, type);
  return [...(family ? [family] : []), within('src', subnet), ...rest];
};

/** The condition on an address field, as `within` has it for the IP header. */
function target({ base, prefixLength }: Cidr): FieldValue {
  const mask = ((1n << BigInt(prefixLength)) - 1n) << BigInt(128 - prefixLength);
  return prefixLength === 128 ? value('nd_target', base.value) : value('nd_target', base.value, mask);
}

function arpSender({ base, prefixLength }: Cidr): FieldValue {
  const mask = ((1n << BigInt(prefixLength)) - 1n) << BigInt(32 - prefixLength);
  return prefixLength === 32 ? value('arp_spa', base.value) : value('arp_spa', base.value, mask);
}

const single = (address: Address): Cidr => ({ base: address, prefixLength: familyBits(address.family) });
const isIpv4 = ({ base }: Cidr): boolean => base.family === 4;
const isIpv6 = ({ base }: Cidr): boolean => base.family === 6;

/** The link-local address that the kernel derives from the MAC: RFC 4291 appendix A. */
export function linkLocal(mac: bigint): Cidr {
  const upper = (mac >> 24n) ^ 0x02_0000n;
  const lower = mac & 0xff_ffffn;
  const identifier = (upper << 40n) | (0xfffen << 24n) | lower;
  return { base: { family: 6, value: (0xfe80n << 112n) | identifier }, prefixLength: 128 };
}
