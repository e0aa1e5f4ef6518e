/**
 * Open vSwitch's message that makes the connection tracker forget connections: NXT_CT_FLUSH of
 * include/openflow/nicira-ext.h, since Open vSwitch 3.1. Pure.
 */
import type { Writer } from './bytes.ts';
import { writeNxMessage } from './header.ts';
import type { ConnectionTuple, Flush } from './program.ts';

const NXT_CT_FLUSH = 32;
/** NXT_CT_… */
const PROPERTY = { original: 0, reply: 1, zone: 2 } as const;
/** NXT_CT_TUPLE_… */
const TUPLE = { src: 0, dst: 1, srcPort: 2, dstPort: 3 } as const;
/** An IPv4 address is written as IPv6: ::ffff:0:0/96. */
const IPV4_MAPPED = 0xffff_0000_0000n;

/** Equivalent to: ovs-ofctl ct-flush BRIDGE zone=ZONE ORIGINAL REPLY */
export function writeFlush(
  to: Writer,
  { zone, protocol, family, original, reply }: Flush,
  xid: number,
): void {
  writeNxMessage(to, NXT_CT_FLUSH, xid, () => {
    to.u8(protocol);
    to.zeros(7);
    if (original) writeTuple(to, PROPERTY.original, original, family);
    if (reply) writeTuple(to, PROPERTY.reply, reply, family);
    writeProperty(to, PROPERTY.zone, () => to.u16(zone));
  });
}

function writeTuple(
  to: Writer,
  type: number,
  { src, dst, srcPort, dstPort }: ConnectionTuple,
  family: 4 | 6,
): void {
  const address = (part: number, value: bigint | undefined): void => {
    if (value === undefined) return;
    writeProperty(to, part, () => to.value(family === 4 ? value | IPV4_MAPPED : value, 16));
  };
  const port = (part: number, value: number | undefined): void => {
    if (value !== undefined) writeProperty(to, part, () => to.u16(value));
  };
  writeProperty(to, type, () => {
    to.zeros(4);
    address(TUPLE.src, src);
    address(TUPLE.dst, dst);
    port(TUPLE.srcPort, srcPort);
    port(TUPLE.dstPort, dstPort);
  });
}

const writeProperty = (to: Writer, type: number, write: () => void): void =>
  to.padded(() =>
    to.part(2, () => {
      to.u16(type);
      to.u16(0);
      write();
    }),
  );
