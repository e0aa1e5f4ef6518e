import { messageOf } from '../../ipam/model/errors.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { isOtherMachine } from '../../ipam/node/name-owner.ts';
import { release } from '../../ipam/release/release.ts';
import { etcdSettings } from '../../ipam/store/etcd/settings.ts';
import { deleteLink, detachPort } from '../attach/interface-teardown.ts';
import { etcdName, switchName, withIpamAt } from '../platform/connections.ts';
import {
  addressesOf,
  isOurIpam,
  switchOf,
  type NodeRecords,
  type PendingTeardown,
} from '../platform/node-records.ts';
import type { Platform, Unlock } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { CniError } from '../protocol/errors.ts';

/**
 * Longest time that one call spends on other attachments' teardowns, in milliseconds. A server that
 * needs longer still gets its own deadline for the call's own work.
 */
const BUDGET_MS = 1_500;

/** The outcome of a run over the deferred teardowns. */
export interface DeferredOutcome {
  readonly done: number;
  /** Teardowns whose servers do not answer, that another call works on, or that ran out of time. */
  readonly left: number;
}

/**
 * Finishes one teardown: port and link first, then the addresses (rule 8), then its record. The
 * attachment's own record is still there when its DEL got no turn.
 */
async function finish(entry: PendingTeardown, platform: Platform, state: NodeRecords): Promise<void> {
  const isRecorded = state.readAttachment(entry) !== undefined;
  if (entry.wire) {
    await detachPort(platform, switchOf(entry), entry);
    await deleteLink(platform, entry);
  }
  if (isRecorded) state.uncarry(entry);
  if (isOurIpam(entry)) {
    const { containerId, ifname } = entry;
    const addresses = addressesOf(entry);
    const request = {
      node: entry.node,
      attachment: { containerId, ifname },
      ...(addresses && { addresses }),
      allocatedUntil: entry.until,
      // The ADD's or DEL's own transaction may still be on its way.
      fencing: true,
      cause: { why: 'put-off' },
    } as const;
    const work = (ipam: Ipam): Promise<string[]> => release(ipam, request);
    const released = await withIpamAt(platform, etcdSettings(entry.etcd), work);
    platform.log.info('carried out a teardown that was put off', { containerId, ifname, released });
  }
  if (isRecorded) state.removeAttachment(entry, true);
  state.removePending(entry);
}

/** Identifies the servers of a teardown. Two teardowns with the same servers fail together. */
const serversOf = ({ etcd, ovsdb }: PendingTeardown): string => JSON.stringify([etcd, ovsdb]);

/** Whether a server of the teardown did not answer in this run. One such server is asked once. */
function waitsInVain({ deadlines }: Platform, entry: PendingTeardown): boolean {
  if (entry.wire && deadlines.isSilent(switchName(entry))) return true;
  return isOurIpam(entry) && deadlines.isSilent(etcdName(etcdSettings(entry.etcd)));
}

/**
 * Carries out the teardowns that earlier calls deferred, within a time budget. A teardown that
 * fails stays for the next call and does not block teardowns with other servers. A teardown whose
 * attachment another call has locked stays too.
 * @throws CniError 5 when the teardowns cannot be listed
 */
export async function finishDeferred(
  { settings: { stateDir } }: { readonly settings: Pick<Call['settings'], 'stateDir'> },
  whole: Platform,
  budgetMs = BUDGET_MS,
): Promise<DeferredOutcome> {
  const platform = { ...whole, deadlines: whole.deadlines.atMost(budgetMs) };
  const state = platform.openState(stateDir);
  const failed = new Set<string>();
  const listing = state.listPending();
  let done = 0;
  for (const listed of listing) {
    if (platform.deadlines.passed) break;
    if (failed.has(serversOf(listed)) || waitsInVain(platform, listed)) continue;
    let unlock: Unlock | undefined;
    try {
      unlock = platform.tryLock(stateDir, listed);
      if (!unlock) continue;
      // Read again under the lock: another call may have finished the teardown since the listing,
      // and the attachment may be alive again.
      const entry = state.readPending(listed);
      if (entry) await finish(entry, platform, state);
      done++;
    } catch (error) {
      failed.add(serversOf(listed));
      const { containerId, ifname } = listed;
      const reason = messageOf(error);
      // Reconcile and presence tell of a name that belongs to another machine; a line for each
      // teardown and minute would hide all else.
      if (!isOtherMachine(error))
        platform.log.warn('a teardown stays put off', { containerId, ifname, reason });
    } finally {
      unlock?.();
    }
  }
  return { done, left: listing.length - done };
}

/**
 * Finishes the deferred teardown of the ADD's own attachment. Without that, the ADD would get the
 * attachment's old addresses back, and the teardown would release them later.
 * @throws CniError 11 when the teardown fails; IpamError `other-machine`
 */
export async function finishOwnDeferred(call: Call, platform: Platform): Promise<void> {
  const state = platform.openState(call.settings.stateDir);
  const entry = state.readPending(call.request);
  if (!entry) return;
  try {
    await finish(entry, platform, state);
  } catch (cause) {
    if (isOtherMachine(cause)) throw cause;
    const reason = messageOf(cause);
    throw new CniError(
      'try-again-later',
      `an earlier DEL of ${entry.containerId}/${entry.ifname} is still to be finished: ${reason}`,
      'It is carried out as soon as etcd and Open vSwitch answer.',
      { cause },
    );
  }
}
