import type { Attachment } from '../ipam/block.ts';
import { CniError } from './errors.ts';
import { hostLinkName, linkAlias } from './identity.ts';
import type { Parts, Switch, SwitchAddress } from './parts.ts';

/** Longest wait for one answer of OVSDB or for vswitchd to take a port up, in milliseconds. */
export const SWITCH_DEADLINE_MS = 5_000;

/** Does something with Open vSwitch, and closes the connection. */
export async function withSwitch<T>(
  parts: Parts,
  at: SwitchAddress,
  work: (ovs: Switch) => Promise<T>,
): Promise<T> {
  const ovs = await parts.openSwitch(at, SWITCH_DEADLINE_MS);
  try {
    return await work(ovs);
  } finally {
    ovs.close();
  }
}

export function bridgeMissing(bridge: string, ovsdb: string): CniError {
  return new CniError(
    'bridge-missing',
    `bridge '${bridge}' does not exist in Open vSwitch at ${ovsdb}`,
    `Make it: cnictl node init --bridge ${bridge} --uplink DEVICE; or set "createBridge": true.`,
  );
}

/** Takes our port off the bridge. Resolves when it is gone, also when there was none. @throws OvsdbError */
export async function detachPort(parts: Parts, at: SwitchAddress, attachment: Attachment): Promise<void> {
  await withSwitch(parts, at, (ovs) => ovs.removePort(attachment.containerId, attachment.ifname));
}

/** Deletes our link, and the pod's end with it. Resolves when it is gone, also when there was none. */
export async function deleteLink(parts: Parts, attachment: Attachment): Promise<void> {
  const kernel = await parts.openKernel();
  const name = hostLinkName(attachment);
  const outcome = await kernel.deleteLink(name, linkAlias(attachment));
  if (outcome === 'not-ours')
    parts.log.warn('a link of our name carries another mark: left alone', { link: name });
}
