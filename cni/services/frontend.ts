import { formatAddress, sameAddress, type Address, type Cidr } from '../../ipam/model/address.ts';

/** Where a Service has its virtual address from, in the order in which claims to one win. */
export const FRONTEND_KINDS = ['cluster', 'load-balancer', 'external'] as const;
export type FrontendKind = (typeof FRONTEND_KINDS)[number];

/** A protocol's number in an IP header. */
export type ProtocolNumber = 6 | 17 | 132;

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132 } as const;
type ProtocolName = keyof typeof PROTOCOLS;
export const protocolNumber = (name: ProtocolName): ProtocolNumber => PROTOCOLS[name];

const PROTOCOL_NAMES = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' } as const;
export const protocolName = (number: ProtocolNumber): ProtocolName => PROTOCOL_NAMES[number];

/** One place that connections to a Service go to. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  readonly nodeName: string | undefined;
  readonly podUid: string | undefined;
  /** Of an IPv6 endpoint: the IPv4 address of the same pod, if the Service tells it. */
  readonly ipv4?: Address;
}

/** One virtual address with its port, and where its connections go. */
export interface Frontend {
  /** `namespace/name` of the Service. */
  readonly service: string;
  readonly portName: string;
  readonly kind: FrontendKind;
  readonly protocol: ProtocolNumber;
  readonly address: Address;
  readonly port: number;
  readonly affinitySeconds: number | undefined;
  /** The clients that may use the address. Undefined: every client. Empty: none. */
  readonly sourceRanges: readonly Cidr[] | undefined;
  /** Sorted by address, then port; none twice. Empty: connections are refused at once. */
  readonly endpoints: readonly Endpoint[];
}

export type FrontendPlace = Pick<Frontend, 'protocol' | 'address' | 'port'>;

/** Returns the one name of a virtual address with its port, such as `6 10.96.0.10 53`. */
export const frontendKey = ({ protocol, address, port }: FrontendPlace): string =>
  `${protocol} ${formatAddress(address)} ${port}`;

/** Compares everything that a bridge could do differently. */
export function sameFrontend(a: Frontend, b: Frontend): boolean {
  return (
    a === b ||
    (a.service === b.service &&
      a.portName === b.portName &&
      a.kind === b.kind &&
      a.protocol === b.protocol &&
      sameAddress(a.address, b.address) &&
      a.port === b.port &&
      a.affinitySeconds === b.affinitySeconds &&
      sameRanges(a.sourceRanges, b.sourceRanges) &&
      sameEndpoints(a.endpoints, b.endpoints))
  );
}

export const sameEndpoints = (a: readonly Endpoint[], b: readonly Endpoint[]): boolean =>
  a === b || sameItems(a, b, sameEndpoint);

const sameEndpoint = (a: Endpoint, b: Endpoint): boolean =>
  sameAddress(a.address, b.address) &&
  a.port === b.port &&
  a.nodeName === b.nodeName &&
  a.podUid === b.podUid &&
  a.ipv4?.value === b.ipv4?.value;

const sameRanges = (a: readonly Cidr[] | undefined, b: readonly Cidr[] | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && sameItems(a, b, sameRange));

const sameRange = (a: Cidr, b: Cidr): boolean =>
  a.prefixLength === b.prefixLength && sameAddress(a.base, b.base);

function sameItems<T>(a: readonly T[], b: readonly T[], same: (a: T, b: T) => boolean): boolean {
  return (
    a.length === b.length &&
    a.every((item, i) => {
      const other = b[i];
      return other !== undefined && same(item, other);
    })
  );
}
