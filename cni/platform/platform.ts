import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Effects } from '../../ipam/model/effects.ts';
import type { Machine } from '../../ipam/model/machine.ts';
import type { Facts, FactSource } from '../../ipam/model/rule.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { AskedPod } from '../kube/facts.ts';
import type { AddressProbe, Announcement } from '../protocol/config-schema.ts';
import type { CniRoute } from '../protocol/result.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { Deadlines } from './deadlines.ts';
import type { NodeRecords } from './node-records.ts';
import type { StepHook } from './steps.ts';
import type { Switch } from './switch.ts';

/**
 * Everything outside the process that a verb touches, passed in as values. So a test can make any
 * of them fail, and the agent can keep connections open.
 */
export interface Platform extends Pick<Effects, 'now' | 'monotonic' | 'yieldTurn'> {
  /** How long the call waits for its servers. One platform serves one call or one reconcile. */
  readonly deadlines: Deadlines;
  readonly hostname: string;
  /** ID of this boot of the node (`/proc/sys/kernel/random/boot_id`). */
  readonly bootId: string;
  /** Returns when this boot began, by the current clock, in milliseconds since 1970. */
  readonly bootedAt: () => number;
  /** Returns what tells this machine from a clone of it; undefined when nothing does. */
  readonly machine: () => Machine | undefined;
  /**
   * @param expiresAt when all its work must be over, in milliseconds of the monotonic clock
   * @param callExpiresAt the same for an IPAM whose requests have a deadline of their own. Many
   *   processes that change one node's blocks at once lose races, and each race is another request
   */
  readonly openIpam: (settings: EtcdSettings, expiresAt: number, callExpiresAt: number) => Promise<OpenIpam>;
  /** @param expiresAt when all its work must be over, in milliseconds of the monotonic clock */
  readonly openSwitch: (at: SwitchAddress, expiresAt: number) => Promise<Switch>;
  readonly openKernel: () => Promise<Kernel>;
  readonly namespaces: Namespaces;
  readonly openState: (dir: string) => NodeRecords;
  /**
   * Waits for the attachment's lock, which all processes of the node share: what one call has found
   * must hold until that call is done. The kernel releases the lock when the process ends.
   * @param patienceMs longest wait; absent: longer than a call lasts
   */
  readonly lock: (dir: string, attachment: Attachment, patienceMs?: number) => Promise<Unlock>;
  /** Does the same as `lock`, but returns undefined when another call holds the lock. */
  readonly tryLock: (dir: string, attachment: Attachment) => Unlock | undefined;
  readonly runDelegate: (call: DelegateCall) => Promise<string>;
  /**
   * Asks Kubernetes about a pod of this node.
   * @param kubeconfig of the settings; absent: as the environment says
   * @throws IpamError `unknown-pod`
   */
  readonly podFacts: (
    kubeconfig: string | undefined,
    pod: AskedPod,
    sources: readonly FactSource[],
  ) => Promise<Facts>;
  /**
   * Returns true while this process attaches other pods too. Each request to vswitchd then delays
   * all of them.
   */
  readonly inBurst: () => boolean;
  /** Announces after the reply: in another process, or in the background of the agent. */
  readonly announceLater: (announcement: LaterAnnouncement) => void;
  readonly log: Log;
  /** Called before and after each step of a verb. Tests make steps fail; the agent times steps. */
  readonly onStep: StepHook;
  /** Called for each attachment that was cleared without a DEL of its own. */
  readonly onCleared?: (cleared: Cleared) => void;
}

/** What was cleared without a DEL. */
export interface Cleared {
  readonly reason: string;
  /** Addresses that were released. */
  readonly released: readonly string[];
  /** Kinds of objects that were removed as well. */
  readonly swept: readonly SweptKind[];
}

export type SweptKind = 'port' | 'link' | 'record';

/** Pods' namespaces, seen from outside. */
export interface Namespaces {
  /**
   * Returns an ID that no other living namespace of this boot has, or undefined when nothing can be
   * found at the path.
   */
  identify(path: string): string | undefined;
  /**
   * Returns whether the namespace that was at the path still lives. Returns `lives` when the
   * process cannot find out.
   * @param thorough also looks for processes in the namespace and for other mounts of it, since it
   *   may outlive its path
   */
  stateOf(path: string, id: string, thorough: boolean): 'lives' | 'gone';
}

export interface OpenIpam extends Ipam {
  /** Present where the process remembers how etcd answered its last writes. */
  readonly writes?: {
    /** @throws IpamError `store-…` when etcd does not take writes of this node */
    check(node: string): Promise<void>;
  };
  close(): void;
}

