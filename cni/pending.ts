import { messageOf } from '../ipam/errors.ts';
import { release } from '../ipam/allocator.ts';
import type { Call } from './call.ts';
import { OUR_IPAM } from './config.ts';
import { CniError } from './errors.ts';
import type { Parts, SwitchAddress, Unlock } from './parts.ts';
import type { NodeState, PendingTeardown } from './state/node-state.ts';
import { etcdSettings } from '../ipam/etcd/settings.ts';
import { deleteLink, detachPort } from './wire.ts';
import { ETCD_DEADLINE_MS } from './with-ipam.ts';

/** Longest time that an ADD or DEL spends on other attachments' teardowns, in milliseconds. */
const BUDGET_MS = 1_500;

/** What became of the teardowns that were put off. */
export interface PendingOutcome {
  readonly done: number;
  /** Still to be finished: their servers do not answer, another call works on them, or the time was over. */
  readonly left: number;
}

/** Finishes one teardown: port and link first, then the addresses (rule 8), then its record. */
async function finish(
  entry: PendingTeardown,
  parts: Parts,
  state: NodeState,
  expiresAt: number,
): Promise<void> {
  if (entry.wire) {
    await detachPort(parts, switchOf(entry), entry);
    await deleteLink(parts, entry);
  }
  if (entry.ipamType === undefined || entry.ipamType === OUR_IPAM) {
    const ipam = await parts.openIpam(etcdSettings(entry.etcd), expiresAt);
    try {
      const { containerId, ifname } = entry;
      const released = await release(ipam, {
        node: entry.node,
        attachment: { containerId, ifname },
        allocatedUntil: entry.until,
        cause: { why: 'put-off' },
      });
      parts.log.info('carried out a teardown that was put off', { containerId, ifname, released });
    } finally {
      ipam.close();
    }
  }
  state.removePending(entry);
}

function switchOf({ ovsdb, ovsdbTls = {} }: PendingTeardown): SwitchAddress {
  return { ovsdb, ovsdbTls };
}

/** Two with the same servers fail together. */
const serversOf = ({ etcd, ovsdb }: PendingTeardown): string => JSON.stringify([etcd, ovsdb]);

/**
 * Carries out what earlier calls put off, as far as it goes in a short time. What fails stays for the next call, and
 * does not keep others back that need other servers. One whose attachment another call works on is left to that call.
 * @throws CniError 5 where they cannot be listed
 */
export async function finishPending(
  { settings: { stateDir } }: { readonly settings: Pick<Call['settings'], 'stateDir'> },
  parts: Parts,
  budgetMs = BUDGET_MS,
): Promise<PendingOutcome> {
  const state = parts.openState(stateDir);
  const expiresAt = parts.now() + budgetMs;
  const failed = new Set<string>();
  const listing = state.listPending();
  let done = 0;
  for (const listed of listing) {
    if (parts.now() >= expiresAt) break;
    if (failed.has(serversOf(listed))) continue;
    let unlock: Unlock | undefined;
    try {
      unlock = parts.tryLock(stateDir, listed);
      if (!unlock) continue;
      // As it is now: since the list was read another call may have finished it, and the attachment be alive again.
      const entry = state.readPending(listed);
      if (entry) await finish(entry, parts, state, expiresAt);
      done++;
    } catch (error) {
      failed.add(serversOf(listed));
      const { containerId, ifname } = listed;
      const reason = messageOf(error);
      parts.log.warn('a teardown stays put off', { containerId, ifname, reason });
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
export async function finishOwnPending(call: Call, parts: Parts): Promise<void> {
  const state = parts.openState(call.settings.stateDir);
  const entry = state.readPending(call.request);
  if (!entry) return;
  try {
    await finish(entry, parts, state, parts.now() + ETCD_DEADLINE_MS);
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
