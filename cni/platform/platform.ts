import type { Attachment } from '../../ipam/model/attachment.ts';
import type { Effects } from '../../ipam/model/effects.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { AddressProbe, Announcement } from '../protocol/config-schema.ts';
import type { CniRoute } from '../protocol/result.ts';
import type { SwitchAddress } from '../protocol/settings.ts';
import type { NodeRecords } from './node-records.ts';
import type { StepHook } from './steps.ts';

/**
 * Everything outside the process that a verb touches, as values that are passed in: so that a test can make any one
 * of them fail, and the agent can keep them warm.
 */
export interface Platform extends Pick<Effects, 'now' | 'yieldTurn'> {
  readonly hostname: string;
  /** Of this boot of the node (`/proc/sys/kernel/random/boot_id`). */
  readonly bootId: string;
  /** When this boot began, by the clock as it is now: milliseconds since 1970. */
  readonly bootedAt: () => number;
  readonly openIpam: (settings: EtcdSettings, expiresAt: number) => Promise<OpenIpam>;
  readonly openSwitch: (at: SwitchAddress, deadlineMs: number) => Promise<Switch>;
  readonly openKernel: () => Promise<Kernel>;
  readonly namespaces: Namespaces;
  readonly openState: (dir: string) => NodeRecords;
  /**
   * Waits for its turn at an attachment among all processes of the node: what one call has found must hold until it is done.
   * Gives it back at the end of the process at the latest.
   */
  readonly lock: (dir: string, attachment: Attachment) => Promise<Unlock>;
  /** As lock, but undefined where another call has it. */
  readonly tryLock: (dir: string, attachment: Attachment) => Unlock | undefined;
  readonly runDelegate: (call: DelegateCall) => Promise<string>;
  /** Whether other pods of the node are being attached by this process, so that what each asks of vswitchd is in the way of all. */
  readonly inBurst: () => boolean;
  /** Announces after the reply, beside this process. */
  readonly announceLater: (announcement: LaterAnnouncement) => void;
  readonly log: Log;
  /** Called before and after each step of a verb: tests make steps fail with it. */
  readonly onStep: StepHook;
  /** Told of each attachment that was cleared away without a DEL of its own. */
  readonly onCleared?: (cleared: Cleared) => void;
}

/** What was cleared away without a DEL. */
export interface Cleared {
  readonly reason: string;
  /** Addresses that were released. */
  readonly released: readonly string[];
  /** What was swept beside them. */
  readonly swept: readonly SweptKind[];
}

export type SweptKind = 'port' | 'link' | 'record';

/** Pods' namespaces, looked at from outside. */
export interface Namespaces {
  /** What tells it from any other of this boot while it lives; undefined where there is none at the path. */
  identify(path: string): string | undefined;
  /**
   * Whether the namespace that was at the path still lives. Who cannot look says `lives`.
   * @param thorough looks too whether a process lives in it, or it is mounted elsewhere: it may outlive its path
   */
  stateOf(path: string, id: string, thorough: boolean): 'lives' | 'gone';
}

export interface OpenIpam extends Ipam {
  close(): void;
}

export type LogFields = Readonly<Record<string, string | number | boolean | readonly string[]>>;

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
  /** Where it is not the call's own. */
  readonly attachment?: Attachment;
}

export interface LaterAnnouncement extends Announcement {
  readonly netns: string;
  readonly ifname: string;
  readonly mac: string;
  readonly addresses: readonly string[];
}

export type Unlock = () => void;

