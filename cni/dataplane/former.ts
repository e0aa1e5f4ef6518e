/**
 * What of Services a bridge still has from before, read back from its flows: an agent that was away
 * does not know what went meanwhile. Pure.
 */
import type { Address } from '../../ipam/model/address.ts';
import { visitFields } from '../openflow/fields.ts';
import type { FrontendPlace, ProtocolNumber } from '../services/frontend.ts';
import { addressField, portField, PROTOCOLS } from './match.ts';
import { cookiesOf, TABLE } from './tables.ts';

export interface FormerFrontend extends FrontendPlace {
  /** Whether the address is a Service's own, so that all of its other ports are refused. */
  readonly isCluster: boolean;
}

export interface Former {
  readonly frontends: readonly FormerFrontend[];
  readonly endpoints: readonly FrontendPlace[];
}

export const NOTHING_FORMER: Former = { frontends: [], endpoints: [] };

/** The flows to read: those that packets to a Service take first, and those of replies. */
export const FORMER_FLOWS = {
  frontends: { ...cookiesOf('service'), table: TABLE.service },
  endpoints: { ...cookiesOf('service'), table: TABLE.reply },
} as const;

/** @param flows the matches of {@link FORMER_FLOWS} */
export function formerOf(flows: Readonly<Record<keyof typeof FORMER_FLOWS, readonly Buffer[]>>): Former {
  const frontends = flows.frontends.flatMap((match) => addressIn(match, 'dst') ?? []);
  const whole = frontends.filter(({ isWhole }) => isWhole);
  const clusterAddresses = new Set(whole.map(({ address }) => address.value));
  return {
    frontends: frontends.filter(hasPort).map(({ address, protocol, port }) => ({
      ...{ address, protocol, port },
      isCluster: clusterAddresses.has(address.value),
    })),
    endpoints: flows.endpoints.flatMap((match) => addressIn(match, 'src') ?? []).filter(hasPort),
  };
}

type Matched = Pick<FrontendPlace, 'address'> &
  Partial<Pick<FrontendPlace, 'protocol' | 'port'>> & {
    /** Whether it is of all protocols: a Service's own address. Flows of fragments name one. */
    readonly isWhole: boolean;
  };

const hasPort = (matched: Matched): matched is Matched & FrontendPlace =>
  matched.protocol !== undefined && matched.port !== undefined;

/** The fields of a packet's one end. Made once: a bridge has 50,000 flows. */
const fieldsOf = (side: 'src' | 'dst') => ({
  ipv4: addressField(side, 4),
  ipv6: addressField(side, 6),
  ports: new Map(PROTOCOLS.map((protocol) => [portField(side, protocol), protocol])),
});
const FIELDS = { src: fieldsOf('src'), dst: fieldsOf('dst') } as const;

/** Flows of fragments have no port, those of a whole address no protocol either. */
function addressIn(match: Buffer, side: 'src' | 'dst'): Matched | undefined {
  const { ipv4, ipv6, ports } = FIELDS[side];
  let address: Address | undefined;
  let isWhole = true;
  let transport: { readonly protocol: ProtocolNumber; readonly port: number } | undefined;
  visitFields(match, (field, at) => {
    if (field === ipv4) address = { family: 4, value: BigInt(match.readUInt32BE(at)) };
    else if (field === ipv6)
      address = { family: 6, value: BigInt(`0x${match.toString('hex', at, at + 16)}`) };
    if (field === 'ip_proto') isWhole = false;
    const protocol = ports.get(field);
    if (protocol !== undefined) transport = { protocol, port: match.readUInt16BE(at) };
  });
  return address && { address, isWhole, ...transport };
}
