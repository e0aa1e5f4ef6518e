/** Addresses of other IPAM plugins, by delegation (CNI SPEC section 4 "Delegated plugins"). */
import type { Attachment } from '../../ipam/model/attachment.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { AddUndo } from '../attach/undo.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { CNI_CODES, CniError } from '../protocol/errors.ts';
import { grantOfDelegate, type Grant } from '../protocol/grant.ts';

/** The plugin of containernetworking-plugins that asks a DHCP server. */
const DHCP = 'dhcp';

/**
 * Runs the delegate with our environment and the whole configuration, and returns its output.
 * @throws CniError with the delegate's own code
 */
export function delegate(call: Call, platform: Platform, type: string, verb: string): Promise<string> {
  const { path } = call.request;
  return platform.deadlines.exclude(() => platform.runDelegate({ type, path, verb, stdin: call.stdin }));
}

/** Delegates the DEL of an attachment other than the call's, whose container is gone. */
export async function delegateDel(
  call: Call,
  platform: Platform,
  type: string,
  attachment: Attachment,
): Promise<void> {
  const { path } = call.request;
  const { deadlines } = platform;
  await deadlines.exclude(() =>
    platform.runDelegate({ type, path, verb: 'DEL', stdin: call.stdin, attachment }),
  );
}

/**
 * Gets the attachment's addresses from another IPAM plugin, which may use the pod's interface for
 * that. A DEL takes back what the plugin gave: while the interface is still there, because a DHCP
 * server hears of it over the interface. It follows a failed ADD too, once the interface is gone: a
 * DHCP daemon that still asks can then get no answer any more.
 * @throws CniError with the plugin's own code; 11 when no DHCP server answers
 */
export async function grantDelegated(
  call: Call,
  platform: Platform,
  type: string,
  undo: AddUndo,
): Promise<Grant> {
  const what = `addresses of IPAM plugin '${type}'`;
  const takenBack = (): Promise<void> => takeBack(call, platform, type);
  let reply: string;
  try {
    reply = await delegate(call, platform, type, 'ADD');
  } catch (error) {
    // A plugin that is not installed never ran and needs no DEL.
    if (!(error instanceof CniError && error.kind === 'invalid-config')) undo.addresses.push(what, takenBack);
    throw explained(type, error);
  }
  undo.setup.push(what, async () => {
    if (await withoutAddresses(call, platform)) await takenBack();
    else undo.addresses.push(what, takenBack);
  });
  return grantOfDelegate(type, reply);
}

/**
 * Has the plugin check its part. The plugin `dhcp` is not asked: version 1.1.1, which Debian 12
 * has, takes a second lease for each CHECK, and no DEL ends that (decision 36).
 * @throws CniError with the plugin's own code
 */
export async function checkDelegated(call: Call, platform: Platform, type: string): Promise<void> {
  if (type !== DHCP) await delegate(call, platform, type, 'CHECK');
}

/** `dhcp` has this one code for all that its daemon says: mostly that no server answers. */
function explained(type: string, error: unknown): unknown {
  if (type !== DHCP || !(error instanceof CniError) || error.code !== CNI_CODES.internal) return error;
  return new CniError(
    'try-again-later',
    error.message,
    'Look whether a DHCP server answers on the VLAN, and whether the daemon runs: `dhcp daemon`.',
    { cause: error },
  );
}

/**
 * Has the plugin take back what it gave to an ADD that failed, or was killed. A plugin that cannot
 * must not keep port and link in place: the runtime's DEL asks it again.
 */
export async function takeBack(call: Call, platform: Platform, type: string): Promise<void> {
  try {
    await delegate(call, platform, type, 'DEL');
  } catch (error) {
    const { containerId, ifname } = call.request;
    const reason = messageOf(error);
    platform.log.error('the IPAM plugin did not take its address back', {
      type,
      containerId,
      ifname,
      reason,
    });
  }
}

/**
 * Takes the addresses off the pod's end, so that another host may have them (rule 8). The namespace
 * must be the one that the node's record of the attachment names: another pod may be at its path.
 * @returns false when that is not so, or the kernel refuses
 */
export async function withoutAddresses(call: Call, platform: Platform): Promise<boolean> {
  const { containerId, ifname, netns } = call.request;
  const record = platform.openState(call.settings.stateDir).readAttachment(call.request);
  if (record?.netns === undefined || platform.namespaces.identify(netns) !== record.netns.id) return false;
  try {
    const kernel = await platform.openKernel();
    const namespace = kernel.openNamespace(netns);
    try {
      await kernel.clearAddresses(namespace, ifname);
      return true;
    } finally {
      namespace.close();
    }
  } catch (error) {
    const reason = messageOf(error);
    platform.log.warn('the pod keeps its addresses until its link is gone', { containerId, ifname, reason });
    return false;
  }
}
