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
  /** The pod's interface, as 'eth0'. */
  readonly peerName: string;
  readonly peerNamespace: NetworkNamespace;
  /** Of the pod's interface. */
  readonly mac: string;
  /** Of both ends, bytes. */
  readonly mtu: number;
}

type Attempt = Rtnetlink['attempt'];

/**
 * Makes a veth between the host and a pod: the pod's end in its namespace with its name, MAC and MTU, still down;
 * the host's end up, without IPv6 (its link-local chatter would be flooded to every pod), and without a mark: see markLink.
 * If a later step fails, the link is removed again.
 * Equivalent to: ip link add HOST mtu MTU up type veth peer name PEER address MAC mtu MTU netns NS;
 * sysctl -w net.ipv6.conf.HOST.disable_ipv6=1
 * @param attempt by what the kernel is asked, in the namespace of `host`
 * @returns the host's end, as it was then
 * @throws NetlinkError, EEXIST when the host's or the pod's name is taken: that link is left as it was
 */
export const createVeth = async (
  host: Rtnetlink,
  options: VethOptions,
  attempt: Attempt = (requests) => host.attempt(requests),
): Promise<Link> => {
  const { hostName, peerName, peerNamespace, mac, mtu } = options;
  const peer = { name: peerName, mac, mtu, namespaceFd: peerNamespace.fd };
  const [created, shown] = await attempt([
    addVeth({ name: hostName, mtu, up: true, peer }),
    showLink({ name: hostName }),
  ]);
  if (created.error) throw explainTaken(created.error, options, shown.error === undefined);
  try {
    if (shown.error) throw shown.error;
    // It has no carrier before the pod's end is up: until then the kernel gives it no link-local address.
    inNamespace(host.namespace, () => disableIpv6(hostName));
    return shown.answer;
  } catch (error) {
    const made = shown.error ? { name: hostName } : { index: shown.answer.index };
    await deleteLink(host, made).catch(() => undefined); // The first cause is what the caller needs.
    throw error;
  }
};

/**
 * Marks a link that was made just now, and tells what it has become. By index: sent together with a creation that is refused, the
 * alias would mark another's link.
 * Equivalent to: ip link set LINK alias ALIAS; ip link show LINK
 * @throws NetlinkError, ENODEV where it is gone
 */
export const markLink = async (socket: Rtnetlink, index: number, alias: string): Promise<Link> => {
  const [, link] = await socket.request([setLink({ index }, { alias }), showLink({ index })]);
  return link;
};

/** The kernel says EEXIST for the name of either end. */
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

/** Equivalent to: ip link show NAME */
export const getLink = async (socket: Rtnetlink, name: string): Promise<Link | undefined> => {
  const answers = await unlessGone(socket.request([showLink({ name })]));
  return answers?.[0];
};

/**
 * Every link of the socket's namespace, with its alias.
 * Equivalent to: ip link show
 * @throws NetlinkError, EINTR when the list kept changing while it was read: it would not be complete
 */
export const listLinks = async (socket: Rtnetlink): Promise<Link[]> => {
  const [links] = await socket.read([showLinks()]);
  return links;
};

export type Deletion = 'deleted' | 'absent';

/** 10-20 ms, all kernel, on this thread. Equivalent to: ip link delete LINK */
export const deleteLink = async (socket: Rtnetlink, link: LinkReference): Promise<Deletion> =>
  (await unlessGone(socket.request([removeLink(link)]))) === undefined ? 'absent' : 'deleted';

/**
 * As deleteLink, while this thread goes on: the kernel works on another one. For a process that serves several callers.
 * In the namespace of this thread. Resolves when the link is gone, and does not wait for its memory.
 * @throws NetlinkError
 */
export const deleteLinkAside = async (
  departures: Departures,
  link: { readonly index: number },
): Promise<Deletion> => {
  const { gone, cancel } = departures.of(link.index);
  try {
    const acknowledged = deleteOnAnotherThread(link);
    // Once the link is gone the kernel has nothing more to say of it.
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
 * Deletes a link only if it carries this alias. It is deleted by the index that was looked at, so a link that takes
 * the name meanwhile is safe.
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
