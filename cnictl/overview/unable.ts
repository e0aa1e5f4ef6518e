import { listNames } from '../../ipam/node/name-records.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import type { ReadVersions } from '../../ipam/records/agent-report.ts';
import type { Store } from '../../ipam/store/store.ts';
import { unreadFor } from './versions.ts';

const NAMED = 5;
const OLDEST: ReadVersions = { ranges: 1, blocks: 1, rules: 1 };

/**
 * Returns what to say before records are written that living agents cannot read, or do not say that
 * they read; undefined where all do, or this user may not look.
 * @throws IpamError `store-…`
 */
export async function unableText(
  store: Store,
  needed: Partial<ReadVersions>,
  what: string,
): Promise<string | undefined> {
  const names = await listNames(store).catch((error: unknown) => {
    if (error instanceof IpamError && error.code === 'store-denied') return new Map<string, never>();
    throw error;
  });
  const unable = [...names.values()]
    .filter(({ alive }) => alive && unreadFor(alive.record.agent, { ...OLDEST, ...needed }).length > 0)
    .map(({ node }) => node)
    .sort();
  if (unable.length === 0) return undefined;
  const more = unable.length > NAMED ? ` and ${unable.length - NAMED} more` : '';
  return `agents on ${unable.slice(0, NAMED).join(', ')}${more} cannot read ${what}, or do not say that they can: pods that it is for wait there until the agent is upgraded (docs/operations/upgrade.md)`;
}
