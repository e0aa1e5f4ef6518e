import type { Attachment } from '../../ipam/model/attachment.ts';
import { OvsdbError } from '../ovsdb/errors.ts';
import { withSwitch } from '../platform/connections.ts';
import type { Platform } from '../platform/platform.ts';
import type { PortSpec } from '../platform/switch.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import { detachPort } from './interface-teardown.ts';

/**
 * Makes the port of an attachment, whose link exists. Resolves when the port forwards. A port of
 * the attachment that is in the way, because it is another than the wanted one, goes first.
 * @throws OvsdbError. The port may then be in the database all the same
 */
export async function attachPort(
  platform: Platform,
  at: SwitchAddress,
  attachment: Attachment,
  port: PortSpec,
): Promise<void> {
  try {
    await addPort(platform, at, port);
  } catch (error) {
    if (!(error instanceof OvsdbError) || error.code !== 'port-exists') throw error;
    // The database outlives a reboot: the port is ours from before, with another device.
    await detachPort(platform, at, attachment);
    await settle(platform, at);
    await addPort(platform, at, port);
  }
}

/** Adds the port. @throws OvsdbError */
export function addPort(platform: Platform, at: SwitchAddress, port: PortSpec): Promise<void> {
  return withSwitch(platform, at, (ovs) => ovs.addPort(port));
}

/** Waits at most two seconds until vswitchd has carried out the state of the database. */
export async function settle(platform: Platform, at: SwitchAddress): Promise<void> {
  await withSwitch(platform, at, (ovs) => ovs.isServed());
}
