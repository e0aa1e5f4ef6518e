import { messageOf } from '../ipam/errors.ts';
import type { Call } from './call.ts';
import { OUR_IPAM } from './config.ts';
import { allocationDifferences, prevResultOf, throwProblems } from './check.ts';
import { CniError } from './errors.ts';
import { ipamResult } from './grant.ts';
import { grantOwn, lookupOwn, putOff, releaseOwn } from './ipam.ts';
import type { Parts } from './parts.ts';
import { finishOwnPending, finishPending } from './pending.ts';
import { recordOfAdd } from './record.ts';
import type { CniResult } from './result.ts';
import { UndoStack } from './undo.ts';

/** ADD of `cellnet-ipam` for another main plugin (CNI SPEC section 4 "Delegated plugins"): addresses, no interface. */
export async function ipamAdd(call: Call, parts: Parts): Promise<CniResult> {
  checkType(call);
  const undo = new UndoStack((what, error) => {
    parts.log.error('undo failed', { what, reason: messageOf(error) });
  });
  try {
    await finishOwnPending(call, parts);
    await finishPending(call, parts);
    const grant = await grantOwn(call, parts, undo);
    // So that a DEL whose `ipam` section was cut down to its type still finds etcd.
    parts.openState(call.settings.stateDir).saveAttachment(recordOfAdd(call, parts));
    return ipamResult(grant);
  } catch (error) {
    await undo.revert();
    throw error;
  }
}

/** DEL of `cellnet-ipam`: releases the addresses, or writes down durably that they are to be released (rule 4). */
export async function ipamDel(call: Call, parts: Parts): Promise<void> {
  const state = parts.openState(call.settings.stateDir);
  try {
    await releaseOwn(call, parts);
  } catch (error) {
    const { containerId, ifname } = call.request;
    const reason = messageOf(error);
    parts.log.warn('cannot be released now: put off', { containerId, ifname, reason });
    putOff(call, parts, false);
    state.removeAttachment(call.request);
    return;
  }
  state.removePending(call.request);
  state.removeAttachment(call.request);
  await finishPending(call, parts);
}

/** CHECK of `cellnet-ipam`: etcd holds for the attachment what the `prevResult` says. @throws CniError 105 */
export async function ipamCheck(call: Call, parts: Parts): Promise<void> {
  const previous = prevResultOf(call);
  const held = (await lookupOwn(call, parts))?.ips.map((ip) => ip.address) ?? [];
  if (held.length === 0) throwProblems(call, ['allocation in etcd: expected one, found none']);
  const known = (previous.ips ?? []).map((ip) => ip.address);
  throwProblems(call, allocationDifferences(held, known));
}

function checkType(call: Call): void {
  if (call.config.ipamType === OUR_IPAM) return;
  const found = call.config.ipamType === undefined ? 'missing' : `'${call.config.ipamType}'`;
  throw new CniError(
    'invalid-config',
    `network configuration: key 'ipam.type' is ${found}: expected '${OUR_IPAM}'`,
  );
}
