/** Asks the network whether anybody uses an address, before the pod does: RFC 5227 for IPv4, RFC 4862 section 5.4 for IPv6. */
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
  /** How often each address is asked for, at least 1. RFC 5227: 3. */
  readonly count: number;
  /** Milliseconds between rounds, and after the last one. RFC 5227: 1,000 to 2,000; pods cannot wait that long. */
  readonly intervalMs: number;
}

/** Received frames are looked at this often, in milliseconds. */
const LOOK_EVERY_MS = 5;
/** Enough of a frame for ARP and neighbour discovery. */
const FRAME_BYTES = 128;

/**
 * A MAC for the probes alone, locally administered. With the interface's own MAC, which follows from the address, a
 * forgotten pod of the same address would be missed: switches do not send a frame back to where they learnt its MAC last.
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
 * Probes for every address from the link, which has none yet: it is up meanwhile, and down afterwards.
 * @returns the first that somebody uses, as soon as he is heard; undefined when nobody answered in time
 * @throws NetlinkError, NamespaceError
 */
export const probeAddresses = async (
  namespace: NetworkNamespace,
  link: string,
  addresses: readonly string[],
  options: ProbeOptions,
): Promise<Conflict | undefined> => {
  const operation = `probe on ${link}`;
  const { fd, index } = inNamespace(namespace, () => {
    disableIpv6(link); // Its own chatter would only be in the way.
    const socket = openSocket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0, operation);
    return { fd: socket, index: linkIndex(socket, link) };
  });
  const named = { index, name: link };
  try {
    await withRtnetlink(namespace, (socket) => socket.request([setLink(named, { up: true })]));
    bindSocket(fd, linkAddress(index, ETH_P_ALL), operation); // On a link that is down it would report ENETDOWN later.
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
  { count, intervalMs }: ProbeOptions,
  operation: string,
): Promise<Conflict | undefined> => {
  const mac = probingMac();
  const to = linkAddress(index);
  for (let round = 1; round <= count; round++) {
    for (const address of addresses) sendTo(fd, probeFrame(mac, address), to, operation);
    const until = performance.now() + intervalMs;
    while (performance.now() < until) {
      await sleep(LOOK_EVERY_MS);
      const conflict = hear(fd, addresses, mac, operation);
      if (conflict) return conflict;
    }
  }
  return undefined;
};

/** Looks through what has arrived. */
const hear = (
  fd: number,
  addresses: readonly string[],
  mac: string,
  operation: string,
): Conflict | undefined => {
  for (;;) {
    const frame = receiveFrom(fd, FRAME_BYTES, operation);
    if (!frame) return undefined;
    // sll_pkttype of struct sockaddr_ll: what this host sent itself comes by as well.
    if (frame.from[10] === PACKET_OUTGOING) continue;
    const conflict = conflictIn(frame.data, addresses, mac);
    if (conflict) return conflict;
  }
};
