import { setTimeout as sleep } from 'node:timers/promises';
import {
  enableIpv6,
  hasIpv6,
  moveBaggage,
  readAcceptRa,
  readHostLink,
  readHostNetwork,
  writeAcceptRa,
} from '../../cni/netlink/host-network.ts';
import type { Link } from '../../cni/netlink/link-messages.ts';
import { CommandError } from '../context/errors.ts';
import type { UplinkHost, UplinkMove } from '../context/uplink-host.ts';
import { startGuard, undoHere } from './guard.ts';
import { BYTE_OF, lockMove, readMove } from './record.ts';

/** Longest wait for Open vSwitch to give the bridge's port its MAC, in milliseconds. */
const MAC_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 20;

/** @param folder of cnictl's bundle, which has the watchdog's beside it */
export const uplinkHostOf = (folder: string, stateDir: string): UplinkHost => ({
  readNetwork: readHostNetwork,
  leftMove: () => {
    const record = readMove(stateDir);
    if (!record) return undefined;
    const free = Object.values(BYTE_OF).every((byte) => {
      const unlock = lockMove(stateDir, byte);
      unlock?.();
      return unlock !== undefined;
    });
    return free ? { kind: 'cut-off', ...record } : { kind: 'under-way' };
  },
  undo: (move, rebooted) => undoHere(stateDir, move, rebooted),
  guard: (move, confirmMs) => startGuard(folder, stateDir, withAcceptRa(move), confirmMs),
  carry,
});

const withAcceptRa = (move: UplinkMove): UplinkMove => {
  const acceptRa = hasIpv6(move.baggage) ? readAcceptRa(move.uplink) : undefined;
  return { ...move, ...(acceptRa !== undefined && { acceptRa }) };
};

async function carry({ bridge, uplink, baggage }: UplinkMove): Promise<void> {
  const from = await readHostLink(uplink);
  if (!from) throw new CommandError(`the device ${uplink} is gone`);
  const to = await withMac(bridge, from.mac);
  if (hasIpv6(baggage)) {
    enableIpv6(bridge);
    // On the userspace datapath the uplink goes on hearing the router, and would take it all back.
    if (readAcceptRa(uplink) !== undefined) writeAcceptRa(uplink, 0);
  }
  await moveBaggage(baggage, from, to, uplink);
}

/** Waits until the bridge's port has the MAC: then neighbours need not learn another. */
async function withMac(bridge: string, mac: string): Promise<Link> {
  const until = performance.now() + MAC_WITHIN_MS;
  for (;;) {
    const link = await readHostLink(bridge);
    if (link?.mac === mac) return link;
    if (performance.now() > until)
      throw new CommandError(
        `the port ${bridge} has the MAC ${link?.mac ?? 'of no link'} after ${MAC_WITHIN_MS / 1000} s: expected ${mac}`,
      );
    await sleep(LOOK_EVERY_MS);
  }
}
