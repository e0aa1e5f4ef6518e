import { parseAddress, type Address, type Family } from '../../ipam/model/address.ts';
import type { Flow, Meter } from '../openflow/program.ts';
import {
  FAMILIES,
  FRAGMENT,
  icmp,
  ICMP_ERRORS,
  ip,
  PROTOCOLS,
  protocolOf,
  to,
  tracked,
  UDP,
} from './match.ts';
import { cookieOf, goOn, NORMAL, REFUSAL_METER, REFUSALS_A_SECOND, REFUSE, TABLE, ZONE } from './tables.ts';

/**
 * The source that a pod sees of a connection to itself through a Service. It is no address of any
 * network, so that the pod answers by its gateway, and the reply comes to the bridge.
 */
export const HAIRPIN: Readonly<Record<Family, Address>> = {
  4: parseAddress('169.254.206.17'),
  6: parseAddress('fd00:ce11::ce11'),
};

type Place = Pick<Flow, 'table' | 'priority' | 'match'>;
const fixed = (place: Place, actions: Flow['actions']): Flow => ({
  ...place,
  cookie: cookieOf('fixed'),
  actions,
});
const otherwise = (table: number, actions: Flow['actions']): Flow =>
  fixed({ table, priority: 0, match: [] }, actions);
/** Sends a packet through the Services' zone, which gives it its connection's address. */
const asTracked = (table: number): Flow['actions'] => [
  { kind: 'ct', commit: false, zone: ZONE.service, nat: 'restore', table },
];

export const refusalMeter: Meter = {
  id: REFUSAL_METER,
  unit: 'packets',
  rate: REFUSALS_A_SECOND,
  burst: REFUSALS_A_SECOND,
};

/** Asks the agent to refuse the packet's connection. */
export const REFUSAL: Flow['actions'] = [
  { kind: 'meter', meter: REFUSAL_METER },
  { kind: 'controller', userdata: REFUSE },
];

/**
 * Returns the flows that do not depend on pods, ranges or Services.
 * @param services whether the bridge serves Services; otherwise it only limits pods
 */
export function fixedFlows(services: boolean): Flow[] {
  return [
    ...FAMILIES.flatMap(classification),
    otherwise(TABLE.local, [NORMAL]),
    otherwise(TABLE.reply, [NORMAL]),
    ...(services ? serviceFlows() : []),
  ];
}

function serviceFlows(): Flow[] {
  return [
    otherwise(TABLE.service, [goOn(TABLE.local)]),
    ...FAMILIES.flatMap(hairpinReplies),
    ...FAMILIES.flatMap(otherPorts),
    ...balancing(),
    ...FAMILIES.flatMap(errorReplies),
    otherwise(TABLE.restored, [NORMAL]),
    otherwise(TABLE.endpoint, [NORMAL]),
  ];
}

/** IP packets of all ports that are no pod's, such as the uplink. All else stays `NORMAL`. */
const classification = (family: Family): Flow[] => [
  fixed({ table: TABLE.classify, priority: 1, match: [ip(family)] }, [goOn(TABLE.local)]),
];

/**
 * A pod answers itself: the hairpin's zone gives the reply the pod as its destination, the zone of
 * the Services gives it the Service as its source.
 */
const hairpinReplies = (family: Family): Flow[] => [
  fixed({ table: TABLE.service, priority: 300, match: [ip(family), to(HAIRPIN[family])] }, [
    { kind: 'ct', commit: false, zone: ZONE.hairpin, nat: 'restore', table: TABLE.hairpinReply },
  ]),
  fixed({ table: TABLE.hairpinReply, priority: 100, match: [ip(family)] }, asTracked(TABLE.hairpin)),
];

/**
 * A pod's errors about packets of a Service reach the endpoint. A port that the Service does not
 * have is refused; echo requests are dropped.
 */
const otherPorts = (family: Family): Flow[] => [
  ...ICMP_ERRORS[family].map((type) =>
    fixed({ table: TABLE.otherPort, priority: 200, match: icmp(family, type) }, asTracked(TABLE.balance)),
  ),
  ...PROTOCOLS.map((protocol) =>
    fixed({ table: TABLE.otherPort, priority: 100, match: protocolOf(family, protocol) }, REFUSAL),
  ),
  fixed(
    { table: TABLE.otherPort, priority: 150, match: [...protocolOf(family, UDP), FRAGMENT] },
    asTracked(TABLE.balance),
  ),
];

/**
 * Connections that the zone knows have their endpoint's address by now. A new one that no Service
 * of this table takes has it too: nothing has come back for it yet.
 */
function balancing(): Flow[] {
  const known = (['established', 'related'] as const).map((state) =>
    fixed({ table: TABLE.balance, priority: 200, match: [tracked(state)] }, [goOn(TABLE.endpoint)]),
  );
  return [
    ...known,
    fixed({ table: TABLE.balance, priority: 10, match: [tracked('new')] }, [goOn(TABLE.endpoint)]),
  ];
}

/** Errors about packets of a connection, from an endpoint or a router on the way. */
const errorReplies = (family: Family): Flow[] =>
  ICMP_ERRORS[family].map((type) =>
    fixed({ table: TABLE.reply, priority: 200, match: icmp(family, type) }, asTracked(TABLE.restored)),
  );
