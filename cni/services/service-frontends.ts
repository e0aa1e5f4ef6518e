import type { Address } from '../../ipam/model/address.ts';
import type { KubeService } from '../kube/service.ts';
import { chooseEndpoints, type NodePlace, type Scope } from './choose-endpoints.ts';
import type { Claim } from './claims.ts';
import type { Endpoint, Frontend } from './frontend.ts';
import { ipv4OfPods, knownEndpoints, type KnownEndpoint } from './known-endpoints.ts';
import type { IsClusterAddress, KnownSlice } from './known-slice.ts';

/** One Service with its EndpointSlices, as seen from this node. */
export interface Seen {
  /** `namespace/name`. */
  readonly name: string;
  readonly service: KubeService;
  /** Sorted by key. */
  readonly slices: readonly KnownSlice[];
  readonly node: NodePlace;
  readonly isCluster: IsClusterAddress;
}

/** Returns the frontends of a Service by their keys, if no other Service has the same claims. */
export function frontendsOf(seen: Seen, claims: readonly Claim[]): ReadonlyMap<string, Frontend> {
  const { name, service } = seen;
  const knownBy = memo<KnownEndpoint[]>();
  const chosenBy = memo<readonly Endpoint[]>();
  return new Map(
    claims.map(({ key, ...claim }) => {
      const place = `${claim.address.family} ${claim.protocol} ${claim.portName}`;
      const scope = scopeOf(claim, service);
      const endpoints = chosenBy(`${scope} ${place}`, () =>
        chooseEndpoints(
          knownBy(place, () => endpointsFor(seen, claim)),
          seen.node,
          scope,
        ),
      );
      return [key, { service: name, ...claim, affinitySeconds: service.affinitySeconds, endpoints }];
    }),
  );
}

/** Frontends of one port share their list of endpoints. */
function memo<T>(): (key: string, make: () => T) => T {
  const made = new Map<string, T>();
  return (key, make) => {
    const value = made.get(key) ?? make();
    made.set(key, value);
    return value;
  };
}

/** Returns all endpoints of a claim's port, chosen or not. */
export const endpointsFor = (
  { slices, node, isCluster }: Seen,
  { portName, protocol, address }: Pick<Claim, 'portName' | 'protocol' | 'address'>,
): KnownEndpoint[] =>
  knownEndpoints(slices, {
    portName,
    protocol,
    family: address.family,
    nodeName: node.nodeName,
    isCluster,
    // Only IPv6 endpoints need it: most Services have none.
    ipv4: address.family === 6 ? ipv4OfPods(slices) : NO_PODS,
  });

const NO_PODS: ReadonlyMap<string, Address> = new Map();

/**
 * The internal policy is for the cluster address. The external policy is for clients outside the
 * cluster: pods of the cluster reach all endpoints by the other addresses.
 */
export const scopeOf = ({ kind }: Pick<Claim, 'kind'>, { internalTrafficPolicy }: KubeService): Scope =>
  kind === 'cluster' && internalTrafficPolicy === 'Local' ? 'node' : 'cluster';
