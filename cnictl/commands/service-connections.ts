import type {
  EndpointRow,
  FrontendRow,
  ServiceShowReport,
} from '../../cni/agent/dataplane/service-report.ts';
import { ZONE } from '../../cni/dataplane/tables.ts';
import { parseConntrack, type TrackedConnection } from '../../cni/ovsdb/conntrack.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { DEFAULT_OVSDB } from '../../ipam/settings/settings.ts';
import type { Context } from '../context/context.ts';

/** The connections to all Services, or why they are not known. */
export type Connections =
  | { readonly known: true; readonly list: readonly TrackedConnection[] }
  | { readonly known: false; readonly reason: string };

/** An endpoint that has gone may have connections still. */
export type CountedEndpoint = Omit<EndpointRow, 'state'> & {
  readonly state: EndpointRow['state'] | 'gone';
  /** Null: not known. */
  readonly connections: number | null;
};

export type CountedFrontend = FrontendRow & {
  readonly takenBy: string | null;
  readonly connections: number | null;
  readonly rows: readonly CountedEndpoint[];
};

export interface CountedService {
  /** Why the connections are not known. */
  readonly reason: string | null;
  readonly frontends: readonly CountedFrontend[];
}

/** Asks each datapath of this node. */
export async function askConnections({ world, settings }: Context): Promise<Connections> {
  const ovsdb = settings.ovsdb ?? DEFAULT_OVSDB;
  try {
    const datapaths = (await world.askVswitchd(ovsdb, 'dpctl/dump-dps', [])).split('\n').filter(Boolean);
    const list: TrackedConnection[] = [];
    for (const datapath of datapaths) {
      const params = ['-s', datapath.trim(), `zone=${ZONE.service}`];
      list.push(...parseConntrack(await world.askVswitchd(ovsdb, 'dpctl/dump-conntrack', params)));
    }
    return { known: true, list };
  } catch (error) {
    return { known: false, reason: messageOf(error) };
  }
}

/** Gives each endpoint its connections by way of each virtual address. */
export function countConnections(report: ServiceShowReport, connections: Connections): CountedService {
  const list = connections.known ? connections.list : undefined;
  return {
    reason: connections.known ? null : connections.reason,
    frontends: report.frontends.map(({ known, ...frontend }) => {
      const counts = list && countByServer(list, frontend);
      const rows = known.map((row): CountedEndpoint => {
        const place = placeOf(row);
        const count = counts?.get(place) ?? 0;
        counts?.delete(place);
        return { ...row, connections: counts ? count : null };
      });
      const gone = [...(counts ?? [])].map(([place, count]) => goneEndpoint(place, count));
      const all = [...rows, ...gone];
      const total = counts && all.reduce((sum, row) => sum + (row.connections ?? 0), 0);
      return { ...frontend, connections: total ?? null, rows: all };
    }),
  };
}

const placeOf = ({ address, port }: Pick<EndpointRow, 'address' | 'port'>): string => `${address} ${port}`;

function countByServer(
  list: readonly TrackedConnection[],
  { protocol, address, port }: FrontendRow,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { protocol: its, service, server } of list) {
    if (its.toUpperCase() !== protocol || service.address !== address || service.port !== port) continue;
    const place = placeOf(server);
    counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return counts;
}

function goneEndpoint(place: string, connections: number): CountedEndpoint {
  const [address = '', port = ''] = place.split(' ');
  const reason = 'is no endpoint any more; open connections stay with it';
  return {
    address,
    port: Number(port),
    node: null,
    local: false,
    state: 'gone',
    chosen: false,
    reason,
    connections,
  };
}
