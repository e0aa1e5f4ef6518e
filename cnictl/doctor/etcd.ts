import type { EtcdInspector, MemberStatus } from '../../ipam/store/etcd/inspect.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import { judgeClock } from './clock.ts';
import { fail, failed, ok, warn, type Check, type Finding } from './finding.ts';

export type OpenInspector = (settings: EtcdSettings) => Promise<EtcdInspector>;

/** A claim waits for several writes. Above this, pods start noticeably later. */
const SLOW_MS = 50;
/** etcd's default quota (`--quota-backend-bytes`). With a larger quota, the warning comes early. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;
const GROUPS = ['ranges', 'blocks', 'nodes', 'history', 'machines', 'alive', 'cluster', 'lost'] as const;

/** Returns the checks of each endpoint, and of the cluster as a whole. */
export function etcdChecks(settings: EtcdSettings, open: OpenInspector): Check[] {
  const using = async <T>(
    endpoints: readonly string[],
    work: (etcd: EtcdInspector) => Promise<T>,
  ): Promise<T> => {
    const etcd = await open({ ...settings, endpoints });
    try {
      return await work(etcd);
    } finally {
      etcd.close();
    }
  };
  const check = (
    name: string,
    look: (etcd: EtcdInspector) => Promise<Finding>,
    endpoints = settings.endpoints,
  ): Check => ({
    name,
    look: async () => [await using(endpoints, look)],
  });
  return [
    ...settings.endpoints.map((endpoint) =>
      check(`etcd ${endpoint}`, async (etcd) => judgeMember(`etcd ${endpoint}`, await etcd.status()), [
        endpoint,
      ]),
    ),
    check('etcd latency', async (etcd) => judgeLatency(await etcd.latency())),
    check('etcd members', async (etcd) => judgeMembers(await etcd.members(), settings.endpoints.length)),
    check('etcd alarms', async (etcd) => judgeAlarms(await etcd.alarms())),
    {
      name: 'etcd permissions',
      look: () => using(settings.endpoints, (etcd) => judgePermissions(etcd, settings)),
    },
    check('etcd clock', async (etcd) => judgeClock('etcd clock', await etcd.clock())),
  ];
}

export function judgeMember(check: string, { version, dbBytes, hasLeader }: MemberStatus): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const size = `${Math.ceil(dbBytes / 1024 ** 2)} MB`;
  const detail = `version ${version}, database ${size}`;
  if (!hasLeader)
    return fail(
      check,
      `${detail}, no leader`,
      'Bring the majority of the members back: etcdctl endpoint status --cluster',
    );
  if (major < 3 || (major === 3 && minor < 4))
    return fail(check, `${detail}: expected 3.4 or later`, 'Upgrade etcd.');
  if (dbBytes > 0.8 * DEFAULT_QUOTA_BYTES) {
    return warn(
      check,
      `${detail}: above 80 % of etcd's default quota`,
      'Compact and defragment, or raise --quota-backend-bytes: etcdctl defrag --cluster',
    );
  }
  return ok(check, detail);
}

export function judgeLatency(ms: number): Finding {
  const detail = `${ms.toFixed(1)} ms for a consistent read`;
  if (ms <= SLOW_MS) return ok('etcd latency', detail);
  return warn(
    'etcd latency',
    `${detail}: expected at most ${SLOW_MS}`,
    "Look at etcd's disk (etcd_disk_wal_fsync_duration_seconds) and at the network.",
  );
}

export function judgeMembers(members: number, endpoints: number): Finding {
  const detail = `${members} in the cluster, ${endpoints} configured`;
  if (members === 1) return warn('etcd members', `${detail}: without it no pod starts`, 'Run three or five.');
  if (endpoints < Math.min(members, 3)) {
    return warn(
      'etcd members',
      `${detail}: should those fail, no pod starts`,
      'Name all of them in etcd.endpoints: etcdctl member list',
    );
  }
  return ok('etcd members', detail);
}

export function judgeAlarms(alarms: readonly string[]): Finding {
  if (alarms.length === 0) return ok('etcd alarms', 'none');
  return fail(
    'etcd alarms',
    alarms.join(', '),
    'etcd refuses writes: compact, defragment, then etcdctl alarm disarm; for CORRUPT replace the member.',
  );
}

async function judgePermissions(etcd: EtcdInspector, { prefix, username }: EtcdSettings): Promise<Finding[]> {
  const check = 'etcd permissions';
  const user = username === undefined ? 'nobody (no user is configured)' : `user ${username}`;
  const denied: string[] = [];
  for (const group of GROUPS) {
    try {
      if (!(await etcd.mayWrite(group))) denied.push(`${prefix}/v1/${group}/`);
    } catch (error) {
      return [failed(check, error)];
    }
  }
  if (denied.length === 0) return [ok(check, `${user} may read and write below ${prefix}/v1/`)];
  return [
    fail(
      check,
      `${user} may not write below ${denied.join(', ')}`,
      `etcdctl role grant-permission ROLE --prefix=true readwrite ${prefix}/`,
    ),
  ];
}
