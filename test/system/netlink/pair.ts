import { createVeth, markLink, type VethOptions } from '../../../cni/netlink/links.ts';
import { openNamespace, type NetworkNamespace } from '../../../cni/netlink/netns.ts';
import {
  announcePodInterface,
  bringUpPodInterface,
  preparePodInterface,
  type PodInterfaceOptions,
} from '../../../cni/netlink/pod.ts';
import type { Route } from '../../../cni/netlink/route-messages.ts';
import { Rtnetlink } from '../../../cni/netlink/rtnetlink.ts';
import { newScope, scopedNamespace, uniqueLink, type Namespace, type Scope } from '../../support/netns.ts';

/** Two namespaces with the kernel's default IPv6 (on): one for the host, one for the pod. */
export interface Pair {
  readonly scope: Scope;
  readonly host: Namespace;
  readonly pod: Namespace;
  readonly podNamespace: NetworkNamespace;
  /** Opened in the host's namespace. */
  readonly socket: Rtnetlink;
  /** The options of createVeth for a pod's eth0. */
  readonly veth: VethOptions;
}

export const ALIAS = 'cellnet:a1b2c3/eth0';
export const MAC = '0a:58:0a:14:00:11';
export const HOST_MAC = 'fe:a1:b2:c3:d4:e5';

export const openScoped = (scope: Scope, path: string): NetworkNamespace => {
  const namespace = openNamespace(path);
  scope.defer(() => namespace.close());
  return namespace;
};

/** Returns a pair that lives as long as the test. */
export const makePair = async (t: Parameters<typeof newScope>[0]): Promise<Pair> => {
  const scope = newScope(t);
  const host = await scopedNamespace(scope, 'host', { ipv6: true });
  const pod = await scopedNamespace(scope, 'pod', { ipv6: true });
  const podNamespace = openScoped(scope, pod.path);
  const socket = Rtnetlink.open(openScoped(scope, host.path));
  scope.defer(() => socket.close());
  const hostName = uniqueLink('nl');
  const veth = {
    hostName,
    hostMac: HOST_MAC,
    peerName: 'eth0',
    peerNamespace: podNamespace,
    mac: MAC,
    mtu: 1400,
  };
  return { scope, host, pod, podNamespace, socket, veth };
};

/** Returns a pair with a created and marked veth. */
export const makeConnectedPair = async (t: Parameters<typeof newScope>[0]): Promise<Pair> => {
  const pair = await makePair(t);
  const { index } = await createVeth(pair.socket, pair.veth);
  await markLink(pair.socket, index, ALIAS);
  return pair;
};

/** Prepares the pod's interface, brings it up and announces it, in turn. */
export const configurePodInterface = async (
  namespace: NetworkNamespace,
  options: PodInterfaceOptions,
): Promise<{ readonly leftOut: readonly Route[] }> => {
  const link = preparePodInterface(namespace, options);
  const outcome = await bringUpPodInterface(namespace, link, options);
  await announcePodInterface(namespace, link, options);
  return outcome;
};
