import { familyBits, type Address } from '../../ipam/model/address.ts';
import type { Action } from '../openflow/actions.ts';
import type { FieldValue } from '../openflow/fields.ts';
import { MOST_BUCKETS } from '../openflow/groups.ts';
import type { Bucket, Flow, SelectGroup, Selection } from '../openflow/program.ts';
import type { Endpoint, Frontend, FrontendPlace, ProtocolNumber } from '../services/frontend.ts';
import type { FormerFrontend } from './former.ts';
import { REFUSAL } from './fixed-flows.ts';
import {
  addressField,
  FRAGMENT,
  from,
  ip,
  portField,
  protocolOf,
  to,
  tracked,
  UDP,
  value,
  within,
} from './match.ts';
import type { RangeMap } from './range-map.ts';
import { cookieOf, ENDPOINT_REGISTER, goOn, MARK_POD, TABLE, ZONE } from './tables.ts';

/** Longest idle time of a learned flow, in seconds: it has 16 bits. */
const LONGEST_IDLE_S = 65_535;
/**
 * How long an open connection of what went may be idle, in seconds: RFC 5382, REQ-5. It is longer
 * than the two hours after which Linux asks for a sign of life.
 */
const LEAVING_IDLE_S = 7_440;

export interface ServiceProgram {
  readonly flows: readonly Flow[];
  /** Absent: the Service has no endpoint. */
  readonly group: SelectGroup | undefined;
}

/** A connection that tracking knows has its endpoint's address afterwards. */
const TRACK: readonly Action[] = [
  { kind: 'ct', commit: false, zone: ZONE.service, nat: 'restore', table: TABLE.balance },
];
const RESTORE: readonly Action[] = [
  { kind: 'ct', commit: false, zone: ZONE.service, nat: 'restore', table: TABLE.restored },
];
const COOKIE = cookieOf('service');
const flow = (
  table: number,
  priority: number,
  match: readonly FieldValue[],
  actions: readonly Action[],
): Flow => ({ table, priority, cookie: COOKIE, match, actions });

/**
 * Returns what the bridge does with packets to one virtual address and port. Of more endpoints than
 * a group has buckets, the first ones get connections.
 */
export function serviceProgram(wanted: Frontend, groupId: number, ranges: RangeMap): ServiceProgram {
  const frontend = { ...wanted, endpoints: wanted.endpoints.slice(0, MOST_BUCKETS) };
  const { protocol, address, port, endpoints, affinitySeconds } = frontend;
  const there = placeOf(protocol, address, port);
  const track = trackFlow(there);
  // Open connections to an endpoint that went go on.
  if (endpoints.length === 0)
    return { flows: [track, ...admitted(frontend, there, REFUSAL)], group: undefined };
  const ids = affinitySeconds === undefined ? undefined : endpointIds(endpoints);
  const group: SelectGroup = {
    id: groupId,
    selection: selectionOf(frontend),
    buckets: endpoints.map((endpoint, i): Bucket => {
      const actions = ids ? choose(ids[i] ?? 0) : [connectTo(endpoint, ranges)];
      return { id: i + 1, weight: 100, actions };
    }),
  };
  const toGroup: Action = { kind: 'group', group: groupId };
  return {
    flows: [
      track,
      ...admitted(frontend, there, ids ? [goOn(TABLE.affinity), goOn(TABLE.sticky)] : [toGroup]),
      ...(ids ? sticky(frontend, there, ids, toGroup, ranges) : []),
    ],
    group,
  };
}

/** Most buckets for which the datapath can compute the hash (ovs-ofctl(8), "dp_hash"). */
const MOST_HASHED = 256;

function selectionOf({ protocol, address, endpoints, affinitySeconds }: Frontend): Selection {
  const client = addressField('src', address.family);
  // Connections that a client opens at once get the same endpoint before the flow is learned.
  if (affinitySeconds !== undefined) return { method: 'hash', fields: [client] };
  if (endpoints.length <= MOST_HASHED) return { method: 'dp_hash' };
  return { method: 'hash', fields: [client, portField('src', protocol)] };
}

const placeOf = (protocol: ProtocolNumber, address: Address, port: number): FieldValue[] => [
  ...protocolOf(address.family, protocol),
  to(address),
  value(portField('dst', protocol), port),
];

const trackFlow = (there: readonly FieldValue[]): Flow => flow(TABLE.service, 100, there, TRACK);

/** New connections, if their source may use the address (`loadBalancerSourceRanges`). */
function admitted(
  { address, sourceRanges }: Frontend,
  there: readonly FieldValue[],
  actions: readonly Action[],
): Flow[] {
  const first = [tracked('new'), ...there];
  if (!sourceRanges) return [flow(TABLE.balance, 100, first, actions)];
  const ranges = sourceRanges.filter(({ base }) => base.family === address.family);
  return [
    ...ranges.map((range) => {
      const source = range.prefixLength === 0 ? [] : [within('src', range)];
      return flow(TABLE.balance, 110, [...first, ...source], actions);
    }),
    flow(TABLE.balance, 100, first, []),
  ];
}

