import type { Address } from '../../ipam/model/address.ts';
import type { KubeService } from '../kube/service.ts';
import { NO_CLAIMS, type Claims } from './claims.ts';
import type { Frontend } from './frontend.ts';
import type { KnownSlice } from './known-slice.ts';

/** A Service, or EndpointSlices whose Service is not known (yet). */
export interface Entry {
  service: KubeService | undefined;
  claims: Claims;
  readonly slices: Map<string, KnownSlice>;
  frontends: ReadonlyMap<string, Frontend>;
  /** How many different endpoints the frontends have. */
  endpoints: number;
}

export const NO_FRONTENDS: ReadonlyMap<string, Frontend> = new Map();

export const emptyEntry = (): Entry => ({
  service: undefined,
  claims: NO_CLAIMS,
  slices: new Map(),
  frontends: NO_FRONTENDS,
  endpoints: 0,
});

/** Each as often as there are ports. */
export const clusterAddresses = ({ claims: { claims } }: Entry): Address[] =>
  claims.filter(({ kind }) => kind === 'cluster').map(({ address }) => address);

export function countEndpoints(frontends: ReadonlyMap<string, Frontend>): number {
  const lists = [...new Set([...frontends.values()].map(({ endpoints }) => endpoints))];
  if (lists.length === 1) return lists[0]?.length ?? 0;
  const keys = lists.flatMap((list) => list.map(({ address, port }) => `${address.value} ${port}`));
  return new Set(keys).size;
}
