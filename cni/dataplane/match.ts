/** Conditions of flows. Each field comes after those that it depends on. */
import { familyBits, type Address, type Cidr, type Family } from '../../ipam/model/address.ts';
import { CT_STATE, type FieldName, type FieldValue } from '../openflow/fields.ts';
import type { ProtocolNumber } from '../services/frontend.ts';

export const UDP: ProtocolNumber = 17;
/** Transport protocols that have ports: numbers of IANA, "Protocol Numbers". */
export const PROTOCOLS: readonly ProtocolNumber[] = [6, UDP, 132];
const NAME = { 6: 'tcp', 17: 'udp', 132: 'sctp' } as const;
const ICMP = { 4: 1n, 6: 58n } as const;
export const FAMILIES: readonly Family[] = [4, 6];

export const value = (field: FieldName, of: bigint | number, mask?: bigint): FieldValue => ({
  field,
  value: BigInt(of),
  ...(mask !== undefined && { mask }),
});

export const ip = (family: Family): FieldValue => value('eth_type', family === 4 ? 0x0800 : 0x86dd);
export const ARP: FieldValue = value('eth_type', 0x0806);

export const protocolOf = (family: Family, protocol: ProtocolNumber): FieldValue[] => [
  ip(family),
  value('ip_proto', protocol),
];

export const icmp = (family: Family, type: number): FieldValue[] => [
  ip(family),
  value('ip_proto', ICMP[family]),
  value(family === 4 ? 'icmpv4_type' : 'icmpv6_type', type),
];

/**
 * Types of messages that tell of an error and quote the packet that had it: RFC 792, RFC 4443
 * section 3.
 */
export const ICMP_ERRORS: Readonly<Record<Family, readonly number[]>> = { 4: [3, 11, 12], 6: [1, 2, 3, 4] };

export const addressField = (side: 'src' | 'dst', family: Family): FieldName => `ipv${family}_${side}`;
export const portField = (side: 'src' | 'dst', protocol: ProtocolNumber): FieldName =>
  `${NAME[protocol]}_${side}`;

export const from = (address: Address): FieldValue =>
  value(addressField('src', address.family), address.value);
export const to = (address: Address): FieldValue => value(addressField('dst', address.family), address.value);

/** The condition on an address to be in a subnet. The fields of the family come before it. */
export function within(side: 'src' | 'dst', { base, prefixLength }: Cidr): FieldValue {
  const bits = familyBits(base.family);
  const mask = ((1n << BigInt(prefixLength)) - 1n) << BigInt(bits - prefixLength);
  return prefixLength === bits
    ? value(addressField(side, base.family), base.value)
    : value(addressField(side, base.family), base.value, mask);
}

/** Bits of `ct_state` that are set; the others are not looked at. */
export const tracked = (...states: readonly (keyof typeof CT_STATE)[]): FieldValue => {
  const bits = states.reduce<bigint>((all, state) => all | CT_STATE[state], CT_STATE.tracked);
  return value('ct_state', bits, bits);
};

/** Fragments of a packet. No flow sees their ports, not even of the first one (`ip_frag`). */
export const FRAGMENT: FieldValue = value('ip_frag', 1, 1n);

/** Frames without a VLAN tag (OFPVID_NONE). */
export const UNTAGGED: FieldValue = value('vlan_vid', 0);
