import type { Attachment } from '../../ipam/model/attachment.ts';
import { withSwitch } from '../platform/connections.ts';
import type { Platform } from '../platform/platform.ts';
import { hostLinkName, linkAlias } from '../protocol/identity.ts';
import type { SwitchAddress } from '../protocol/settings.ts';

/**
 * Removes our port from the bridge. Resolves when the port is gone, also when there was none.
 * @throws OvsdbError
 */
export async function detachPort(
  platform: Platform,
  at: SwitchAddress,
  attachment: Attachment,
): Promise<void> {
  await withSwitch(platform, at, (ovs) => ovs.removePort(attachment.containerId, attachment.ifname));
}

/**
 * Deletes our link and with it the pod's end. Resolves when the link is gone, also when there was
 * none. Leaves a link with another mark alone.
 */
export async function deleteLink(platform: Platform, attachment: Attachment): Promise<void> {
  const kernel = await platform.openKernel();
  const name = hostLinkName(attachment);
  const outcome = await kernel.deleteLink(name, linkAlias(attachment));
  if (outcome === 'not-ours')
    platform.log.warn('a link of our name carries another mark: left alone', { link: name });
}
