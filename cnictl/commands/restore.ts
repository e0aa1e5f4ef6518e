import { checkNoOverlap } from '../../ipam/model/new-range.ts';
import { NodeDirectory } from '../../ipam/model/node-name.ts';
import { tellSetBack } from '../../ipam/query/set-back.ts';
import { ALIVE } from '../../ipam/records/alive-record.ts';
import { RANGES } from '../../ipam/records/keys.ts';
import { newestRevision, type Entry } from '../../ipam/records/transaction.ts';
import { hiddenBy } from '../../ipam/records/unreadable.ts';
import { DEFAULT_PREFIX } from '../../ipam/settings/settings.ts';
import { rulesChanged } from '../../ipam/rules/rules.ts';
import { scanAll } from '../../ipam/store/store.ts';
import { carryRanges, carryUnits, rangesRevision, verify } from '../backup/carry.ts';
import type { Collision } from '../backup/collision.ts';
import { countGroups, parseBackup, type Backup, type BackupRecord } from '../backup/format.ts';
import { isOfLivingNodes } from '../backup/living.ts';
import { missingOf, type Missing } from '../backup/missing.ts';
import { planRestore, strangers, type RestorePlan } from '../backup/plan.ts';
import { readRecords } from '../backup/records.ts';
import { isRule } from '../backup/rules.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import type { OpenIpam } from '../context/world.ts';
import { plural } from '../render/plural.ts';
import { printable } from '../render/printable.ts';
import { ProgressLine } from '../render/progress.ts';
import { clusterUid } from './backup.ts';

