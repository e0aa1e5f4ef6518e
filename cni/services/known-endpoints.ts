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
      return address && !query.isCluster(address) ? [toKnown(each, address, port)] : [];
    });
  });
}

const NONE: readonly string[] = [];

const toKnown = (found: SliceEndpoint, address: Address, port: number): KnownEndpoint => ({
  endpoint: { address, port, nodeName: found.nodeName, podUid: found.podUid },
  state: stateOf(found),
  hintZones: found.hintZones ?? NONE,
  hintNodes: found.hintNodes ?? NONE,
});

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
