import { messageOf } from '../../ipam/model/errors.ts';
import { delegate, withoutAddresses } from '../address/delegate.ts';
import { releaseOwn } from '../address/ipam.ts';
import { deleteLink, detachPort } from '../attach/interface-teardown.ts';
import { deferTeardown } from '../deferred/defer.ts';
import { finishDeferred } from '../deferred/deferred.ts';
import type { Platform } from '../platform/platform.ts';
import { stepsOf } from '../platform/steps.ts';
import { delegateOf, type Call } from '../protocol/call.ts';

/**
 * DEL (CNI SPEC section 4): removes port, link, addresses and record, in this order (rule 8). An
 * object that is already gone counts as removed. When etcd or OVSDB fails, DEL defers the rest
 * durably to a later call (rule 4), so that the end of a pod never waits for it. DEL needs no
 * namespace: the kernel deletes the pod's end with the host's. Another IPAM plugin releases its
 * addresses first, if DEL can take them off the pod's end before (decision 36).
 */
export async function del(call: Call, platform: Platform): Promise<void> {
  const step = stepsOf(platform.onStep, 'DEL');
  const { containerId, ifname } = call.request;

  const theirs = delegateOf(call);
  // A failure must not keep port and link of a pod in place.
  const releaseTheirs = async (type: string): Promise<PromiseSettledResult<string>> => {
    const [outcome] = await Promise.allSettled([
      step('release', () => delegate(call, platform, type, 'DEL')),
    ]);
    return outcome;
  };
  const early =
    theirs !== undefined && (await withoutAddresses(call, platform))
      ? await releaseTheirs(theirs)
      : undefined;
  const portGone = await step('detach-port', () =>
    attempt(call, platform, () => detachPort(platform, call.settings, call.request)),
  );
  await step('delete-link', () => deleteLink(platform, call.request));
  const state = platform.openState(call.settings.stateDir);
  if (theirs !== undefined) {
    const outcome = early ?? (await releaseTheirs(theirs));
    if (outcome.status === 'rejected') throw outcome.reason;
  }
  const done =
    theirs === undefined
      ? await step('release', async () => {
          state.uncarry(call.request);
          // A remaining port still receives the packets of the address. The address stays allocated
          // until the port is gone.
          return portGone && (await attempt(call, platform, () => releaseOwn(call, platform)));
        })
      : portGone;
  await step('forget', () => {
    if (done) state.removePending(call.request);
    else deferTeardown(call, platform, !portGone);
    state.removeAttachment(call.request, theirs === undefined);
  });
  platform.log.info(done ? 'detached' : 'detached; the rest is put off', { containerId, ifname });
  if (done) await finishDeferred(call, platform);
}

/** Returns whether the work succeeded. Logs a failure, because a later call repeats the work. */
async function attempt(call: Call, platform: Platform, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const reason = messageOf(error);
    const { containerId, ifname } = call.request;
    platform.log.warn('cannot be done now: put off', { containerId, ifname, reason });
    return false;
  }
}
