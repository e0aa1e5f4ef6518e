import type { Endpoint } from './frontend.ts';
import type { KnownEndpoint } from './known-endpoints.ts';

/** Where this node is. */
export interface NodePlace {
  readonly nodeName: string;
  readonly zone: string | undefined;
}

/** `cluster`: endpoints everywhere. `node`: only those of this node. */
export type Scope = 'cluster' | 'node';

/**
 * Chooses the endpoints that connections from this node's pods go to, as kube-proxy does
 * (`CategorizeEndpoints`): the ready ones, or those that still serve while they end if none is
 * ready. Hints narrow the ready ones down, but never those of this node only.
 * @returns in the given order; empty: connections are refused
 */
export function chooseEndpoints(
  known: readonly KnownEndpoint[],
  node: NodePlace,
  scope: Scope,
): readonly Endpoint[] {
  const isLocal = ({ endpoint }: KnownEndpoint): boolean => endpoint.nodeName === node.nodeName;
  const inScope = scope === 'node' ? known.filter(isLocal) : known;
  const ready = inScope.filter(({ state }) => state === 'ready');
  const terminating = (): KnownEndpoint[] => inScope.filter(({ state }) => state === 'terminating');
  const chosen = ready.length === 0 ? terminating() : scope === 'node' ? ready : nearest(ready, node);
  return chosen.map(({ endpoint }) => endpoint);
}

/**
 * Follows hints for nodes, else hints for zones, else none. An endpoint without a hint means that
 * hints are being set or removed at this moment; and nobody may be left without an endpoint.
 */
function nearest(ready: readonly KnownEndpoint[], { nodeName, zone }: NodePlace): readonly KnownEndpoint[] {
  return (
    hinted(ready, nodeName, ({ hintNodes }) => hintNodes) ??
    hinted(ready, zone, ({ hintZones }) => hintZones) ??
    ready
  );
}

/** Returns those with a hint for the place; undefined if the hints are not to be followed. */
function hinted(
  ready: readonly KnownEndpoint[],
  place: string | undefined,
  hintsOf: (known: KnownEndpoint) => readonly string[],
): readonly KnownEndpoint[] | undefined {
  if (place === undefined || ready.some((known) => hintsOf(known).length === 0)) return undefined;
  const here = ready.filter((known) => hintsOf(known).includes(place));
  return here.length === 0 ? undefined : here;
}
