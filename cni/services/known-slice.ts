import { familyName, formatAddress, type Address, type Family } from '../../ipam/model/address.ts';
import { shorten } from '../../ipam/records/decode.ts';
import type { EndpointSlice } from '../kube/endpoint-slice.ts';
import { addressIn, whyNoAddress, whyNoPort, whySpecial } from './forbidden.ts';
import type { Refusal } from './refusal.ts';

/** An EndpointSlice that was read and judged once, for all later changes of its Service. */
export interface KnownSlice {
  readonly key: string;
  readonly slice: EndpointSlice;
  /**
   * The first address of each endpoint, which is the only one that kube-proxy uses, too. Undefined
   * where no connection can go.
   */
  readonly addresses: readonly (Address | undefined)[];
  /** What of the slice cannot be used. */
  readonly wrong: readonly Wrong[];
}

type Wrong = Omit<Refusal, 'service'>;

/** Whether a Service has the address as its cluster address. */
export type IsClusterAddress = (address: Address) => boolean;

const NOTHING_WRONG: readonly Wrong[] = [];

/**
 * Slices of host names and ports without a number are no mistake: discovery/v1 has them for other
 * purposes.
 */
export function readSlice(key: string, slice: EndpointSlice): KnownSlice {
  const { family } = slice;
  if (family === undefined) return { key, slice, addresses: [], wrong: NOTHING_WRONG };
  const wrong: Wrong[] = [];
  const refuse = (what: string, reason: string): void => {
    wrong.push({ what: `${what} in EndpointSlice ${key}`, reason });
  };
  for (const { name, port } of slice.ports) {
    const reason = port === undefined ? undefined : whyNoPort(port);
    if (reason !== undefined) refuse(`the number ${port} of port ${shorten(name)}`, reason);
  }
  const addresses = slice.endpoints.map(({ addresses: [text = ''] }) => {
    const address = addressIn(text);
    const reason = address ? whyUnusable(address, family) : whyNoAddress(text);
    if (reason === undefined) return address;
    refuse(`the endpoint ${address ? formatAddress(address) : shorten(text)}`, reason);
    return undefined;
  });
  return { key, slice, addresses, wrong: wrong.length === 0 ? NOTHING_WRONG : wrong };
}

const whyUnusable = (address: Address, family: Family): string | undefined =>
  address.family === family ? whySpecial(address) : `is not an ${familyName(family)} address`;

/**
 * Returns what of a Service's slices cannot be used. A cluster address is nobody's on the wire: a
 * connection from there on would find no end, or go round.
 * @param service `namespace/name`
 */
export const refusedEndpoints = (
  service: string,
  slices: readonly KnownSlice[],
  isCluster: IsClusterAddress,
): Refusal[] =>
  slices.flatMap(({ key, addresses, wrong }) => {
    const cluster = addresses.flatMap((address): Wrong[] => {
      if (!address || !isCluster(address)) return [];
      const what = `the endpoint ${formatAddress(address)} in EndpointSlice ${key}`;
      return [{ what, reason: "is a Service's cluster IP" }];
    });
    return [...wrong, ...cluster].map((each) => ({ service, ...each }));
  });