/** The kernel's side: links, namespaces, addresses. */
export interface Kernel {
  /** @throws NamespaceError `missing`, `not-a-namespace`, `io` */
  openNamespace(path: string): Namespace;
  isHostNamespace(namespace: Namespace): boolean;
  hostLink(name: string): Promise<HostLink | undefined>;
  /** Every link of the host's namespace. */
  hostLinks(): Promise<HostLink[]>;
  /** Without its mark yet. */
  createVeth(spec: VethSpec): Promise<HostEnd>;
  /** Only with our alias. `not-ours`: a link of that name carries another mark, and stays. */
  deleteLink(name: string, alias: string): Promise<'deleted' | 'absent' | 'not-ours'>;
  /** The settings of the pod's end, which must stand before it is up; again: changes nothing. */
  prepare(namespace: Namespace, spec: PodInterfaceSpec): PreparedInterface;
  /** Whether somebody uses one of the addresses already, asked from the pod's end, which is down again afterwards. */
  probe(
    namespace: Namespace,
    ifname: string,
    addresses: readonly string[],
    probe: AddressProbe,
  ): Promise<{ readonly address: string; readonly mac: string } | undefined>;
  /** Undefined where the namespace has no such interface. */
  inspect(namespace: Namespace, ifname: string): Promise<PodInterface | undefined>;
}

export interface Namespace {
  readonly path: string;
  close(): void;
}

/** The host's end of a veth that was made just now. */
export interface HostEnd {
  /** Marks it as ours by its alias. @returns what has become of it since */
  mark(): Promise<HostLink>;
}

export interface HostLink {
  readonly name: string;
  readonly alias: string;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** Whether a datapath has taken this very link: it asks for every frame then (IFLA_PROMISCUITY). */
  readonly taken: boolean;
  /** Up at the other end too: the pod's end is configured. */
  readonly carrier: boolean;
}

export interface VethSpec {
  readonly hostName: string;
  readonly alias: string;
  readonly podName: string;
  readonly namespace: Namespace;
  readonly mac: string;
  readonly mtu: number;
  /** While others are served, where this process can do that: the kernel takes half a millisecond. Else it is made at once. */
  readonly aside: boolean;
}

export interface PodInterfaceSpec {
  readonly ifname: string;
  /** In CIDR notation. */
  readonly addresses: readonly string[];
  readonly routes: readonly CniRoute[];
  readonly mac: string;
  /** The kernel announces the addresses. */
  readonly announce: boolean;
  /** False where the bridge's datapath would hand on packets whose checksum nobody filled in. */
  readonly checksumOffload: boolean;
}

/** The pod's end with its settings. */
export interface PreparedInterface {
  /** Gives it its addresses, sets it up, then its routes. @returns the routes less those that another interface of the pod leads to already */
  bringUp(): Promise<readonly CniRoute[]>;
  /** When the host's end is attached: resolves when the kernel lets packets through, or has not for a second; the addresses were announced then, if that is asked for. */
  announce(): Promise<void>;
}

export interface PodInterface {
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly string[];
  readonly routes: readonly CniRoute[];
  /** Whether another interface of the pod leads there. */
  readonly leadsElsewhere: (route: CniRoute) => boolean;
}

/** Open vSwitch's side. */
export interface Switch {
  /** Undefined where there is no such bridge. */
  inspectBridge(bridge: string): Promise<BridgeInfo | undefined>;
  /** Whether ovs-vswitchd carries out what the database says, within the time of a STATUS. */
  isServed(): Promise<boolean>;
  /** Makes the bridge where it is not there. @throws OvsdbError */
  createBridge(bridge: string, datapathType: 'system' | 'netdev'): Promise<void>;
  /** Resolves when the port forwards. @throws OvsdbError */
  addPort(port: PortSpec): Promise<void>;
  /** Only ours: by external_ids. */
  removePort(containerId: string, ifname: string): Promise<'removed' | 'absent'>;
  /** Our ports, of one attachment or all. */
  findPorts(containerId?: string, ifname?: string): Promise<PortInfo[]>;
  close(): void;
}

export interface BridgeInfo {
  /** The userspace datapath. */
  readonly userspace: boolean;
  /** Smallest MTU of its uplinks, bytes; undefined where it has none. */
  readonly uplinkMtu: number | undefined;
}

export interface PortSpec {
  readonly bridge: string;
  readonly name: string;
  /** Access VLAN; with trunks: the VLAN of untagged frames. */
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly ofportRequest: number | undefined;
  readonly externalIds: Readonly<Record<string, string>>;
}

export interface PortInfo {
  readonly name: string;
  readonly bridge: string | undefined;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly externalIds: Readonly<Record<string, string>>;
  readonly ofport: number | undefined;
  readonly error: string | undefined;
}
