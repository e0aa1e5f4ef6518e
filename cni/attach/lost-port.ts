import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Platform } from '../platform/platform.ts';
import type { PortSpec } from '../platform/switch.ts';
import { CniError } from '../protocol/errors.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import { isSound } from './interface-setup.ts';
import { detachPort } from './interface-teardown.ts';
import { attachPort } from './port-attach.ts';

/**
 * Makes the port of a running pod again, as its ADD made it. The pod keeps its interface, whatever
 * becomes of the port.
 * @throws OvsdbError as `attachPort`; CniError 11 when vswitchd does not take the link: it may have
 *   kept an earlier device of that name, and forgets it without the port
 */
export async function attachLostPort(
  platform: Platform,
  at: SwitchAddress,
  attachment: Attachment,
  port: PortSpec,
): Promise<void> {
  await attachPort(platform, at, attachment, port);
  const link = await (await platform.openKernel()).hostLink(port.name);
  if (link && isSound(link)) return;
  await detachPort(platform, at, attachment);
  throw new CniError(
    'try-again-later',
    `ovs-vswitchd gave port '${port.name}' a number, but has not taken the link of that name`,
  );
}
