import type { PortLimits } from '../protocol/limits.ts';
import type { PortMirror } from '../protocol/mirrors.ts';

/** Operations on Open vSwitch. */
export interface Switch {
  /** Returns undefined when the bridge does not exist. */
  inspectBridge(bridge: string): Promise<BridgeInfo | undefined>;
  /** Returns true when ovs-vswitchd carries out the database within the time of a STATUS. */
  isServed(): Promise<boolean>;
  /**
   * Returns what the bridge's flows do, `absent` when ovs-vswitchd has no such bridge, or undefined
   * when nobody can be asked. Missing where a platform has no way to ask.
   */
  readFlows?(bridge: string): Promise<BridgeFlows | 'absent' | undefined>;
  /**
   * Creates the bridge in fail mode `standalone`, or adjusts the settings of an existing one.
   * @throws OvsdbError
   */
  createBridge(bridge: string, datapathType: 'system' | 'netdev'): Promise<void>;
  /** Resolves when the port forwards. @throws OvsdbError */
  addPort(port: PortSpec): Promise<void>;
  /**
   * Gives a port of ours that is there the external_ids of the spec. Resolves when the bridge holds
   * the pod to its limits by them. @throws OvsdbError
   */
  markPort(port: PortSpec): Promise<void>;
  /** Removes only our ports, recognised by external_ids. */
  removePort(containerId: string, ifname: string): Promise<'removed' | 'absent'>;
  /** Returns our ports, of one attachment or of all. */
  findPorts(containerId?: string, ifname?: string): Promise<PortInfo[]>;
  close(): void;
}

export interface BridgeInfo {
  /** True for the userspace datapath. */
  readonly userspace: boolean;
  /** Smallest MTU of the bridge's uplinks in bytes. Undefined without an uplink. */
  readonly uplinkMtu: number | undefined;
  /** Present if there are uplinks, and none of them has a link. */
  readonly uplinkDown?: true;
  /** Present if ovs-vswitchd has not made the bridge's datapath. */
  readonly withoutDatapath?: true;
  /** Present if the bridge's fail mode is `secure`: it forwards only by the flows of others. */
  readonly secure?: true;
  /** Controllers of the bridge, if it has any. */
  readonly controllers?: readonly Controller[];
}

/** An OpenFlow controller, which decides what its bridge forwards. */
export interface Controller {
  readonly target: string;
  readonly connected: boolean;
}

/** The flows of a bridge. */
export interface BridgeFlows {
  readonly count: number;
  /** Whether a flow sends packets to a port, a group or another table. */
  readonly outputs: boolean;
  /** Whether a flow sends packets to a controller. */
  readonly toController: boolean;
}

export interface PortSpec {
  readonly bridge: string;
  readonly name: string;
  /** Access VLAN. With trunks: the VLAN of untagged frames. */
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly ofportRequest: number | undefined;
  readonly externalIds: Readonly<Record<string, string>>;
  /** Present: the bridge holds the pod to limits before it may send. */
  readonly limited?: LimitedPort;
  /** Its parts in mirrors of the bridge, by name. Absent: it has none. */
  readonly mirrors?: readonly PortMirror[];
}

export interface LimitedPort {
  readonly limits: PortLimits;
  /** The pod's own MAC. Its addresses are in the port's external_ids. */
  readonly mac: string;
}

export interface PortInfo {
  readonly name: string;
  readonly bridge: string | undefined;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly externalIds: Readonly<Record<string, string>>;
  readonly ofport: number | undefined;
  readonly error: string | undefined;
  /** As in {@link PortSpec}, as far as the mirrors are cellnet's. */
  readonly mirrors?: readonly PortMirror[];
}
