import { messageOf } from '../ipam/errors.ts';
import type { Call } from './call.ts';
import { OUR_IPAM } from './config.ts';
import { delegate, putOff, releaseOwn } from './ipam.ts';
import type { Parts } from './parts.ts';
import { finishPending } from './pending.ts';
import { stepsOf } from './steps.ts';
import { deleteLink, detachPort } from './wire.ts';

/**
 * DEL (CNI SPEC section 4): port, link, addresses, record, in this order (rule 8). What is gone already counts as
 * done; what cannot be reached now (etcd, OVSDB) is written down durably and done later (rule 4), so that a pod's end never
 * waits for it. Needs no namespace: the host's end takes the pod's with it.
 */
export async function del(call: Call, parts: Parts): Promise<void> {
  const step = stepsOf(parts.onStep, 'DEL');
  const { containerId, ifname } = call.request;

  const portGone = await step('detach-port', () =>
    attempt(call, parts, () => detachPort(parts, call.settings, call.request)),
  );
  await step('delete-link', () => deleteLink(parts, call.request));
  const done = await step('release', async () => {
    const { ipamType } = call.config;
    if (ipamType !== undefined && ipamType !== OUR_IPAM) {
      await delegate(call, parts, ipamType, 'DEL');
      return portGone;
    }
    // A port that stays would still take the address's packets: then the address rests until it is gone.
    return portGone && (await attempt(call, parts, () => releaseOwn(call, parts)));
  });
  await step('forget', () => {
    const state = parts.openState(call.settings.stateDir);
    if (done) state.removePending(call.request);
    else putOff(call, parts, !portGone);
    state.removeAttachment(call.request);
  });
  parts.log.info(done ? 'detached' : 'detached; the rest is put off', { containerId, ifname });
  if (done) await finishPending(call, parts);
}

/** Whether it was done; why not goes to the log, for the rest is done later. */
async function attempt(call: Call, parts: Parts, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    const reason = messageOf(error);
    const { containerId, ifname } = call.request;
    parts.log.warn('cannot be done now: put off', { containerId, ifname, reason });
    return false;
  }
}
