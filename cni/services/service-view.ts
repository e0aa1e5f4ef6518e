import { whyNotServed, type Claims } from './claims.ts';
import type { Endpoint, Frontend } from './frontend.ts';
import type { EndpointState } from './known-endpoints.ts';
import type { Refusal } from './refusal.ts';
import { endpointsFor, scopeOf, type Seen } from './service-frontends.ts';
import { whyNotChosen } from './why-not-chosen.ts';

/** What this node does with a Service. */
export interface ServiceView {
  /** `namespace/name`. */
  readonly service: string;
  /** Why the Service has no virtual address, such as `has no cluster IP (headless)`. */
  readonly notServed: string | undefined;
  readonly frontends: readonly FrontendView[];
  readonly refusals: readonly Refusal[];
}

export interface FrontendView {
  readonly frontend: Frontend;
  /** The Service that is served at this address and port in place of this one. */
  readonly takenBy: string | undefined;
  readonly endpoints: readonly EndpointView[];
}

export interface EndpointView {
  readonly endpoint: Endpoint;
  readonly state: EndpointState;
  /** Whether pods of this node are connected to it. */
  readonly chosen: boolean;
  /** Why it is not chosen. */
  readonly reason: string | undefined;
  /** Whether it is on this node. */
  readonly local: boolean;
}

/**
 * @param frontends the Service's own, by key
 * @param served returns what is served at a key
 */
export function viewOf(
  seen: Seen,
  frontends: ReadonlyMap<string, Frontend>,
  served: (key: string) => Frontend | undefined,
  refusals: Claims['refusals'],
): ServiceView {
  return {
    service: seen.name,
    notServed: whyNotServed(seen.service),
    frontends: [...frontends].map(([key, frontend]) => {
      const winner = served(key)?.service;
      return {
        frontend,
        takenBy: winner === seen.name ? undefined : winner,
        endpoints: endpointViews(seen, frontend),
      };
    }),
    refusals,
  };
}

function endpointViews(seen: Seen, frontend: Frontend): EndpointView[] {
  const keyOf = ({ address, port }: Endpoint): string => `${address.value} ${port}`;
  const chosen = new Set(frontend.endpoints.map(keyOf));
  const scope = scopeOf(frontend, seen.service);
  return endpointsFor(seen, frontend).map(({ endpoint, state }) => {
    const isChosen = chosen.has(keyOf(endpoint));
    const local = endpoint.nodeName === seen.node.nodeName;
    const reason = isChosen ? undefined : whyNotChosen({ state, local, scope });
    return { endpoint, state, chosen: isChosen, reason, local };
  });
}
