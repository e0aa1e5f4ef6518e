import { setTimeout as sleep } from 'node:timers/promises';
import { parseAddress } from '../../ipam/model/address.ts';
import { announce } from '../netlink/announce.ts';
import { gratuitousArpFrame, unsolicitedNeighborAdvertisement } from '../netlink/frames.ts';
import { openNamespace } from '../netlink/netns.ts';
import type { LaterAnnouncement } from '../platform/platform.ts';

/**
 * Sends an attachment's remaining announcements, the first after one interval.
 * @throws NamespaceError, NetlinkError, for example when the pod is gone by then
 */
export async function sendAnnouncements(announcement: LaterAnnouncement): Promise<void> {
  const { netns, ifname, mac, addresses, count, intervalMs } = announcement;
  const frames = addresses.map((address) =>
    parseAddress(address).family === 4
      ? gratuitousArpFrame(mac, address)
      : unsolicitedNeighborAdvertisement(mac, address),
  );
  await sleep(intervalMs);
  const namespace = openNamespace(netns);
  try {
    await announce(namespace, ifname, frames, { count, intervalMs });
  } finally {
    namespace.close();
  }
}
