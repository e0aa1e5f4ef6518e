/** Undoes the move of an uplink's addresses to its bridge. */
import { setTimeout as sleep } from 'node:timers/promises';
import { moveBaggage, readHostLink, writeAcceptRa } from '../../cni/netlink/host-network.ts';
import { restoreBridge } from '../../cni/ovsdb/bridge-before.ts';
import { OvsdbClient } from '../../cni/ovsdb/client.ts';
import { isServed } from '../../cni/ovsdb/liveness.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { Undone, UplinkMove } from '../context/uplink-host.ts';

/** Longest time for Open vSwitch to let the uplink go, in milliseconds. */
const SWITCH_WITHIN_MS = 10_000;
const AGAIN_AFTER_MS = 500;

/**
 * Takes the uplink off the bridge, then gives it back what it carried: in the bridge it could not
 * use it. Where Open vSwitch does not answer, the addresses go back all the same. A repeated call
 * changes nothing.
 * @param rebooted the kernel has forgotten the move: only Open vSwitch remembers it
 */
export async function undoMove(move: UplinkMove, rebooted: boolean): Promise<Undone> {
  const trouble = await restoreSwitch(move);
  if (rebooted) return trouble;
  try {
    await giveBack(move);
    return trouble;
  } catch (error) {
    return [...trouble, messageOf(error)];
  }
}

async function restoreSwitch(move: UplinkMove): Promise<string[]> {
  const until = performance.now() + SWITCH_WITHIN_MS;
  for (;;) {
    try {
      return await restoreSwitchOnce(move, until);
    } catch (error) {
      if (performance.now() + AGAIN_AFTER_MS > until) return [`Open vSwitch: ${messageOf(error)}`];
    }
    await sleep(AGAIN_AFTER_MS);
  }
}

async function restoreSwitchOnce(
  { bridge, uplink, ovsdb, before }: UplinkMove,
  until: number,
): Promise<string[]> {
  const client = await OvsdbClient.connect(ovsdb, { deadlineMs: Math.max(1, until - performance.now()) });
  try {
    const session = client.until(until);
    const isAsBefore = await restoreBridge(session, bridge, uplink, before);
    const left = isAsBefore ? [] : [`bridge ${bridge} stays: it has ports of others by now`];
    if (await isServed(session, Math.max(1, until - performance.now()))) return left;
    return [...left, 'ovs-vswitchd does not carry out changes: does it run?'];
  } finally {
    client.close();
  }
}

async function giveBack({ bridge, uplink, baggage, acceptRa }: UplinkMove): Promise<void> {
  const [from, to] = [await readHostLink(bridge), await readHostLink(uplink)];
  if (!to) throw new Error(`the device ${uplink} is gone`);
  await moveBaggage(baggage, from, to);
  if (acceptRa !== undefined) writeAcceptRa(uplink, acceptRa);
}
