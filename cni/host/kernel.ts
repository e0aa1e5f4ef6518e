import { isDeepStrictEqual } from 'node:util';
import { formatAddress, parseAddressInSubnet } from '../../ipam/model/address.ts';
import { orLate } from '../../ipam/model/deadline.ts';
import { Departures } from '../netlink/departures.ts';
import { NotOurLinkError } from '../netlink/errors.ts';
import type { Link } from '../netlink/link-messages.ts';
import {
  createVeth,
  deleteLink,
  deleteLinkAside,
  deleteOwnedLink,
  getLink,
  listLinks,
  markLink,
  type Deletion,
} from '../netlink/links.ts';
import {
  hostNamespace,
  newNamespace,
  openNamespace,
  sameNamespace,
  NetworkNamespace,
} from '../netlink/netns.ts';
import {
  announcePodInterface,
  bringUpPodInterface,
  clearPodAddresses,
  preparePodInterface,
  readPodInterface,
} from '../netlink/pod.ts';
import { probeAddresses } from '../netlink/probe.ts';
import { isServedElsewhere } from '../netlink/route-judgement.ts';
import type { Route } from '../netlink/route-messages.ts';
import { attemptAside, Rtnetlink, withRtnetlink } from '../netlink/rtnetlink.ts';
import type { HostLink, Kernel, Namespace, PodInterface } from '../platform/platform.ts';
import { CniError } from '../protocol/errors.ts';
import type { CniRoute } from '../protocol/result.ts';
import { hostEffects } from './effects.ts';
import { Turns } from './turns.ts';

/** The kernel of this host. Opens a socket to the host's links for each use. */
export const hostKernel: Kernel = makeKernel(
  (use) => withRtnetlink(hostNamespace(), use),
  (socket, link) => deleteLink(socket, link),
);

/** The kernel makes a link in about a millisecond, and one at a time. */
const CREATION_LIMITS = { waitMs: 5_000, most: 500 };
/** The kernel deletes a link in 10 to 20 ms, and one at a time. */
const DELETION_LIMITS = { withinMs: 30_000, most: 500 };

let shared: Rtnetlink | undefined;
let departures: Departures | undefined;
/** Each request that waits inside the kernel would block a thread, so they wait here. */
const creations = new Turns(CREATION_LIMITS, hostEffects, (why) => kernelBusy('make a link', why));
let deletions = 0;

/**
 * Like {@link hostKernel}, for a process that serves several callers. Its socket to the host's
 * links stays open, and slow requests run on other threads.
 */
export const sharedKernel: Kernel = makeKernel(
  (use) => {
    if (!shared || shared.closed) shared = Rtnetlink.open(hostNamespace());
    return use(shared);
  },
  async (_, link) => {
    const { withinMs, most } = DELETION_LIMITS;
    if (deletions >= most) throw kernelBusy('delete a link', `${most} are under way already`);
    if (departures?.failed) departures.close();
    if (!departures || departures.failed) departures = new Departures();
    deletions++;
    const deleted = deleteLinkAside(departures, link).finally(() => deletions--);
    // The kernel cannot be interrupted, and may still delete the link after this.
    return await orLate(deleted, performance.now() + withinMs, hostEffects, () =>
      kernelBusy('delete a link', `not done within ${withinMs / 1000} s`),
    );
  },
  (requests) => creations.run(() => attemptAside(hostNamespace(), requests)),
);

function kernelBusy(what: string, why: string): CniError {
  return new CniError('try-again-later', `the kernel is busy with links of other pods: ${what}: ${why}`);
}

function makeKernel(
  onHost: <T>(use: (socket: Rtnetlink) => Promise<T>) => Promise<T>,
  remove: (socket: Rtnetlink, link: { readonly index: number }) => Promise<Deletion>,
  createAside?: Rtnetlink['attempt'],
): Kernel {
  return {
    openNamespace,
    newNamespace,
    isHostNamespace: (namespace) => sameNamespace(opened(namespace), hostNamespace()),
    hostLink: (name) =>
      onHost(async (socket) => {
        const link = await getLink(socket, name);
        return link && hostLinkOf(link);
      }),
    hostLinks: () => onHost(async (socket) => (await listLinks(socket)).map(hostLinkOf)),
    createVeth: (spec) =>
      onHost(async (socket) => {
        const { hostName, hostMac, podName: peerName, mac, mtu } = spec;
        const options = { hostName, hostMac, peerName, peerNamespace: opened(spec.namespace), mac, mtu };
        const { index } = await createVeth(socket, options, spec.aside ? createAside : undefined);
        return {
          mark: () => onHost(async (same) => hostLinkOf(await markLink(same, index, spec.alias))),
        };
      }),
    deleteLink: (name, alias) =>
      onHost(async (socket) => {
        try {
          return await deleteOwnedLink(socket, name, alias, (found) => remove(socket, found));
        } catch (error) {
          if (!(error instanceof NotOurLinkError)) throw error;
          const link = await getLink(socket, name);
          if (!link || !isUnmarked(link)) return link ? 'not-ours' : 'absent';
          return await remove(socket, { index: link.index });
        }
      }),
    prepare: (namespace, spec) => {
      const options = {
        name: spec.ifname,
        addresses: spec.addresses.map((text) => {
          const { address, prefixLength } = parseAddressInSubnet(text);
          return { address: formatAddress(address), prefixLength };
        }),
        routes: spec.routes.map(routeOf),
        mac: spec.mac,
        announce: spec.announce,
        checksumOffload: spec.checksumOffload,
      };
      const link = preparePodInterface(opened(namespace), options);
      return {
        bringUp: async () => {
          const { leftOut } = await bringUpPodInterface(opened(namespace), link, options);
          return spec.routes.filter(
            (route) => !leftOut.some((out) => isDeepStrictEqual(out, routeOf(route))),
          );
        },
        announce: () => announcePodInterface(opened(namespace), link, options),
      };
    },
    clearAddresses: (namespace, ifname) => clearPodAddresses(opened(namespace), ifname),
    probe: (namespace, ifname, addresses, probe) =>
      probeAddresses(opened(namespace), ifname, addresses, probe),
    inspect: async (namespace, ifname): Promise<PodInterface | undefined> => {
      const found = await readPodInterface(opened(namespace), ifname);
      if (!found) return undefined;
      return {
        mac: found.link.mac,
        mtu: found.link.mtu,
        up: found.link.up,
        addresses: found.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
        routes: found.routes.map(({ dst, gateway }) => ({ dst, gw: gateway })),
        leadsElsewhere: (route) =>
          found.routes.some((each) => isServedElsewhere(found.link, routeOf(route), each)),
      };
    },
  };
}

function routeOf({ gw, ...route }: CniRoute): Route {
  return { ...route, gateway: gw };
}

/** Throws TypeError for a namespace that `openNamespace` above did not return. */
function opened(namespace: Namespace): NetworkNamespace {
  if (namespace instanceof NetworkNamespace) return namespace;
  throw new TypeError(`namespace ${namespace.path} was not opened by this kernel`);
}

/** Whether the link is a veth without alias: its ADD was killed before it could mark the link. */
function isUnmarked(link: Link): boolean {
  return link.kind === 'veth' && (link.alias ?? '') === '';
}

function hostLinkOf({ name, alias, mac, mtu, up, carrier, promiscuity }: Link): HostLink {
  return { name, alias: alias ?? '', mac, mtu, up, carrier, taken: promiscuity > 0 };
}
