/** What the agent tells of Services at its own socket. Pure. */
import { formatAddress, formatCidr } from '../../../ipam/model/address.ts';
import { didYouMean } from '../../../ipam/model/nearest.ts';
import { protocolName, type Frontend, type FrontendKind } from '../../services/frontend.ts';
import type { EndpointState } from '../../services/known-endpoints.ts';
import type { ServiceTable } from '../../services/service-table.ts';
import type { EndpointView, FrontendView, ServiceView } from '../../services/service-view.ts';

/** One bridge and its program. */
export interface BridgeReport {
  readonly bridge: string;
  readonly inPlace: boolean;
  /** Number of our flows, as last counted; null as long as they were not. */
  readonly flows: number | null;
  /** How often somebody else had changed them since the agent began. */
  readonly differences: number;
  /** Why the last update failed; null once one succeeded. */
  readonly failure: string | null;
}

/** What the agent does with Services as a whole. */
export interface ServingReport {
  readonly served: boolean;
  /** Why no Services are served. */
  readonly reason: string | null;
  /** Whether the agent has had all Services from the API server. */
  readonly known: boolean;
  readonly bridges: readonly BridgeReport[];
}

/** A virtual address with its port. */
export interface FrontendRow {
  /** `namespace/name`. */
  readonly service: string;
  readonly portName: string;
  readonly kind: FrontendKind;
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
  readonly affinitySeconds: number | null;
  readonly sourceRanges: readonly string[] | null;
  /** How many endpoints get connections, and how many of them are on this node. */
  readonly endpoints: number;
  readonly local: number;
}

export interface RefusalRow {
  readonly service: string;
  readonly what: string;
  readonly reason: string;
}

export interface ServiceListReport extends ServingReport {
  readonly frontends: readonly FrontendRow[];
  readonly refusals: readonly RefusalRow[];
}

export interface EndpointRow {
  readonly address: string;
  readonly port: number;
  readonly node: string | null;
  readonly state: EndpointState;
  readonly chosen: boolean;
  /** Why it gets no connections. */
  readonly reason: string | null;
  readonly local: boolean;
}

export interface ServiceShowReport extends ServingReport {
  readonly service: string;
  /** Why the Service has no virtual address. */
  readonly notServed: string | null;
  readonly frontends: readonly (FrontendRow & {
    /** The Service that is served at this place instead. */
    readonly takenBy: string | null;
    readonly known: readonly EndpointRow[];
  })[];
  readonly refusals: readonly RefusalRow[];
}

/** Sorted by Service, then in the order of its ports. */
export function listServices(serving: ServingReport, table: ServiceTable, node: string): ServiceListReport {
  const rows = [...table.all()].map(([, frontend]) => rowOf(frontend, node));
  const byName = (a: FrontendRow, b: FrontendRow): number =>
    a.service < b.service ? -1 : Number(a.service > b.service);
  return { ...serving, frontends: rows.sort(byName), refusals: table.refused() };
}

export function showService(serving: ServingReport, view: ServiceView, node: string): ServiceShowReport {
  return {
    ...serving,
    service: view.service,
    notServed: view.notServed ?? null,
    frontends: view.frontends.map((each) => frontendOf(each, node)),
    refusals: view.refusals,
  };
}

/** The answer where no Service has the name. */
export const unknownService = (name: string, table: ServiceTable): { readonly hint: string } => ({
  hint: didYouMean(name, table.names()).trim(),
});

const frontendOf = (
  { frontend, takenBy, endpoints }: FrontendView,
  node: string,
): ServiceShowReport['frontends'][number] => ({
  ...rowOf(frontend, node),
  takenBy: takenBy ?? null,
  known: endpoints.map(endpointOf),
});

const endpointOf = ({ endpoint, state, chosen, reason, local }: EndpointView): EndpointRow => ({
  address: formatAddress(endpoint.address),
  port: endpoint.port,
  node: endpoint.nodeName ?? null,
  ...{ state, chosen, reason: reason ?? null, local },
});

function rowOf(frontend: Frontend, node: string): FrontendRow {
  const { service, portName, kind, address, protocol, port, affinitySeconds, sourceRanges, endpoints } =
    frontend;
  return {
    ...{ service, portName, kind, address: formatAddress(address), protocol: protocolName(protocol), port },
    affinitySeconds: affinitySeconds ?? null,
    sourceRanges: sourceRanges?.map(formatCidr) ?? null,
    endpoints: endpoints.length,
    local: endpoints.filter(({ nodeName }) => nodeName === node).length,
  };
}
