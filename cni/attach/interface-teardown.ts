import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Platform, Switch, SwitchAddress } from '../platform/platform.ts';
import { CniError } from '../protocol/errors.ts';
import { hostLinkName, linkAlias } from '../protocol/identity.ts';

/** Longest wait for one answer of OVSDB or for vswitchd to take a port up, in milliseconds. */
export const SWITCH_DEADLINE_MS = 5_000;

/** Does something with Open vSwitch, and closes the connection. */
export async function withSwitch<T>(
  platform: Platform,
  at: SwitchAddress,
  work: (ovs: Switch) => Promise<T>,
): Promise<T> {
  const ovs = await platform.openSwitch(at, SWITCH_DEADLINE_MS);
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
export async function detachPort(
  platform: Platform,
  at: SwitchAddress,
  attachment: Attachment,
): Promise<void> {
  await withSwitch(platform, at, (ovs) => ovs.removePort(attachment.containerId, attachment.ifname));
}

/** Deletes our link, and the pod's end with it. Resolves when it is gone, also when there was none. */
export async function deleteLink(platform: Platform, attachment: Attachment): Promise<void> {
  const kernel = await platform.openKernel();
  const name = hostLinkName(attachment);
  const outcome = await kernel.deleteLink(name, linkAlias(attachment));
  if (outcome === 'not-ours')
    platform.log.warn('a link of our name carries another mark: left alone', { link: name });
}
