/** Links in the host's namespace: the node's ends of the pods' veths. */
import type { Departures } from './departures.ts';
import { NetlinkError, NotOurLinkError, unlessGone } from './errors.ts';
import {
  addVeth,
  describeLink,
  removeLink,
  setLink,
  showLink,
  showLinks,
  type Link,
  type LinkReference,
} from './link-messages.ts';
import { hostNamespace, inNamespace, type NetworkNamespace } from './netns.ts';
import { attemptAside, type Rtnetlink } from './rtnetlink.ts';
import { disableIpv6 } from './sysctl.ts';

export interface VethOptions {
  readonly hostName: string;
  /** Name of the pod's interface, for example 'eth0'. */
  readonly peerName: string;
  readonly peerNamespace: NetworkNamespace;
  /** MAC of the host's end. udev would replace one that the kernel chose. */
  readonly hostMac: string;
  /** MAC of the pod's interface. */
  readonly mac: string;
  /** MTU of both ends, in bytes. */
  readonly mtu: number;
}

type Attempt = Rtnetlink['attempt'];

/**
 * Creates a veth between the host and a pod. The pod's end is in the pod's namespace with its name,
 * MAC and MTU, still down. The host's end is up, without IPv6 (its link-local traffic would be
 * flooded to every pod) and without a mark: see markLink. If a later step fails, this function
 * removes the link again.
 * Equivalent to: ip link add HOST address MAC mtu MTU up
 *   type veth peer name PEER address MAC mtu MTU netns NS;
 * sysctl -w net.ipv6.conf.HOST.disable_ipv6=1
 * @param attempt sends the requests to the kernel, in the namespace of `host`
 * @returns the host's end right after its creation
 * @throws NetlinkError EEXIST when the host's or the pod's name is taken: that link stays unchanged
 */
export const createVeth = async (
  host: Rtnetlink,
  options: VethOptions,
  attempt: Attempt = (requests) => host.attempt(requests),
): Promise<Link> => {
  const { hostName, hostMac, peerName, peerNamespace, mac, mtu } = options;
  const peer = { name: peerName, mac, mtu, namespaceFd: peerNamespace.fd };
  const [created, shown] = await attempt([
    addVeth({ name: hostName, mac: hostMac, mtu, up: true, peer }),
    showLink({ name: hostName }),
  ]);
  if (created.error) throw explainTaken(created.error, options, shown.error === undefined);
  try {
    if (shown.error) throw shown.error;
    // The host's end has no carrier before the pod's end is up. Until then the kernel gives it no
    // link-local address.
    if (!inNamespace(host.namespace, () => disableIpv6(hostName)))
      await host.request([setLink({ index: shown.answer.index }, { linkLocal: false })]);
    return shown.answer;
  } catch (error) {
    const made = shown.error ? { name: hostName } : { index: shown.answer.index };
    // The caller needs the first cause.
    await deleteLink(host, made).catch(() => undefined);
    throw error;
  }
};

/**
 * Marks a link that was created just now and returns its current state. Marks it by index: an alias
 * that is sent together with a refused creation would mark another owner's link.
 * Equivalent to: ip link set LINK alias ALIAS; ip link show LINK
 * @throws NetlinkError ENODEV when the link is gone
 */
export const markLink = async (socket: Rtnetlink, index: number, alias: string): Promise<Link> => {
  const [, link] = await socket.request([setLink({ index }, { alias }), showLink({ index })]);
  return link;
};

/** The kernel reports EEXIST for the name of either end, so this function says which. */
const explainTaken = (
  error: NetlinkError,
  { hostName, peerName, peerNamespace }: VethOptions,
  hostNameExists: boolean,
): NetlinkError => {
  if (error.code !== 'EEXIST') return error;
  const explanation = hostNameExists
    ? `a link ${hostName} exists already`
    : `${peerNamespace.path} has a link ${peerName} already`;
  return new NetlinkError(error.errno, error.operation, { explanation, cause: error });
};

/** Returns undefined when no such link exists. Equivalent to: ip link show NAME */
export const getLink = async (socket: Rtnetlink, name: string): Promise<Link | undefined> => {
  const answers = await unlessGone(socket.request([showLink({ name })]));
  return answers?.[0];
};

/**
 * Returns every link of the socket's namespace, with its alias.
 * Equivalent to: ip link show
 * @throws NetlinkError EINTR when the list changed during every read and may be incomplete
 */
export const listLinks = async (socket: Rtnetlink): Promise<Link[]> => {
  const [links] = await socket.read([showLinks()]);
  return links;
};

export type Deletion = 'deleted' | 'absent';

/** Blocks this thread while the kernel works. Equivalent to: ip link delete LINK */
export const deleteLink = async (socket: Rtnetlink, link: LinkReference): Promise<Deletion> =>
  (await unlessGone(socket.request([removeLink(link)]))) === undefined ? 'absent' : 'deleted';

/**
 * Deletes a link of the host's namespace as deleteLink does, but the kernel works on another thread
 * while this one continues. For a process that serves several callers. Resolves when the link is
 * gone, without waiting for the kernel to free its memory.
 * @throws NetlinkError
 */
export const deleteLinkAside = async (
  departures: Departures,
  link: { readonly index: number },
): Promise<Deletion> => {
  const { gone, cancel } = departures.of(link.index);
  try {
    const acknowledged = deleteOnAnotherThread(link);
    // Once the link is gone, the race is decided: a late failure must not count as unhandled.
    acknowledged.catch(() => undefined);
    return await Promise.race([acknowledged, gone.then(() => 'deleted' as const)]);
  } finally {
    cancel();
  }
};

const deleteOnAnotherThread = async (link: LinkReference): Promise<Deletion> => {
  const [{ error }] = await attemptAside(hostNamespace(), [removeLink(link)]);
  if (error === undefined) return 'deleted';
  if (error.code === 'ENODEV') return 'absent';
  throw error;
};

/**
 * Deletes a link only if it carries this alias. This function deletes by the index that it looked
 * at, so a link that takes the name meanwhile is safe.
 * @throws NotOurLinkError when the alias is another or missing
 */
export const deleteOwnedLink = async (
  socket: Rtnetlink,
  name: string,
  alias: string,
  remove: (link: { readonly index: number }) => Promise<Deletion> = (link) => deleteLink(socket, link),
): Promise<Deletion> => {
  const link = await getLink(socket, name);
  if (link === undefined) return 'absent';
  if (link.alias !== alias) throw new NotOurLinkError(describeLink(link), link.alias, alias);
  return remove({ index: link.index });
};
