/**
 * Wire notation of OpenFlow 1.3 (ONF TS-006), as far as it tells whether a bridge forwards: version
 * negotiation, and the flows with their actions. Pure: opens no socket.
 */

const VERSION = 4;
const HEADER_BYTES = 8;
/** OFPT_… of section A.1. */
export const TYPE = { hello: 0, error: 1, multipartRequest: 18, multipartReply: 19 } as const;
/** OFPMP_… of section A.3.5. */
const MULTIPART = { flow: 1, aggregate: 2 } as const;
/** OFPMPF_REPLY_MORE */
const MORE = 1;
/** OFPP_… of section A.2.1. */
const PORT = { normal: 0xfffffffa, controller: 0xfffffffd, any: 0xffffffff } as const;
const ANY_GROUP = 0xffffffff;
/** Where every packet begins. To look at all tables takes 100 ms where they have 65,000 flows. */
const FIRST_TABLE = 0;
/** OFPIT_GOTO_TABLE of section A.2.4. */
const GOTO_TABLE = 1;
/** OFPIT_WRITE_ACTIONS and OFPIT_APPLY_ACTIONS of section A.2.4: the instructions with actions. */
const WITH_ACTIONS: readonly number[] = [3, 4];
/** OFPAT_… of section A.2.5. An experimenter's action may be Open vSwitch's `resubmit`. */
const ACTION = { output: 0, group: 22, experimenter: 0xffff } as const;

export interface Message {
  readonly type: number;
  readonly body: Buffer;
}

/** The bits of a cookie that tell whose flows are meant. */
export interface Cookies {
  readonly cookie: bigint;
  readonly mask: bigint;
}
const ALL_COOKIES: Cookies = { cookie: 0n, mask: 0n };

/** What one flow does with its packets. */
export interface FlowEffect {
  readonly cookie: bigint;
  readonly outputs: boolean;
  readonly toController: boolean;
}

function message(type: number, xid: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(VERSION, 0);
  header.writeUInt8(type, 1);
  header.writeUInt16BE(HEADER_BYTES + body.length, 2);
  header.writeUInt32BE(xid, 4);
  return Buffer.concat([header, body]);
}

/** Offers version 1.3 only (section A.5.1). */
export function hello(): Buffer {
  const versions = Buffer.alloc(8);
  versions.writeUInt16BE(1, 0);
  versions.writeUInt16BE(8, 2);
  versions.writeUInt32BE(1 << VERSION, 4);
  return message(TYPE.hello, 1, versions);
}

/** Asks for the number of all flows, or of those that output to `NORMAL` (section A.3.5.3). */
export const countRequest = (which: 'all' | 'normal', of = ALL_COOKIES): Buffer =>
  flowsRequest(MULTIPART.aggregate, which === 'all' ? PORT.any : PORT.normal, of);

/** Asks for all flows. Equivalent to: ovs-ofctl -O OpenFlow13 dump-flows BRIDGE */
export const listRequest = (): Buffer => flowsRequest(MULTIPART.flow, PORT.any, ALL_COOKIES);

function flowsRequest(kind: number, outPort: number, { cookie, mask }: Cookies): Buffer {
  const body = Buffer.alloc(48);
  body.writeUInt16BE(kind, 0);
  body.writeUInt8(FIRST_TABLE, 8);
  body.writeUInt32BE(outPort, 12);
  body.writeUInt32BE(ANY_GROUP, 16);
  body.writeBigUInt64BE(cookie, 24);
  body.writeBigUInt64BE(mask, 32);
  // An empty match: OFPMT_OXM with a length of 4, padded to 8 bytes.
  body.writeUInt16BE(1, 40);
  body.writeUInt16BE(4, 42);
  return message(TYPE.multipartRequest, 2, body);
}

/** Splits what was received into messages and the bytes of one that is not complete yet. */
export function splitMessages(bytes: Buffer): { messages: Message[]; rest: Buffer } {
  const messages: Message[] = [];
  let at = 0;
  while (bytes.length - at >= HEADER_BYTES) {
    const length = Math.max(HEADER_BYTES, bytes.readUInt16BE(at + 2));
    if (bytes.length - at < length) break;
    messages.push({
      type: bytes.readUInt8(at + 1),
      body: bytes.subarray(at + HEADER_BYTES, at + length),
    });
    at += length;
  }
  return { messages, rest: bytes.subarray(at) };
}

/** @param body of the reply to a {@link countRequest} */
export const countOf = (body: Buffer): number => body.readUInt32BE(24);

/** @param body of one reply to a {@link listRequest} */
export function flowsOf(body: Buffer): { flows: FlowEffect[]; isLast: boolean } {
  const flows = blocks(body.subarray(8), 0).map((flow) => {
    const matchBytes = flow.readUInt16BE(50);
    return {
      cookie: flow.readBigUInt64BE(24),
      ...effectOf(flow.subarray(48 + Math.ceil(matchBytes / 8) * 8)),
    };
  });
  return { flows, isLast: (body.readUInt16BE(2) & MORE) === 0 };
}

/** @param instructions of one flow */
function effectOf(instructions: Buffer): Omit<FlowEffect, 'cookie'> {
  const all = blocks(instructions, 2);
  const actions = all
    .filter((each) => WITH_ACTIONS.includes(each.readUInt16BE(0)))
    .flatMap((each) => blocks(each.subarray(8), 2));
  const ports = actions
    .filter((action) => action.readUInt16BE(0) === ACTION.output)
    .map((action) => action.readUInt32BE(4));
  const leadsOn =
    all.some((each) => each.readUInt16BE(0) === GOTO_TABLE) ||
    actions.some((action) =>
      ([ACTION.group, ACTION.experimenter] as number[]).includes(action.readUInt16BE(0)),
    );
  return {
    outputs: leadsOn || ports.some((port) => port !== PORT.controller),
    toController: ports.includes(PORT.controller),
  };
}

/** Splits bytes into parts that carry their own length, 16 bits at `lengthAt`. */
function blocks(bytes: Buffer, lengthAt: number): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + lengthAt + 2 <= bytes.length;) {
    const length = bytes.readUInt16BE(at + lengthAt);
    if (length === 0) break;
    found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return found;
}