/** Gives the connection its endpoint. All of its later packets go there. */
const connectTo = ({ address, port }: Endpoint, ranges: RangeMap): Action => ({
  ...{ kind: 'ct', commit: true, zone: ZONE.service, table: TABLE.endpoint },
  nat: { side: 'dst', family: address.family, address: address.value, port },
  ...(ranges.at(address) && { mark: MARK_POD }),
});

/** Remembers the client's endpoint until it has opened no connection for the time. */
const learn = ({ protocol, address, port, affinitySeconds = 0 }: Frontend, id: number): Action => ({
  ...{ kind: 'learn', table: TABLE.affinity, priority: 100, cookie: cookieOf('learned') },
  idleSeconds: Math.min(affinitySeconds, LONGEST_IDLE_S),
  hardSeconds: 0,
  match: [
    ...protocolOf(address.family, protocol),
    addressField('src', address.family),
    to(address),
    value(portField('dst', protocol), port),
  ],
  load: [value(ENDPOINT_REGISTER, id)],
});

/** A bucket cannot learn, so it comes back to the table with the endpoint's number. */
const choose = (id: number): Action[] => [
  { kind: 'set', to: value(ENDPOINT_REGISTER, id) },
  goOn(TABLE.sticky),
];

/** A client whose endpoint is gone, or that has none yet, is balanced. */
function sticky(
  frontend: Frontend,
  there: readonly FieldValue[],
  ids: readonly number[],
  toGroup: Action,
  ranges: RangeMap,
): Flow[] {
  return [
    ...frontend.endpoints.map((endpoint, i) => {
      const id = ids[i] ?? 0;
      const actions = [learn(frontend, id), connectTo(endpoint, ranges)];
      return flow(TABLE.sticky, 200, [value(ENDPOINT_REGISTER, id), ...there], actions);
    }),
    flow(TABLE.sticky, 100, there, [toGroup]),
  ];
}

/**
 * Returns a number for each endpoint, unique among them and the same whenever the agent starts:
 * learned flows outlive it. Never 0.
 */
export function endpointIds(endpoints: readonly Endpoint[]): number[] {
  const taken = new Set<number>([0]);
  return endpoints.map(({ address, port }) => {
    let id = hashOf(address, port);
    while (taken.has(id)) id = (id + 1) >>> 0;
    taken.add(id);
    return id;
  });
}

/** FNV-1a of 32 bits. */
function hashOf({ family, value: number }: Address, port: number): number {
  let hash = 0x811c9dc5;
  const add = (byte: number): void => {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  };
  for (let shift = familyBits(family) - 8; shift >= 0; shift -= 8)
    add(Number((number >> BigInt(shift)) & 0xffn));
  add(port >> 8);
  add(port & 0xff);
  return hash;
}

/** Packets to a cluster address that are for none of its ports. */
export const addressFlow = (address: Address): Flow =>
  flow(TABLE.service, 90, [ip(address.family), to(address)], [goOn(TABLE.otherPort)]);

/**
 * Fragments of packets to an address that has no {@link addressFlow}. They lack the port; those of
 * other connections to the address come out as they were.
 */
export const fragmentsToFlow = (address: Address): Flow =>
  flow(TABLE.service, 95, [...protocolOf(address.family, UDP), to(address), FRAGMENT], TRACK);

/** Returns the flow by which replies of an endpoint get the Service's address again. */
export const endpointFlow = ({ protocol, address, port }: FrontendPlace): Flow =>
  flow(
    TABLE.reply,
    100,
    [...protocolOf(address.family, protocol), from(address), value(portField('src', protocol), port)],
    RESTORE,
  );

/**
 * Returns the flow for replies of an endpoint that went. Connections to it that are open go on: the
 * flow stays as long as they are used.
 */
export const leavingEndpoint = (place: FrontendPlace): Flow => leaving(endpointFlow(place));

/**
 * Returns the flows for a virtual address and port that went. Its open connections go on. New ones
 * are refused where the address is a Service's own, else they go out as any other.
 */
export function leavingFrontend({ protocol, address, port, isCluster }: FormerFrontend): Flow[] {
  const there = placeOf(protocol, address, port);
  const next = isCluster ? TABLE.otherPort : TABLE.local;
  return [
    leaving(trackFlow(there)),
    // Only attempts use it: it has to outlast the other one.
    leaving(flow(TABLE.balance, 100, [tracked('new'), ...there], [goOn(next)]), LONGEST_IDLE_S),
  ];
}

const leaving = (flow: Flow, idleSeconds = LEAVING_IDLE_S): Flow => ({
  ...flow,
  cookie: cookieOf('leaving'),
  idleSeconds,
});

/** Fragments of an endpoint's replies, which lack the port. */
export const fragmentFlow = (address: Address): Flow =>
  flow(TABLE.reply, 90, [...protocolOf(address.family, UDP), from(address), FRAGMENT], RESTORE);
