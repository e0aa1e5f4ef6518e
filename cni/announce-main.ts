import { parseAddress } from '../ipam/address.ts';
import { announce } from './netlink/announce.ts';
import { gratuitousArpFrame, unsolicitedNeighborAdvertisement } from './netlink/frames.ts';
import { openNamespace } from './netlink/netns.ts';
import type { LaterAnnouncement } from './parts.ts';

/**
 * Program `cellnet-announce`: sends an attachment's remaining announcements after the ADD has been answered, then ends.
 * Its one argument is a LaterAnnouncement as JSON, given by the plugin. A pod that is gone meanwhile ends it.
 */
async function main({ netns, ifname, mac, addresses, count, intervalMs }: LaterAnnouncement): Promise<void> {
  const frames = addresses.map((address) =>
    parseAddress(address).family === 4
      ? gratuitousArpFrame(mac, address)
      : unsolicitedNeighborAdvertisement(mac, address),
  );
  await new Promise((resolve) => setTimeout(resolve, intervalMs));
  const namespace = openNamespace(netns);
  try {
    await announce(namespace, ifname, frames, { count, intervalMs });
  } finally {
    namespace.close();
  }
}

void main(JSON.parse(process.argv[2] ?? '{}') as LaterAnnouncement);
