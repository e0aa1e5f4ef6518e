import { messageOf } from '../../ipam/model/errors.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { release } from '../../ipam/release/release.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { deleteLink, detachPort } from '../attach/interface-teardown.ts';
import { ETCD_DEADLINE_MS, withIpamAt } from '../platform/connections.ts';
import { isOurIpam, switchOf, type NodeRecords, type PendingTeardown } from '../platform/node-records.ts';
import type { Platform, Unlock } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { CniError } from '../protocol/errors.ts';

/** Longest time that an ADD or DEL spends on other attachments' teardowns, in milliseconds. */
const BUDGET_MS = 1_500;

/** What became of the teardowns that were put off. */
export interface DeferredOutcome {
  readonly done: number;
  /** Still to be finished: their servers do not answer, another call works on them, or the time was over. */
  readonly left: number;
}

/** Finishes one teardown: port and link first, then the addresses (rule 8), then its record. */
async function finish(
  entry: PendingTeardown,
  platform: Platform,
  state: NodeRecords,
  expiresAt: number,
): Promise<void> {
  if (entry.wire) {
    await detachPort(platform, switchOf(entry), entry);
    await deleteLink(platform, entry);
  }
  if (isOurIpam(entry)) {
    const { containerId, ifname } = entry;
    const request = {
      node: entry.node,
      attachment: { containerId, ifname },
      allocatedUntil: entry.until,
      cause: { why: 'put-off' },
    } as const;
    const work = (ipam: Ipam): Promise<string[]> => release(ipam, request);
    const released = await withIpamAt(platform, etcdSettings(entry.etcd), work, expiresAt);
    platform.log.info('carried out a teardown that was put off', { containerId, ifname, released });
  }
  state.removePending(entry);
}

/** Two with the same servers fail together. */
const serversOf = ({ etcd, ovsdb }: PendingTeardown): string => JSON.stringify([etcd, ovsdb]);

/**
 * Carries out what earlier calls put off, as far as it goes in a short time. What fails stays for the next call, and
 * does not keep others back that need other servers. One whose attachment another call works on is left to that call.
 * @throws CniError 5 where they cannot be listed
 */
export async function finishDeferred(
  { settings: { stateDir } }: { readonly settings: Pick<Call['settings'], 'stateDir'> },
  platform: Platform,
  budgetMs = BUDGET_MS,
): Promise<DeferredOutcome> {
  const state = platform.openState(stateDir);
  const expiresAt = platform.now() + budgetMs;
  const failed = new Set<string>();
  const listing = state.listPending();
  let done = 0;
  for (const listed of listing) {
    if (platform.now() >= expiresAt) break;
    if (failed.has(serversOf(listed))) continue;
    let unlock: Unlock | undefined;
    try {
      unlock = platform.tryLock(stateDir, listed);
      if (!unlock) continue;
      // As it is now: since the list was read another call may have finished it, and the attachment be alive again.
      const entry = state.readPending(listed);
      if (entry) await finish(entry, platform, state, expiresAt);
      done++;
    } catch (error) {
      failed.add(serversOf(listed));
      const { containerId, ifname } = listed;
      const reason = messageOf(error);
      platform.log.warn('a teardown stays put off', { containerId, ifname, reason });
    } finally {
      unlock?.();
    }
  }
  return { done, left: listing.length - done };
}

/**
 * An ADD for an attachment that is still to be torn down must not get the addresses of its former life: the teardown
 * would take them away later. So it is finished first.
 * @throws CniError 11 where that cannot be done now
 */
export async function finishOwnDeferred(call: Call, platform: Platform): Promise<void> {
  const state = platform.openState(call.settings.stateDir);
  const entry = state.readPending(call.request);
  if (!entry) return;
  try {
    await finish(entry, platform, state, platform.now() + ETCD_DEADLINE_MS);
  } catch (cause) {
    const reason = messageOf(cause);
    throw new CniError(
      'try-again-later',
      `an earlier DEL of ${entry.containerId}/${entry.ifname} is still to be finished: ${reason}`,
      'It is carried out as soon as etcd and Open vSwitch answer.',
      { cause },
    );
  }
}
