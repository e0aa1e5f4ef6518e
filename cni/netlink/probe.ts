/**
 * Asks the network whether another host uses an address, before the pod does: RFC 5227 for IPv4,
 * RFC 4862 section 5.4 for IPv6.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { arpProbeFrame, conflictIn, neighborSolicitationProbe, type Conflict } from './frames.ts';
import { AF_PACKET, ETH_P_ALL, PACKET_OUTGOING, SOCK_NONBLOCK, SOCK_RAW } from './kernel.ts';
import {
  bindSocket,
  closeSocketAside,
  linkAddress,
  linkIndex,
  openSocket,
  receiveFrom,
  sendTo,
} from './libc.ts';
import { setLink } from './link-messages.ts';
import { inNamespace, type NetworkNamespace } from './netns.ts';
import { withRtnetlink } from './rtnetlink.ts';
import { disableIpv6 } from './sysctl.ts';

export interface ProbeOptions {
  /** Number of probes for each address, at least 1. RFC 5227: 3. */
  readonly count: number;
  /**
   * Milliseconds between rounds, and after the last one. RFC 5227 asks for 1,000 to 2,000, but pods
   * cannot wait that long.
   */
  readonly intervalMs: number;
  /** True leaves out hosts that only probe for the address too: they do not use it yet. */
  readonly usersOnly?: boolean;
}

/** Interval between reads of the received frames, in milliseconds. */
const LOOK_EVERY_MS = 5;
/** Frames are cut to this length, which is enough for ARP and neighbour discovery. */
const FRAME_BYTES = 128;

/**
 * Returns a locally administered MAC that only the probes use. The interface's own MAC follows from
 * the address, so a forgotten pod of the same address has the same MAC. Its answer would be lost:
 * switches do not send a frame back to the port where they last learnt the MAC.
 */
const probingMac = (): string => {
  const bytes = randomBytes(6);
  bytes[0] = 0x0a;
  bytes[1] = 0x5a;
  return bytes.toString('hex').replace(/..(?=.)/g, '$&:');
};

const probeFrame = (mac: string, address: string): Buffer =>
  address.includes(':') ? neighborSolicitationProbe(mac, address) : arpProbeFrame(mac, address);

/**
 * Probes for every address from the link, which has no address yet. The link is up during the probe
 * and down afterwards.
 * @returns the first conflict, as soon as a frame shows it; undefined when no host answers in time
 * @throws NetlinkError, NamespaceError
 */
export const probeAddresses = async (
  namespace: NetworkNamespace,
  link: string,
  addresses: readonly string[],
  options: ProbeOptions,
): Promise<Conflict | undefined> => {
  const operation = `probe on ${link}`;
  const { fd, index, silent } = inNamespace(namespace, () => {
    const ipv6Off = disableIpv6(link); // The link's own IPv6 traffic would disturb the probe.
    const socket = openSocket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0, operation);
    return { fd: socket, index: linkIndex(socket, link), silent: ipv6Off };
  });
  const named = { index, name: link };
  try {
    const quiet = silent ? [] : [setLink(named, { linkLocal: false })];
    await withRtnetlink(namespace, (socket) => socket.request([...quiet, setLink(named, { up: true })]));
    // Bound while the link is down, the socket would report ENETDOWN later.
    bindSocket(fd, linkAddress(index, ETH_P_ALL), operation);
    return await exchange(fd, index, addresses, options, operation);
  } finally {
    void closeSocketAside(fd);
    await withRtnetlink(namespace, (socket) => socket.request([setLink(named, { up: false })]));
  }
};

const exchange = async (
  fd: number,
  index: number,
  addresses: readonly string[],
  { count, intervalMs, usersOnly = false }: ProbeOptions,
  operation: string,
): Promise<Conflict | undefined> => {
  const mac = probingMac();
  const to = linkAddress(index);
  for (let round = 1; round <= count; round++) {
    for (const address of addresses) sendTo(fd, probeFrame(mac, address), to, operation);
    const until = performance.now() + intervalMs;
    while (performance.now() < until) {
      await sleep(LOOK_EVERY_MS);
      const conflict = hear(fd, addresses, mac, usersOnly, operation);
      if (conflict) return conflict;
    }
  }
  return undefined;
};

/** Reads the frames that have arrived, and returns the first conflict among them. */
const hear = (
  fd: number,
  addresses: readonly string[],
  mac: string,
  usersOnly: boolean,
  operation: string,
): Conflict | undefined => {
  for (;;) {
    const frame = receiveFrom(fd, FRAME_BYTES, operation);
    if (!frame) return undefined;
    // sll_pkttype of struct sockaddr_ll: the socket also receives frames that this host sent.
    if (frame.from[10] === PACKET_OUTGOING) continue;
    const conflict = conflictIn(frame.data, addresses, mac, usersOnly);
    if (conflict) return conflict;
  }
};
