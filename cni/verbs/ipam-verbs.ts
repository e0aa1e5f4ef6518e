import { messageOf } from '../../ipam/model/errors.ts';
import { grantOwn, lookupOwn, releaseOwn } from '../address/ipam.ts';
import { recordOfAdd } from '../attach/attachment-record.ts';
import { UndoStack } from '../attach/undo.ts';
import { deferTeardown } from '../deferred/defer.ts';
import { finishOwnDeferred, finishDeferred } from '../deferred/deferred.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import { CniError } from '../protocol/errors.ts';
import { ipamResult, type Grant } from '../protocol/grant.ts';
import type { CniResult } from '../protocol/result.ts';
import { UNDO_WITHIN_MS } from './add.ts';
import { missingFrom, prevResultOf, throwProblems } from './check.ts';

/**
 * ADD of `cellnet-ipam` for another main plugin (CNI SPEC section 4 "Delegated plugins"): allocates
 * addresses and sets up no interface.
 */
export async function ipamAdd(call: Call, platform: Platform): Promise<CniResult> {
  checkType(call);
  const undo = new UndoStack((what, error) => {
    platform.log.error('undo failed', { what, reason: messageOf(error) });
  });
  try {
    await finishOwnDeferred(call, platform);
    await finishDeferred(call, platform);
    const grant = await grantOwn(call, platform, undo);
    // The record lets a DEL find etcd when its `ipam` section is cut down to the type.
    const state = platform.openState(call.settings.stateDir);
    const record = recordOfAdd(call, platform, grant.allocations);
    state.noteBoot(platform.bootId);
    state.saveAttachment(record);
    undo.push('record', () => {
      state.removeAttachment(call.request);
      return Promise.resolve();
    });
    state.carry(record);
    if (grant.allocations.some(({ unproven }) => unproven)) warnUnproven(call, platform, grant);
    return ipamResult(grant);
  } catch (error) {
    platform.deadlines.extend(UNDO_WITHIN_MS);
    await undo.revert();
    throw error;
  }
}

/** DEL of `cellnet-ipam`: releases the addresses, or durably defers their release (rule 4). */
export async function ipamDel(call: Call, platform: Platform): Promise<void> {
  const state = platform.openState(call.settings.stateDir);
  state.uncarry(call.request);
  try {
    await releaseOwn(call, platform);
  } catch (error) {
    const { containerId, ifname } = call.request;
    const reason = messageOf(error);
    platform.log.warn('cannot be released now: put off', { containerId, ifname, reason });
    deferTeardown(call, platform, false);
    state.removeAttachment(call.request, true);
    return;
  }
  state.removePending(call.request);
  state.removeAttachment(call.request, true);
  await finishDeferred(call, platform);
}

/**
 * CHECK of `cellnet-ipam`: the `prevResult` lists every address that etcd holds for the attachment.
 * @throws CniError 105 for an address that is missing there, or when etcd holds none
 */
export async function ipamCheck(call: Call, platform: Platform): Promise<void> {
  const previous = prevResultOf(call);
  const held = (await lookupOwn(call, platform))?.ips.map((ip) => ip.address) ?? [];
  if (held.length === 0) throwProblems(call, ['allocation in etcd: expected one, found none']);
  const known = (previous.ips ?? []).map((ip) => ip.address);
  const missing = missingFrom(known, held);
  const found = known.join(', ') || 'none';
  throwProblems(
    call,
    missing.map((ip) => `address in prevResult: expected ${ip} as in etcd, found ${found}`),
  );
}

/** The other main plugin makes the interface later, so that nothing can be probed from it now. */
function warnUnproven({ request }: Call, platform: Platform, { ips }: Grant): void {
  platform.log.warn('etcd was set back a short while ago, and these addresses cannot be probed here', {
    containerId: request.containerId,
    ips: ips.map((ip) => ip.address),
  });
}

function checkType(call: Call): void {
  if (call.config.ipamType === OUR_IPAM) return;
  const found = call.config.ipamType === undefined ? 'missing' : `'${call.config.ipamType}'`;
  throw new CniError(
    'invalid-config',
    `network configuration: key 'ipam.type' is ${found}: expected '${OUR_IPAM}'`,
  );
}
