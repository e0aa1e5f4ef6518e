/**
 * The numbers of the bridge's program: its tables, zones, registers and cookies. docs/dataplane.md
 * has the packet's way through them.
 */
import { PORT, type Action } from '../openflow/actions.ts';

export const TABLE = {
  /** Where every packet begins. Others have flows here too. */
  classify: 0,
  /** Packets of a pod with limits: are they from its own addresses? */
  source: 110,
  /** Packets of a pod with limits that may pass. */
  admitted: 111,
  /** Packets of a pod: is the destination a Service? */
  service: 120,
  /** Packets to a Service's cluster address, but to none of its ports. */
  otherPort: 121,
  /** Tracked packets to a Service: known connections go on, new ones are balanced. */
  balance: 122,
  /** Learned flows: the endpoint that a client had last (session affinity). */
  affinity: 123,
  /** New connections of Services with session affinity. */
  sticky: 124,
  /** Is the destination a pod of this bridge? */
  local: 130,
  /** Packets to a pod of this bridge: may it be an endpoint's reply? */
  reply: 131,
  /** Replies that have the Service's address again. */
  restored: 132,
  /** Packets with their endpoint's address: by which MAC is it reached? */
  endpoint: 140,
  /** Packets that go back to the pod that they are from. */
  hairpin: 150,
  /** Replies of a pod to itself. */
  hairpinReply: 151,
} as const;

/** Priority of flows that no flow of others may come before. */
export const FIRST_OF_ALL = 65_000;

/** Zones of connection tracking. On the kernel's datapath all of the host share the numbers. */
export const ZONE = { service: 52_753, hairpin: 52_754 } as const;

/** Number of the pod's VLAN; {@link vlanNumber}. */
export const VLAN_REGISTER = 'reg2';
/** The endpoint of a client with session affinity; 0: none yet. */
export const ENDPOINT_REGISTER = 'reg3';

/** Of a connection whose endpoint is in a range, so that its MAC follows from its address. */
export const MARK_POD = 1;

/**
 * Cookies: our flows have these 16 bits on top, then 8 bits for the kind, then 32 bits for what the
 * flow belongs to.
 */
const COOKIE = 0xce11n << 48n;
const KIND = { fixed: 0n, pod: 1n, service: 2n, learned: 3n, leaving: 4n } as const;
export type CookieKind = keyof typeof KIND;
export const cookieOf = (kind: CookieKind, of = 0): bigint => COOKIE | (KIND[kind] << 40n) | BigInt(of);
/** Bits that all our flows share. */
export const OUR_COOKIE = { cookie: COOKIE, mask: 0xffffn << 48n } as const;
/** Bits that all our flows of one kind share. */
export const cookiesOf = (kind: CookieKind): { cookie: bigint; mask: bigint } => ({
  cookie: cookieOf(kind),
  mask: 0xffffffn << 40n,
});

/**
 * Cookies of the flows that only the agent puts there. The kinds 0 and 1 differ in one bit: to look
 * for some, ovs-vswitchd looks at all flows, each time.
 */
export const KEPT_COOKIES = [
  { cookie: cookieOf('fixed'), mask: 0xfffffen << 40n },
  cookiesOf('service'),
] as const;

/** Our groups have numbers from here on, as many as 24 bits hold. */
export const FIRST_GROUP = 0xce00_0000;
export const isOurGroup = (id: number): boolean => id >>> 24 === 0xce;

/** Limits how many packets a second the agent is asked to refuse. */
export const REFUSAL_METER = 20_000;
export const REFUSALS_A_SECOND = 1_000;

/**
 * Meters of a pod's rates. The port's number tells them, so that all processes of the node agree
 * without asking each other.
 */
export const rateMeters = (ofport: number): { readonly fromPod: number; readonly toPod: number } => ({
  fromPod: REFUSAL_METER + 2 * ofport,
  toPod: REFUSAL_METER + 2 * ofport + 1,
});

const LAST_OFPORT = 65_279;
export const isOurMeter = (id: number): boolean => id >= REFUSAL_METER && id <= rateMeters(LAST_OFPORT).toPod;

/** What the agent is told of a packet that it is to refuse. */
export const REFUSE = Buffer.from('cellnet:refuse');

export const NORMAL: Action = { kind: 'output', port: PORT.normal };
export const goOn = (table: number): Action => ({ kind: 'resubmit', table });

/** Returns the register's value for pods of a VLAN. Zero says that the packet is not a pod's. */
export const vlanNumber = (vlan: number | undefined): bigint => BigInt(vlan ?? 4095);
