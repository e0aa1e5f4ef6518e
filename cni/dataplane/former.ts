/**
 * What of Services a bridge still has from before, read back from its flows: an agent that was away
 * does not know what went meanwhile. Pure.
 */
import { readFields, type FieldName } from '../openflow/fields.ts';
import type { FrontendPlace, ProtocolNumber } from '../services/frontend.ts';
import { addressField, FAMILIES, ip, portField, PROTOCOLS } from './match.ts';
import { cookiesOf, TABLE } from './tables.ts';

export interface FormerFrontend extends FrontendPlace {
  /** Whether the address is a Service's own, so that all of its other ports are refused. */
  readonly isCluster: boolean;
}

export interface Former {
  readonly frontends: readonly FormerFrontend[];
  readonly endpoints: readonly FrontendPlace[];
}

/** A flow as the bridge tells it. */
export interface FormerFlow {
  readonly matchBytes: Buffer;
}

export const NOTHING_FORMER: Former = { frontends: [], endpoints: [] };

/** The flows to read: those that packets to a Service take first, and those of replies. */
export const FORMER_FLOWS = {
  frontends: { ...cookiesOf('service'), table: TABLE.service },
  endpoints: { ...cookiesOf('service'), table: TABLE.reply },
} as const;

/** @param flows those of {@link FORMER_FLOWS} */
export function formerOf(flows: Readonly<Record<keyof typeof FORMER_FLOWS, readonly FormerFlow[]>>): Former {
  const frontends = flows.frontends.flatMap((flow) => addressIn(flow, 'dst') ?? []);
  const clusterAddresses = new Set(frontends.filter(({ port }) => !port).map(({ address }) => address.value));
  return {
    frontends: frontends
      .filter(hasPort)
      .map((place) => ({ ...place, isCluster: clusterAddresses.has(place.address.value) })),
    endpoints: flows.endpoints.flatMap((flow) => addressIn(flow, 'src') ?? []).filter(hasPort),
  };
}

type Matched = Pick<FrontendPlace, 'address'> & Partial<Pick<FrontendPlace, 'protocol' | 'port'>>;

const hasPort = (matched: Matched): matched is FrontendPlace =>
  matched.protocol !== undefined && matched.port !== undefined;

/** Flows of fragments have no port, those of a whole address no protocol either. */
function addressIn({ matchBytes }: FormerFlow, side: 'src' | 'dst'): Matched | undefined {
  const fields = new Map<FieldName, bigint>(
    readFields(matchBytes).flatMap(({ field, value, mask }) => (mask === undefined ? [[field, value]] : [])),
  );
  const family = FAMILIES.find((each) => ip(each).value === fields.get('eth_type'));
  const value = family && fields.get(addressField(side, family));
  if (family === undefined || value === undefined) return undefined;
  return { address: { family, value }, ...transportIn(fields, side) };
}

function transportIn(
  fields: ReadonlyMap<FieldName, bigint>,
  side: 'src' | 'dst',
): { protocol: ProtocolNumber; port: number } | undefined {
  const protocol = PROTOCOLS.find((each) => BigInt(each) === fields.get('ip_proto'));
  const port = protocol && fields.get(portField(side, protocol));
  return protocol !== undefined && port !== undefined ? { protocol, port: Number(port) } : undefined;
}