/** The keys of one log line. The log itself writes `level`, `time` and `msg`. */
export type LogFields = Readonly<Record<string, string | number | boolean | readonly string[]>> & {
  readonly [own in 'level' | 'time' | 'msg']?: never;
};

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export interface DelegateCall {
  readonly type: string;
  readonly path: readonly string[];
  readonly verb: string;
  readonly stdin: string;
  /** The attachment to pass to the plugin, if it is not that of the call itself. */
  readonly attachment?: Attachment;
}

export interface LaterAnnouncement extends Announcement {
  readonly netns: string;
  readonly ifname: string;
  readonly mac: string;
  readonly addresses: readonly string[];
}

export type Unlock = () => void;

/** Operations on the kernel: links, namespaces, addresses. */
export interface Kernel {
  /** @throws NamespaceError `missing`, `not-a-namespace`, `io` */
  openNamespace(path: string): Namespace;
  /** Makes an empty namespace that ends with `close`, or with this process. @throws NetlinkError */
  newNamespace(): Namespace;
  isHostNamespace(namespace: Namespace): boolean;
  hostLink(name: string): Promise<HostLink | undefined>;
  /** Returns every link of the host's namespace. */
  hostLinks(): Promise<HostLink[]>;
  /** Creates a veth. Its host's end has no mark yet: see `HostEnd.mark`. */
  createVeth(spec: VethSpec): Promise<HostEnd>;
  /**
   * Deletes a link with our alias, or a veth without any alias: its ADD was killed before it could
   * mark the link. Returns `not-ours` and leaves the link when it has another alias or kind.
   */
  deleteLink(name: string, alias: string): Promise<'deleted' | 'absent' | 'not-ours'>;
  /**
   * Writes the settings of the pod's end that must be in place before it is up. A repeated call
   * changes nothing.
   */
  prepare(namespace: Namespace, spec: PodInterfaceSpec): PreparedInterface;
  /**
   * Takes every address off the pod's end, so that it answers for none. Does nothing when the
   * namespace has no such interface.
   */
  clearAddresses(namespace: Namespace, ifname: string): Promise<void>;
  /**
   * Asks from the pod's end whether another host already uses one of the addresses. The pod's end
   * is down afterwards.
   * @returns the first address in use with its host's MAC, or undefined
   */
  probe(
    namespace: Namespace,
    ifname: string,
    addresses: readonly string[],
    probe: AddressProbe & { readonly usersOnly?: boolean },
  ): Promise<{ readonly address: string; readonly mac: string } | undefined>;
  /** Returns undefined when the namespace has no such interface. */
  inspect(namespace: Namespace, ifname: string): Promise<PodInterface | undefined>;
}

export interface Namespace {
  readonly path: string;
  close(): void;
}

/** The host's end of a veth that was created just now. */
export interface HostEnd {
  /** Marks the link as ours by its alias. @returns its state after that */
  mark(): Promise<HostLink>;
}

export interface HostLink {
  readonly name: string;
  readonly alias: string;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** True when a datapath has taken this very link and asks for every frame (IFLA_PROMISCUITY). */
  readonly taken: boolean;
  /** True when the other end is up too, which means that the pod's end is configured. */
  readonly carrier: boolean;
}

export interface VethSpec {
  readonly hostName: string;
  /** MAC of the host's end. */
  readonly hostMac: string;
  readonly alias: string;
  readonly podName: string;
  readonly namespace: Namespace;
  readonly mac: string;
  readonly mtu: number;
  /**
   * True lets the kernel create the link on another thread, so that this one serves other callers
   * meanwhile. A process without that ability creates it on this thread.
   */
  readonly aside: boolean;
}

export interface PodInterfaceSpec {
  readonly ifname: string;
  /** Addresses in CIDR notation. */
  readonly addresses: readonly string[];
  readonly routes: readonly CniRoute[];
  readonly mac: string;
  /** True makes the kernel announce the addresses. */
  readonly announce: boolean;
  /** False when the bridge's datapath would forward packets with incomplete checksums. */
  readonly checksumOffload: boolean;
}

/** The pod's end, with its settings written. */
export interface PreparedInterface {
  /**
   * Assigns the addresses, sets the end up, then adds its routes.
   * @returns the routes, except those that another interface of the pod already serves
   */
  bringUp(): Promise<readonly CniRoute[]>;
  /**
   * Called once the host's end is attached. Resolves when the kernel lets packets through, or after
   * a second without that. The kernel has announced the addresses by then, if `announce` is set.
   */
  announce(): Promise<void>;
}

export interface PodInterface {
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly string[];
  readonly routes: readonly CniRoute[];
  /** Returns true when another interface of the pod serves the route. */
  readonly leadsElsewhere: (route: CniRoute) => boolean;
}
