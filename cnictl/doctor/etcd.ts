import type { EtcdInspector, ForRoot, MemberStatus } from '../../ipam/store/etcd/inspect.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import { judgeClock } from './clock.ts';
import { advise, ETCD_READ_ONLY, fail, failed, ok, warn, type Check, type Finding } from './finding.ts';

export type OpenInspector = (settings: EtcdSettings) => Promise<EtcdInspector>;

/** A claim waits for several writes. Above this, pods start noticeably later. */
const SLOW_MS = 50;
/** etcd's default quota (`--quota-backend-bytes`). With a larger quota, the warning comes early. */
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;
const GROUPS = [
  'ranges',
  'blocks',
  'nodes',
  'history',
  'machines',
  'alive',
  'cluster',
  'lost',
  'rules',
] as const;

/**
 * Returns the checks of each endpoint, and of the cluster as a whole.
 * @param node whose rights are enough; undefined: an operator's are needed
 */
export function etcdChecks(settings: EtcdSettings, open: OpenInspector, node: string | undefined): Check[] {
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
    check('etcd alarms', lookAtAlarms),
    {
      name: 'etcd permissions',
      look: () => using(settings.endpoints, (etcd) => lookAtPermissions(etcd, settings, node)),
    },
    check('etcd clock', async (etcd) => judgeClock('etcd clock', await etcd.clock())),
  ];
}

/** What only root may ask in this etcd. The remedy must not be to make cellnet root. */
const FOR_ROOT = 'etcd tells it to root only, and cellnet does not need it';

export function judgeMember(check: string, status: ForRoot<MemberStatus>): Finding {
  if (status === 'denied') return ok(check, `answers; version and size were not looked at: ${FOR_ROOT}`);
  const { version, dbBytes, hasLeader } = status;
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

export function judgeMembers(members: ForRoot<number>, endpoints: number): Finding {
  if (members === 'denied')
    return ok('etcd members', `${endpoints} configured; how many there are was not looked at: ${FOR_ROOT}`);
  const detail = `${members} in the cluster, ${endpoints} configured`;
  if (members === 1)
    return advise('etcd members', `${detail}: without it no pod starts`, 'Run three or five.');
  if (endpoints < Math.min(members, 3)) {
    return warn(
      'etcd members',
      `${detail}: should those fail, no pod starts`,
      'Name all of them in etcd.endpoints: etcdctl member list',
    );
  }
  return ok('etcd members', detail);
}

/** The alarms themselves, where etcd tells them; else whether there is one that it obeys. */
async function lookAtAlarms(etcd: EtcdInspector): Promise<Finding> {
  const alarms = await etcd.alarms();
  // For lack of space it refuses even those who may not write.
  return judgeAlarms(alarms, alarms === 'denied' && (await etcd.mayWrite('blocks')));
}

/** @param writes whether etcd would take a write of this user */
export function judgeAlarms(alarms: ForRoot<readonly string[]>, writes = false): Finding {
  if (alarms === 'denied')
    return ok('etcd alarms', `${writes ? 'etcd takes writes; the list was ' : ''}not looked at: ${FOR_ROOT}`);
  if (alarms.length === 0) return ok('etcd alarms', 'none');
  return {
    ...fail(
      'etcd alarms',
      alarms.join(', '),
      'etcd refuses writes: compact, defragment, then etcdctl alarm disarm; for CORRUPT replace the member.',
    ),
    cause: ETCD_READ_ONLY,
  };
}

/** A key that a program writes: below a group, or just this one. */
type Right = readonly [group: string, name?: string];

/** What the programs of a node write (docs/operations/etcd-access.md). */
const nodeRights = (node: string): Right[] => [
  ['blocks'],
  ['history'],
  [`nodes/${node}`],
  ['machines', node],
  ['alive', node],
  ['lost', node],
  ['cluster', 'set-back'],
];

async function lookAtPermissions(
  etcd: EtcdInspector,
  settings: EtcdSettings,
  node: string | undefined,
): Promise<Finding[]> {
  const deniedOf = async (rights: readonly Right[]): Promise<string[]> => {
    const denied: string[] = [];
    for (const [group, name] of rights)
      if (!(await etcd.mayWrite(group, name))) denied.push(`${settings.prefix}/v1/${group}/${name ?? ''}`);
    return denied;
  };
  try {
    const all = await deniedOf(GROUPS.map((group) => [group]));
    const ofNode = node === undefined || all.length === 0 ? [] : await deniedOf(nodeRights(node));
    return [judgePermissions(settings, node, all, ofNode)];
  } catch (error) {
    return [failed('etcd permissions', error)];
  }
}

/**
 * @param all groups of keys that may not be written
 * @param ofNode keys that the node writes and may not
 */
export function judgePermissions(
  settings: Pick<EtcdSettings, 'prefix' | 'username' | 'certFile'>,
  node: string | undefined,
  all: readonly string[],
  ofNode: readonly string[],
): Finding {
  const check = 'etcd permissions';
  const user = userText(settings);
  const below = `${settings.prefix}/v1/`;
  if (all.length === 0) return ok(check, `${user} may read and write below ${below}`);
  if (node !== undefined && ofNode.length === 0)
    return ok(
      check,
      `${user} may do what node ${node} needs; commands that change ranges or other nodes need an operator's user`,
    );
  const denied = node === undefined ? all : ofNode;
  const remedy =
    node === undefined
      ? `Grant it: docs/examples/etcd-roles.sh operator, or etcdctl role grant-permission ROLE --prefix=true readwrite ${below}`
      : `Grant just that: docs/examples/etcd-roles.sh node ${node}`;
  const who = user === EVERYBODY ? 'a client without a user' : user;
  return fail(
    check,
    `${who} may not write ${node === undefined ? 'below ' : ''}${denied.join(', ')}`,
    remedy,
  );
}

const EVERYBODY = 'every client that reaches etcd (no user is configured)';

function userText({ username, certFile }: Pick<EtcdSettings, 'username' | 'certFile'>): string {
  if (username !== undefined) return `user ${username}`;
  if (certFile !== undefined) return `the client certificate ${certFile}`;
  return EVERYBODY;
}
