import { KubeError } from '../../cni/kube/errors.ts';
import { DEFAULT_PREFIX } from '../../ipam/settings/settings.ts';
import { VERSION } from '../../ipam/settings/version.ts';
import { scanAll } from '../../ipam/store/store.ts';
import { formatBackup } from '../backup/format.ts';
import { isKept } from '../backup/living.ts';
import { unreadableIn } from '../backup/records.ts';
import { clusterOf } from '../context/cluster.ts';
import type { Context } from '../context/context.ts';
import { CommandError } from '../context/errors.ts';
import { plural } from '../render/plural.ts';

/**
 * `backup`: writes every key below our prefix, except those of living agents, as of one revision to
 * one file with mode 0600.
 */
export async function backup(context: Context, file: string): Promise<number> {
  context.world.checkTarget(file);
  let revision = '';
  const all = await context.withIpam((ipam) =>
    scanAll(ipam.store, '', { onRevision: (told) => (revision = told) }),
  );
  const entries = all.filter(({ key }) => isKept(key));
  const broken = entries.find(({ key, value }) => `${key}${value}`.includes('\uFFFD'));
  if (broken) {
    throw new CommandError(
      `etcd key '${broken.key}' is no UTF-8 text, so it cannot be kept as it is: nothing was written`,
      'It is none of cellnet: move it away from below the prefix.',
    );
  }
  const unreadable = unreadableIn(entries);
  for (const { reason } of unreadable) context.warn(`kept as it is: ${reason}`);
  const records = entries.map(({ key, value }) => ({ key, value }));
  const { header, lines } = formatBackup(
    {
      etcdPrefix: context.settings.etcd?.prefix ?? DEFAULT_PREFIX,
      cluster: await clusterUid(context),
      revision,
      takenAt: new Date(context.world.now()).toISOString(),
      by: VERSION,
    },
    records,
  );
  context.world.writeFile(file, lines);
  context.print({ file, ...header, unreadable }, () => {
    const groups = Object.entries(header.counts).map(([group, n]) => `${n} in ${group}/`);
    return `${plural(header.keys, 'key')} of revision ${revision} written to ${file}${groups.length > 0 ? `: ${groups.join(', ')}` : ''}\n`;
  });
  return 0;
}

/**
 * Returns null when no API server is configured or answers, because that must not fail a backup.
 */
export async function clusterUid(context: Context): Promise<string | null> {
  if (!context.knowsKube) return null;
  try {
    return await context.withKube(clusterOf);
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    context.warn(`the cluster's identity is unknown: ${error.message}`);
    return null;
  }
}
