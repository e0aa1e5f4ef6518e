import { roomFor } from '../../ipam/allocate/room.ts';
import { checkWritable, keysOfNode } from '../../ipam/node/writable.ts';
import { delegate } from '../address/delegate.ts';
import { withIpam } from '../address/ipam.ts';
import { findStandstill, vswitchdAway } from '../attach/forwarding.ts';
import { mtuOf } from '../attach/plan.ts';
import { withSwitch } from '../platform/connections.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { OUR_IPAM } from '../protocol/config-schema.ts';
import { familiesOf } from '../protocol/config.ts';
import { CniError, toCniError, bridgeMissing } from '../protocol/errors.ts';
import { wantedFamilies } from '../protocol/requested.ts';

/**
 * STATUS (CNI SPEC 1.1.0 section 4): succeeds when an ADD could succeed now: etcd answers and takes
 * this node's writes, a range has room, the bridge exists or ADD would create it, ovs-vswitchd
 * carries out OVSDB's state, and the bridge forwards.
 * @throws CniError 51 when the bridge or ovs-vswitchd is missing, or the bridge forwards nothing,
 *   which cuts off running pods too; 50 for other failures; a delegated IPAM plugin's own code
 */
export async function status(call: Call, platform: Platform): Promise<void> {
  await orUnavailable(() => checkSwitch(call, platform));
  await ipamStatus(call, platform);
}

export async function ipamStatus(call: Call, platform: Platform): Promise<void> {
  const { ipamType } = call.config;
  if (ipamType !== undefined && ipamType !== OUR_IPAM) {
    await delegate(call, platform, ipamType, 'STATUS');
    return;
  }
  await orUnavailable(() => checkRoom(call, platform));
}

async function orUnavailable(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { kind, message, details } = toCniError(error);
    const isCut = kind === 'bridge-missing' || kind === 'not-available-limited';
    throw new CniError(isCut ? 'not-available-limited' : 'not-available', message, details, { cause: error });
  }
}

async function checkSwitch(call: Call, platform: Platform): Promise<void> {
  const { bridge, ovsdb } = call.settings;
  await withSwitch(platform, call.settings, async (ovs) => {
    const info = await ovs.inspectBridge(bridge);
    if (!info && !call.config.createBridge) throw bridgeMissing(bridge, ovsdb);
    if (info) mtuOf(call, info, wantedFamilies(call));
    const isServed = await ovs.isServed();
    const found = isServed ? info && (await findStandstill(ovs, bridge, info, ovsdb)) : vswitchdAway(ovsdb);
    if (found) throw new CniError('not-available-limited', found.why, found.remedy);
  });
}

async function checkRoom(call: Call, platform: Platform): Promise<void> {
  const ranges = call.config.ourIpam?.ranges;
  const { node } = call.settings;
  await withIpam(call, platform, async (ipam) => {
    await roomFor(ipam, { node, families: familiesOf(call.config.ourIpam), ...(ranges && { ranges }) });
    if (ipam.writes) await ipam.writes.check(node);
    else await checkWritable(ipam.store, keysOfNode(node));
  });
}
