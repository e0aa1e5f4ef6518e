import { messageOf } from '../../ipam/model/errors.ts';
import { delegate, releaseOwn } from '../address/ipam.ts';
import { deleteLink, detachPort } from '../attach/interface-teardown.ts';
import { deferTeardown } from '../deferred/defer.ts';
import { finishDeferred } from '../deferred/deferred.ts';
import type { Platform } from '../platform/platform.ts';
import { stepsOf } from '../platform/steps.ts';
import type { Call } from '../protocol/call.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';

/**
 * DEL (CNI SPEC section 4): port, link, addresses, record, in this order (rule 8). What is gone already counts as
 * done; what cannot be reached now (etcd, OVSDB) is written down durably and done later (rule 4), so that a pod's end never
 * waits for it. Needs no namespace: the host's end takes the pod's with it.
 */
export async function del(call: Call, platform: Platform): Promise<void> {
  const step = stepsOf(platform.onStep, 'DEL');
  const { containerId, ifname } = call.request;

  const portGone = await step('detach-port', () =>
    attempt(call, platform, () => detachPort(platform, call.settings, call.request)),
  );
  await step('delete-link', () => deleteLink(platform, call.request));
  const done = await step('release', async () => {
    const { ipamType } = call.config;
    if (ipamType !== undefined && ipamType !== OUR_IPAM) {
      await delegate(call, platform, ipamType, 'DEL');
      return portGone;
    }
    // A port that stays would still take the address's packets: then the address rests until it is gone.
    return portGone && (await attempt(call, platform, () => releaseOwn(call, platform)));
  });
  await step('forget', () => {
    const state = platform.openState(call.settings.stateDir);
    if (done) state.removePending(call.request);
    else deferTeardown(call, platform, !portGone);
    state.removeAttachment(call.request);
  });
  platform.log.info(done ? 'detached' : 'detached; the rest is put off', { containerId, ifname });
  if (done) await finishDeferred(call, platform);
}

/** Whether it was done; why not goes to the log, for the rest is done later. */
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
