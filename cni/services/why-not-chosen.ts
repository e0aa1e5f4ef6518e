import type { Scope } from './choose-endpoints.ts';
import type { EndpointState } from './known-endpoints.ts';

/** Returns why pods of this node are not connected to an endpoint that `chooseEndpoints` left. */
export function whyNotChosen({
  state,
  local,
  scope,
}: {
  readonly state: EndpointState;
  readonly local: boolean;
  readonly scope: Scope;
}): string {
  if (state === 'not-ready') return 'is not ready';
  if (scope === 'node' && !local) return 'is on another node, and internalTrafficPolicy is Local';
  if (state === 'terminating') return 'ends, and others are ready';
  return 'topology hints lead to others';
}
