import { compareAddresses, type Address, type Family } from '../../ipam/model/address.ts';
import type { SliceEndpoint } from '../kube/endpoint-slice.ts';
import { whyNoPort } from './forbidden.ts';
import { protocolNumber, type Endpoint, type ProtocolNumber } from './frontend.ts';
import type { IsClusterAddress, KnownSlice } from './known-slice.ts';

export type EndpointState = 'ready' | 'terminating' | 'not-ready';

/** An endpoint of one port of a Service. */
export interface KnownEndpoint {
  readonly endpoint: Endpoint;
  /** `terminating`: it ends, and still serves. */
  readonly state: EndpointState;
  readonly hintZones: readonly string[];
  readonly hintNodes: readonly string[];
}

export interface EndpointQuery {
  readonly portName: string;
  readonly protocol: ProtocolNumber;
  readonly family: Family;
  readonly nodeName: string;
  readonly isCluster: IsClusterAddress;
  /** IPv4 addresses of the Service's pods, by UID. */
  readonly ipv4: ReadonlyMap<string, Address>;
}

/**
 * Returns the endpoints of one port of a Service, each once, sorted by address, then port. Where
 * slices disagree on an endpoint, the one that says most for it counts.
 * @param slices sorted by key, so that the result is the same whatever the order of events
 */
export function knownEndpoints(slices: readonly KnownSlice[], query: EndpointQuery): KnownEndpoint[] {
  const found = slices.flatMap((known) => endpointsIn(known, query)).sort(byPlace);
  const merged: KnownEndpoint[] = [];
  for (const next of found) {
    const last = merged.at(-1);
    if (last === undefined || byPlace(last, next) !== 0) merged.push(next);
    else if (isBetter(next, last, query.nodeName)) merged[merged.length - 1] = next;
  }
  return merged;
}

const byPlace = ({ endpoint: a }: KnownEndpoint, { endpoint: b }: KnownEndpoint): number =>
  compareAddresses(a.address, b.address) || a.port - b.port;

/** A named port of pods may be another number in each of them, and so in each slice. */
function endpointsIn({ slice, addresses }: KnownSlice, query: EndpointQuery): KnownEndpoint[] {
  if (slice.family !== query.family) return [];
  return slice.ports.flatMap(({ name, protocol, port }) => {
    const isAsked = name === query.portName && protocolNumber(protocol) === query.protocol;
    if (!isAsked || port === undefined || whyNoPort(port) !== undefined) return [];
    return slice.endpoints.flatMap((each, i) => {
      const address = addresses[i];
      return address && !query.isCluster(address) ? [toKnown(each, address, port, query)] : [];
    });
  });
}

const NONE: readonly string[] = [];

function toKnown(
  found: SliceEndpoint,
  address: Address,
  port: number,
  { ipv4: byUid }: EndpointQuery,
): KnownEndpoint {
  const { nodeName, podUid } = found;
  const ipv4 = address.family === 6 && podUid !== undefined ? byUid.get(podUid) : undefined;
  return {
    endpoint: { address, port, nodeName, podUid, ...(ipv4 && { ipv4 }) },
    state: stateOf(found),
    hintZones: found.hintZones ?? NONE,
    hintNodes: found.hintNodes ?? NONE,
  };
}

/** Returns the IPv4 addresses of the pods in the slices, by the pods' UIDs. */
export const ipv4OfPods = (slices: readonly KnownSlice[]): ReadonlyMap<string, Address> =>
  new Map(
    slices
      .filter(({ slice }) => slice.family === 4)
      .flatMap(({ slice, addresses }) =>
        slice.endpoints.flatMap(({ podUid }, i): [string, Address][] => {
          const address = addresses[i];
          return podUid !== undefined && address ? [[podUid, address]] : [];
        }),
      ),
  );

function stateOf({ ready, serving, terminating }: SliceEndpoint): EndpointState {
  if (ready) return 'ready';
  return serving && terminating ? 'terminating' : 'not-ready';
}

const RANK: Readonly<Record<EndpointState, number>> = { ready: 2, terminating: 1, 'not-ready': 0 };

/** Equal ones: that of this node wins, as in kube-proxy; else the earlier one stays. */
function isBetter(next: KnownEndpoint, known: KnownEndpoint, nodeName: string): boolean {
  const isLocal = ({ endpoint }: KnownEndpoint): number => Number(endpoint.nodeName === nodeName);
  const difference = RANK[next.state] - RANK[known.state] || isLocal(next) - isLocal(known);
  return difference > 0;
}
