/**
 * Questions about what a bridge has, and their answers (ONF TS-025, section 7.3.5): the number of
 * flows, flows, groups and meters. Pure.
 */
import { written, type Writer } from './bytes.ts';
import { writeMatch } from './fields.ts';
import { MESSAGE, writeMessage } from './header.ts';
import { padded, parts } from './parts.ts';

/** A flow that the switch has. */
export interface FlowDescription {
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  readonly idleSeconds: number;
  readonly hardSeconds: number;
  /** Packets that it has taken. */
  readonly packets: bigint;
  /** The fields of its match, as the switch writes them. */
  readonly matchBytes: Buffer;
  readonly instructionBytes: Buffer;
}

export interface GroupDescription {
  readonly id: number;
  readonly buckets: number;
}

/** OFPMP_… */
const MULTIPART = { flowDescription: 1, aggregate: 2, groupStatistics: 6, meterDescription: 10 } as const;
/** OFPMPF_REPLY_MORE */
const MORE = 1;
const ALL_TABLES = 0xff;
const ANY = 0xffffffff;
/** OFPG_ALL and OFPM_ALL */
const ALL_GROUPS = 0xfffffffc;
const ALL_METERS = 0xffffffff;
/** OFPXST_OFB_… of the class OFPXSC_OPENFLOW_BASIC. */
const STATISTIC = { flows: 3, packets: 4 } as const;
/** Type and flags of a question or answer, and padding. */
const PREFIX_BYTES = 8;

/** Flows whose cookie has these bits. */
export interface Selection {
  readonly cookie: bigint;
  readonly mask: bigint;
  /** Absent: of all tables. */
  readonly table?: number;
}

/** Equivalent to: ovs-ofctl dump-aggregate BRIDGE cookie=COOKIE/MASK,table=TABLE */
export const countFlows = (selection: Selection, xid: number): Buffer =>
  ask(MULTIPART.aggregate, xid, (to) => writeSelection(to, selection));

/** Equivalent to: ovs-ofctl dump-flows BRIDGE cookie=COOKIE/MASK,table=TABLE */
export const listFlows = (selection: Selection, xid: number): Buffer =>
  ask(MULTIPART.flowDescription, xid, (to) => writeSelection(to, selection));

/**
 * Asks for the groups' statistics. Their descriptions cannot be read: Open vSwitch 3.1 breaks the
 * connection's messages when it describes a group of more than 64 kB.
 * Equivalent to: ovs-ofctl dump-group-stats BRIDGE
 */
export const listGroups = (xid: number): Buffer =>
  ask(MULTIPART.groupStatistics, xid, (to) => {
    to.u32(ALL_GROUPS);
    to.zeros(4);
  });

/** Equivalent to: ovs-ofctl dump-meters BRIDGE */
export const listMeters = (xid: number): Buffer =>
  ask(MULTIPART.meterDescription, xid, (to) => {
    to.u32(ALL_METERS);
    to.zeros(4);
  });

const ask = (kind: number, xid: number, write: (to: Writer) => void): Buffer =>
  written((to) =>
    writeMessage(to, MESSAGE.multipartRequest, xid, () => {
      to.u16(kind);
      to.u16(0);
      to.zeros(4);
      write(to);
    }),
  );

function writeSelection(to: Writer, { cookie, mask, table = ALL_TABLES }: Selection): void {
  to.u8(table);
  to.zeros(3);
  to.u32(ANY);
  to.u32(ANY);
  to.zeros(4);
  to.u64(cookie);
  to.u64(mask);
  writeMatch(to, []);
}

/** Whether another message goes on with this answer. */
export const goesOn = (body: Buffer): boolean => (body.readUInt16BE(2) & MORE) !== 0;

/** @param body of the answer to `countFlows` */
export const flowCountOf = (body: Buffer): number =>
  Number(statisticsOf(body.subarray(PREFIX_BYTES)).get(STATISTIC.flows) ?? 0n);

/** Where a flow's match begins in `struct ofp_flow_desc`. */
const MATCH = 24;
const matchBytesOf = (flow: Buffer): Buffer => flow.subarray(MATCH + 4, MATCH + flow.readUInt16BE(MATCH + 2));

/**
 * Returns the fields of each flow's match, as the switch writes them.
 * @param body of one answer to `listFlows`
 */
export const matchesOf = (body: Buffer): Buffer[] => parts(body.subarray(PREFIX_BYTES), 0).map(matchBytesOf);

/** @param body of one answer to `listFlows` */
export const flowsOf = (body: Buffer): FlowDescription[] =>
  parts(body.subarray(PREFIX_BYTES), 0).map((flow) => {
    const matchBytes = matchBytesOf(flow);
    const statisticsAt = MATCH + padded(4 + matchBytes.length);
    const statistics = flow.subarray(statisticsAt);
    return {
      table: flow.readUInt8(4),
      priority: flow.readUInt16BE(6),
      idleSeconds: flow.readUInt16BE(8),
      hardSeconds: flow.readUInt16BE(10),
      cookie: flow.readBigUInt64BE(16),
      packets: statisticsOf(statistics).get(STATISTIC.packets) ?? 0n,
      matchBytes,
      instructionBytes: statistics.subarray(padded(statistics.readUInt16BE(2))),
    };
  });

/** @param body of one answer to `listGroups` */
export const groupsOf = (body: Buffer): GroupDescription[] =>
  parts(body.subarray(PREFIX_BYTES), 0).map((group) => ({
    id: group.readUInt32BE(4),
    buckets: (group.length - 40) / 16,
  }));

/** @param body of one answer to `listMeters` */
export const metersOf = (body: Buffer): number[] =>
  parts(body.subarray(PREFIX_BYTES), 0).map((meter) => meter.readUInt32BE(4));

/** Returns the numbers of `struct ofp_stats` (section 7.2.4.2) by their field. */
function statisticsOf(bytes: Buffer): Map<number, bigint> {
  const found = new Map<number, bigint>();
  const end = bytes.readUInt16BE(2);
  for (let at = 4; at + 4 <= end;) {
    const length = bytes.readUInt8(at + 3);
    if (length === 4) found.set(bytes.readUInt8(at + 2) >> 1, BigInt(bytes.readUInt32BE(at + 4)));
    if (length === 8) found.set(bytes.readUInt8(at + 2) >> 1, bytes.readBigUInt64BE(at + 4));
    at += 4 + length;
  }
  return found;
}