export interface RestoreOptions {
  readonly merge?: boolean;
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/**
 * `restore`: writes a backup's keys where none exists, and never overwrites a key. A repeated
 * restore, also after an interruption, writes what is missing. Exit status 2 when a key was not
 * restored.
 * @throws CommandError when the prefix holds other keys, the backup is of another cluster or
 *   prefix, or pods have addresses that it lacks
 */
export async function restore(context: Context, file: string, options: RestoreOptions): Promise<number> {
  const saved = readBackup(context, file);
  await checkCluster(context, saved, file);
  return await context.withIpam(async (ipam) => {
    const present = await scanAll(ipam.store, '');
    const others = strangers(saved.records, present);
    if (others.length > 0 && !options.merge) throw occupied(context, others);
    const plan = planRestore(saved.records, present);
    for (const key of plan.unreadable)
      context.warn(`${key} cannot be read by this version: it is put back as it is`);
    const keys = keysOf(plan);
    if (keys > 0) await checkPods(context, ipam, plan, saved, present, options);
    if (options.dryRun || keys === 0) {
      report(context, {
        file,
        saved,
        plan,
        written: 0,
        collisions: plan.collisions,
        dryRun: options.dryRun ?? false,
      });
      return plan.collisions.length > 0 ? 2 : 0;
    }
    await context.confirm(
      `This writes ${plural(keys, 'key')} of ${saved.header.takenAt}`,
      options.yes ?? false,
    );
    const ranges = newestRevision(present.filter(({ key }) => key.startsWith(RANGES)));
    // Pods that are younger than the backup use addresses that it calls free.
    await tellSetBack(ipam, 'operator', `a backup of ${saved.header.takenAt} was restored`);
    const { written, collisions } = await write(context, ipam, plan, ranges);
    report(context, {
      file,
      saved,
      plan,
      written,
      collisions: [...plan.collisions, ...collisions],
      dryRun: false,
    });
    return plan.collisions.length + collisions.length > 0 ? 2 : 0;
  });
}

function readBackup(context: Context, file: string): Backup {
  const content = context.world.readFile(file);
  if (content === undefined) throw new CommandError(`backup '${file}' does not exist`);
  const saved = parseBackup(content, file);
  const prefix = context.settings.etcd?.prefix ?? DEFAULT_PREFIX;
  if (saved.header.etcdPrefix !== prefix) {
    throw new CommandError(
      `${file} is of etcd prefix '${saved.header.etcdPrefix}': expected '${prefix}'`,
      `Add --etcd-prefix ${saved.header.etcdPrefix}: a backup goes back to where it came from.`,
    );
  }
  const records = saved.records.filter(({ key }) => key.startsWith(RANGES));
  const ranges = [...readRecords(records).ranges.values()];
  for (const [i, range] of ranges.entries()) checkNoOverlap(range, ranges.slice(0, i));
  return saved;
}

async function checkCluster(context: Context, { header }: Backup, file: string): Promise<void> {
  const cluster = header.cluster === null ? null : await clusterUid(context);
  if (cluster === null || cluster === header.cluster) return;
  throw new CommandError(
    `${file} is of the cluster whose kube-system has UID ${header.cluster ?? ''}: expected ${cluster}`,
    'Name the kubeconfig of the cluster that the backup is of.',
  );
}

function occupied(context: Context, others: readonly string[]): CommandError {
  const groups = Object.entries(countGroups(others)).map(([group, n]) => `${n} in ${group}/`);
  const prefix = context.settings.etcd?.prefix ?? DEFAULT_PREFIX;
  return new CommandError(
    `${prefix}/v1/ holds ${plural(others.length, 'key')} that the backup has not, or has otherwise: ${groups.join(', ')}, the first ${printable(others[0] ?? '')}; nothing was restored`,
    'Add --merge to put back only what collides with nothing; --dry-run shows what that is.',
  );
}

/**
 * Looks for pods that got their addresses after the backup was taken. A living agent writes such
 * addresses back by itself. Refuses where none lives on the pod's node: once the other nodes have
 * stopped proving new addresses on the wire, the next pod would get the same address.
 * @throws CommandError that names such pods
 */
async function checkPods(
  context: Context,
  { store }: OpenIpam,
  plan: RestorePlan,
  saved: Backup,
  present: readonly Entry[],
  { force }: RestoreOptions,
): Promise<void> {
  if (!context.knowsKube) {
    context.warn(
      'no API server is known: nothing tells whether pods got addresses since the backup was taken',
    );
    return;
  }
  const missing = await missingAfter(context, plan, saved, present);
  const alive = (await scanAll(store, ALIVE)).map(({ key }) => key.slice(ALIVE.length));
  const living = new NodeDirectory(alive);
  const isWrittenBack = ({ pod }: Missing): boolean => living.find(pod.nodeName ?? '') !== undefined;
  const back = missing.filter(isWrittenBack);
  const open = missing.filter((each) => !isWrittenBack(each));
  if (back.length > 0)
    context.warn(`${youngerText(back)}; the agents of their nodes write them back, within a minute`);
  if (open.length === 0) return;
  if (force) context.warn(youngerText(open));
  else {
    throw new CommandError(
      `${youngerText(open)}, and no agent lives on their nodes to write them back; nothing was restored`,
      'Start the agents there, then do the same again. Or end these pods first, take a younger backup, or add --force and make the pods again at once.',
    );
  }
}

function youngerText(missing: readonly Missing[]): string {
  const named = missing.slice(0, 10).map(({ ip, pod }) => `${ip} (${pod.namespace}/${pod.name})`);
  const more = missing.length > 10 ? ` and ${missing.length - 10} more` : '';
  return `${plural(missing.length, 'running pod')} would have an address that etcd does not hold for it: ${named.join(', ')}${more}`;
}

async function missingAfter(
  context: Context,
  plan: RestorePlan,
  saved: Backup,
  present: readonly Entry[],
): Promise<readonly Missing[]> {
  const written = new Set(
    [...plan.units.flatMap(({ records }) => records), ...plan.ranges].map(({ key }) => key),
  );
  const after = [...present, ...saved.records.filter(({ key }) => written.has(key))];
  const { ranges, blocks, unreadable } = readRecords(after);
  const { pods } = await context.withKubeLists((kube) => kube.listPods());
  return missingOf(
    [...blocks.values()],
    pods,
    [...ranges.values()].map(({ cidr }) => cidr),
    hiddenBy(unreadable),
  );
}

const keysOf = ({ units, ranges }: RestorePlan): number =>
  units.reduce((sum, { records }) => sum + records.length, ranges.length);

/**
 * Writes ranges last. Before them, a whole restore reads every written key back.
 * @param seen revision of the ranges at planning; a range added since may overlap the restored ones
 * @throws CommandError
 */
async function write(
  context: Context,
  ipam: OpenIpam,
  plan: RestorePlan,
  seen: string,
): Promise<{ readonly written: number; readonly collisions: readonly Collision[] }> {
  const { store } = ipam;
  if ((await rangesRevision(store)) !== seen) {
    throw new CommandError(
      'a range was added, changed or removed since this looked; nothing was restored',
      'Do the same again.',
    );
  }
  const total = keysOf(plan);
  const line = new ProgressLine(context.world, context.paint);
  const carried = await carryUnits(store, plan.units, (keys) =>
    line.update('keys written', keys, total),
  ).finally(() => line.clear());
  const raced = new Set(carried.collisions.map(({ key }) => key));
  const placed: BackupRecord[] = plan.units
    .flatMap(({ records }) => records)
    // A living node may have written its own keys again by now.
    .filter(({ key }) => !raced.has(key) && !isOfLivingNodes(key));
  // In a prefix in use, nodes may use restored keys at once, so only the transactions' results
  // prove the write.
  const absent = plan.whole ? await verify(store, placed) : [];
  if (absent.length > 0) {
    throw new CommandError(
      `${plural(absent.length, 'key')} cannot be read back as written, the first ${absent[0] ?? ''}: the ranges were not put back`,
      'Somebody else writes below this prefix: stop it, and do the same again.',
    );
  }
  // Processes that have read rules read them again.
  if (plan.units.some(({ records }) => records.some(({ key }) => isRule(key)))) await rulesChanged(ipam);
  const last = await carryRanges(store, plan.ranges, seen);
  return { written: carried.written + last.written, collisions: [...carried.collisions, ...last.collisions] };
}

interface Outcome {
  readonly file: string;
  readonly saved: Backup;
  readonly plan: RestorePlan;
  readonly written: number;
  readonly collisions: readonly Collision[];
  readonly dryRun: boolean;
}

function report(context: Context, { file, saved, plan, written, collisions, dryRun }: Outcome): void {
  const { takenAt, revision, keys } = saved.header;
  const data = {
    file,
    takenAt,
    revision,
    keys,
    dryRun,
    toWrite: keysOf(plan),
    written,
    already: plan.already.length,
  };
  context.print({ ...data, collisions }, () => {
    const did = dryRun
      ? `${plural(keysOf(plan), 'key')} would be written`
      : `${plural(written, 'key')} written`;
    const lines = collisions.map(
      ({ key, detail }) => `not put back: ${printable(key)}: ${printable(detail)}\n`,
    );
    const end = collisions.length > 0 ? `, ${collisions.length} not put back` : '';
    return `${lines.join('')}backup of ${takenAt}: ${did}, ${plan.already.length} there already${end}\n`;
  });
}
