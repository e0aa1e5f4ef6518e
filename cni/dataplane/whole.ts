/** The whole program of a bridge, made piece by piece. Pure. */
import { groupModifications } from '../openflow/groups.ts';
import type { Flow, Modification } from '../openflow/program.ts';
import type { Frontend } from '../services/frontend.ts';
import type { RangeMap } from './range-map.ts';
import { serviceProgram, type ServiceProgram } from './service-flows.ts';
import { sharedFlows } from './shared-flows.ts';
import { cookiesOf, type CookieKind } from './tables.ts';

/** A frontend, and the number of its group. */
export interface Served {
  readonly frontend: Frontend;
  readonly group: number;
}

/** Returns a list of the flow, if there is one. */
export const only = (flow: Flow | undefined): Flow[] => (flow ? [flow] : []);
export const replaced = (kind: CookieKind): Modification[] => [{ kind: 'delete-flows', ...cookiesOf(kind) }];
export const put = (flow: Flow): Modification => ({ kind: 'put-flow', flow });

/**
 * Returns what puts everything in place. Flows and groups of 5,000 Services take 70 MB at once, so
 * each is made when it is sent. A group comes before the flows that need it.
 */
export function* everything(
  frontends: readonly Served[],
  ranges: RangeMap,
  ofNode: readonly Modification[],
): Generator<Modification> {
  yield* replaced('service');
  for (const { group, flows, shared } of served(frontends, ranges)) {
    if (group) yield* groupModifications(group);
    yield* [...flows, ...shared].map(put);
  }
  yield* ofNode;
}

/** Returns the program of each frontend, and the flows that no frontend before it needs too. */
export function* served(
  frontends: Iterable<Served>,
  ranges: RangeMap,
): Generator<ServiceProgram & { readonly shared: readonly Flow[] }> {
  const known = new Set<string>();
  for (const { frontend, group } of frontends) {
    const shared = sharedFlows(frontend, ranges).filter(({ key }) => !known.has(key) && known.add(key));
    yield { ...serviceProgram(frontend, group, ranges), shared: shared.flatMap(({ flow }) => only(flow())) };
  }
}
