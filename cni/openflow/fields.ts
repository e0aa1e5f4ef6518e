/**
 * Fields of packets as matches and actions name them: OXM of OpenFlow 1.5 (ONF TS-025, section
 * 7.2.3) and Open vSwitch's own (ovs-fields(7)). Pure.
 */
import type { Writer } from './bytes.ts';

/** OFPXMC_OPENFLOW_BASIC, and Open vSwitch's NXM_NX. */
const BASIC = 0x8000;
const NX = 0x0001;

/** Class, number, length in bytes and, where they are not all used, bits. */
const FIELDS = {
  in_port: [BASIC, 0, 4],
  metadata: [BASIC, 2, 8],
  eth_dst: [BASIC, 3, 6],
  eth_src: [BASIC, 4, 6],
  eth_type: [BASIC, 5, 2],
  vlan_vid: [BASIC, 6, 2, 12],
  ip_proto: [BASIC, 10, 1],
  ipv4_src: [BASIC, 11, 4],
  ipv4_dst: [BASIC, 12, 4],
  tcp_src: [BASIC, 13, 2],
  tcp_dst: [BASIC, 14, 2],
  udp_src: [BASIC, 15, 2],
  udp_dst: [BASIC, 16, 2],
  sctp_src: [BASIC, 17, 2],
  sctp_dst: [BASIC, 18, 2],
  icmpv4_type: [BASIC, 19, 1],
  icmpv4_code: [BASIC, 20, 1],
  arp_op: [BASIC, 21, 2],
  arp_spa: [BASIC, 22, 4],
  arp_tpa: [BASIC, 23, 4],
  arp_sha: [BASIC, 24, 6],
  arp_tha: [BASIC, 25, 6],
  ipv6_src: [BASIC, 26, 16],
  ipv6_dst: [BASIC, 27, 16],
  icmpv6_type: [BASIC, 29, 1],
  icmpv6_code: [BASIC, 30, 1],
  nd_target: [BASIC, 31, 16],
  nd_sll: [BASIC, 32, 6],
  nd_tll: [BASIC, 33, 6],
  tcp_flags: [BASIC, 42, 2, 12],
  reg0: [NX, 0, 4],
  reg1: [NX, 1, 4],
  reg2: [NX, 2, 4],
  reg3: [NX, 3, 4],
  reg4: [NX, 4, 4],
  reg5: [NX, 5, 4],
  reg6: [NX, 6, 4],
  reg7: [NX, 7, 4],
  /** The same bits as reg0 to reg3, reg0 highest. */
  xxreg0: [NX, 111, 16],
  ip_frag: [NX, 26, 1, 2],
  pkt_mark: [NX, 33, 4],
  ct_state: [NX, 105, 4],
  ct_zone: [NX, 106, 2],
  ct_mark: [NX, 107, 4],
  /**
   * As the connection's first packet came, before any translation of it. A match has `ct_state`
   * before it, with another bit besides `tracked`, such as `invalid` that is not set.
   */
  ct_nw_proto: [NX, 119, 1],
  ct_nw_src: [NX, 120, 4],
  ct_nw_dst: [NX, 121, 4],
  ct_ipv6_src: [NX, 122, 16],
  ct_ipv6_dst: [NX, 123, 16],
  ct_tp_src: [NX, 124, 2],
  ct_tp_dst: [NX, 125, 2],
} as const satisfies Record<string, readonly [number, number, number, number?]>;

export type FieldName = keyof typeof FIELDS;

/** A condition on a field, or a value for it. The bits that the mask lacks are not meant. */
export interface FieldValue {
  readonly field: FieldName;
  readonly value: bigint;
  /** Absent: the whole field. */
  readonly mask?: bigint;
}

/** Returns how many bytes the field takes. */
export const lengthOf = (field: FieldName): number => FIELDS[field][2];

/** Returns how many bits of the field a packet has. */
export const bitsOf = (field: FieldName): number => FIELDS[field][3] ?? 8 * lengthOf(field);

/** Returns the field's header: its class, number, and the length of what follows. */
export function fieldHeader(field: FieldName, hasMask = false): number {
  const [classId, number, length] = FIELDS[field];
  return ((classId << 16) | (number << 9) | (hasMask ? HAS_MASK : 0) | (length * (hasMask ? 2 : 1))) >>> 0;
}

export const writeFieldHeader = (to: Writer, field: FieldName): void => to.u32(fieldHeader(field));

/** @throws RangeError for a value that the field has no room for, or has bits outside the mask */
export function writeField(to: Writer, { field, value, mask }: FieldValue): void {
  const length = lengthOf(field);
  to.u32(fieldHeader(field, mask !== undefined));
  to.value(value, length);
  if (mask === undefined) return;
  if ((value & ~mask) !== 0n) throw new RangeError(`value ${value} of ${field} has bits outside its mask`);
  to.value(mask, length);
}

/**
 * Writes a match (`struct ofp_match`). A field must come after those that it depends on, for
 * example `ip_proto` after `eth_type`.
 */
export function writeMatch(to: Writer, match: readonly FieldValue[]): void {
  const OXM = 1;
  to.padded(() =>
    to.part(2, () => {
      to.u16(OXM);
      to.u16(0);
      for (const each of match) writeField(to, each);
    }),
  );
}

const HAS_MASK = 1 << 8;
const NAMES = new Map(
  (Object.keys(FIELDS) as FieldName[]).map((field) => [fieldHeader(field) >>> 9, field] as const),
);

/**
 * Visits the conditions of a match that are on whole fields which are named here. Nothing is made
 * of their values: a bridge has 50,000 flows.
 * @param visit `at` is where the value begins in the bytes; it has the field's length
 * @throws RangeError if the match ends within a field
 */
export function visitFields(bytes: Buffer, visit: (field: FieldName, at: number) => void): void {
  for (let at = 0; at < bytes.length;) {
    const header = bytes.readUInt32BE(at);
    const next = at + 4 + (header & 0xff);
    if (next > bytes.length) throw new RangeError('a match ends within a field');
    const field = NAMES.get(header >>> 9);
    if (field !== undefined && (header & HAS_MASK) === 0) visit(field, at + 4);
    at = next;
  }
}

/** Bits of `ct_state` (ovs-fields(7), "Connection Tracking Fields"). */
export const CT_STATE = {
  new: 0x01n,
  established: 0x02n,
  related: 0x04n,
  reply: 0x08n,
  invalid: 0x10n,
  tracked: 0x20n,
} as const;
