import { roomFor } from '../ipam/room.ts';
import type { Call } from './call.ts';
import { familiesOf, OUR_IPAM } from './config.ts';
import { CniError, toCniError } from './errors.ts';
import { delegate, withIpam } from './ipam.ts';
import type { Parts } from './parts.ts';
import { withSwitch } from './wire.ts';

/**
 * STATUS (CNI SPEC 1.1.0 section 4): succeeds when an ADD could be served now: etcd answers and some range has room,
 * Open vSwitch answers and has the bridge.
 * @throws CniError 50 saying why not
 */
export async function status(call: Call, parts: Parts): Promise<void> {
  await unlessAvailable(() => checkBridge(call, parts));
  await ipamStatus(call, parts);
}

export async function ipamStatus(call: Call, parts: Parts): Promise<void> {
  const { ipamType } = call.config;
  if (ipamType !== undefined && ipamType !== OUR_IPAM) {
    await delegate(call, parts, ipamType, 'STATUS');
    return;
  }
  await unlessAvailable(() => checkRoom(call, parts));
}

async function unlessAvailable(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { message, details } = toCniError(error);
    throw new CniError('not-available', message, details, { cause: error });
  }
}

async function checkBridge(call: Call, parts: Parts): Promise<void> {
  const { bridge, ovsdb } = call.settings;
  const info = await withSwitch(parts, ovsdb, (ovs) => ovs.inspectBridge(bridge));
  if (!info)
    throw new CniError('bridge-missing', `bridge '${bridge}' does not exist in Open vSwitch at ${ovsdb}`);
}

async function checkRoom(call: Call, parts: Parts): Promise<void> {
  const ranges = call.config.ourIpam?.ranges;
  await withIpam(call, parts, (ipam) =>
    roomFor(ipam, {
      node: call.settings.node,
      families: familiesOf(call.config.ourIpam),
      ...(ranges && { ranges }),
    }),
  );
}
