import type { EtcdInspector, ForRoot, MemberStatus } from '../../ipam/store/etcd/inspect.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Context } from '../context/context.ts';
import { judgeAlarms, judgeLatency, judgeMember, judgeMembers } from '../doctor/etcd.ts';
import { fail, type Finding } from '../doctor/finding.ts';

/** One endpoint of etcd. */
export interface EndpointStatus {
  readonly endpoint: string;
  /** Undefined where it did not answer, or tells its state to root only. */
  readonly status: MemberStatus | undefined;
  readonly finding: Finding;
}

/** etcd's own state, as far as this user may read it. */
export interface EtcdStatus {
  readonly endpoints: readonly EndpointStatus[];
  /** Null where only root may read it. */
  readonly members: number | null;
  /** Null likewise. */
  readonly alarms: readonly string[] | null;
  readonly findings: readonly Finding[];
}

async function using<T>(
  { world, settings }: Context,
  endpoints: readonly string[],
  work: (etcd: EtcdInspector) => Promise<T>,
): Promise<T> {
  const etcd = await world.openEtcd({ ...etcdSettings(settings.etcd), endpoints });
  try {
    return await work(etcd);
  } finally {
    etcd.close();
  }
}

/** Asks every endpoint at once. Never throws: what does not answer is a finding. */
export function askEndpoints(context: Context, endpoints: readonly string[]): Promise<EndpointStatus[]> {
  return Promise.all(
    endpoints.map((endpoint) =>
      using(context, [endpoint], (etcd) => etcd.status()).then(
        (status) => statusOf(endpoint, status),
        (error: unknown) => silentEndpoint(endpoint, error),
      ),
    ),
  );
}

/** Asks etcd about itself. Never throws, as {@link askEndpoints}. */
export async function gatherEtcd(context: Context, latencyMs: number): Promise<EtcdStatus> {
  const settings = etcdSettings(context.settings.etcd);
  const [endpoints, members, alarms] = await Promise.all([
    askEndpoints(context, settings.endpoints),
    using(context, settings.endpoints, (etcd) => etcd.members()).catch(() => 'denied' as const),
    using(context, settings.endpoints, (etcd) => etcd.alarms()).catch(() => 'denied' as const),
  ]);
  return {
    endpoints,
    members: orNull(members),
    alarms: orNull(alarms),
    findings: [
      ...endpoints.map(({ finding }) => finding),
      judgeAlarms(alarms),
      judgeMembers(members, settings.endpoints.length),
      judgeLatency(latencyMs),
    ],
  };
}

const orNull = <T>(told: ForRoot<T>): T | null => (told === 'denied' ? null : told);

const nameOf = (endpoint: string): string => `etcd ${endpoint}`;

const statusOf = (endpoint: string, told: ForRoot<MemberStatus>): EndpointStatus => ({
  endpoint,
  status: told === 'denied' ? undefined : told,
  finding: judgeMember(nameOf(endpoint), told),
});

const silentEndpoint = (endpoint: string, error: unknown): EndpointStatus => ({
  endpoint,
  status: undefined,
  finding: fail(nameOf(endpoint), messageOf(error), 'Look at that member: etcdctl endpoint health --cluster'),
});

/** The versions of the members that answered, each once. */
export const etcdVersions = ({ endpoints }: Pick<EtcdStatus, 'endpoints'>): string[] => [
  ...new Set(endpoints.flatMap(({ status }) => (status ? [status.version] : []))),
];
