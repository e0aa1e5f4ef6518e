import type { Baggage, HostNetwork } from '../../cni/netlink/host-network.ts';
import type { BridgeBefore } from '../../cni/ovsdb/bridge-before.ts';

/** What a move of addresses from an uplink to its bridge has to be undone by. */
export interface UplinkMove {
  readonly bridge: string;
  readonly uplink: string;
  /** The database of Open vSwitch, `unix:…`. */
  readonly ovsdb: string;
  readonly baggage: Baggage;
  readonly before: BridgeBefore;
  /** net.ipv6.conf.UPLINK.accept_ra before. Undefined: the move leaves it alone. */
  readonly acceptRa?: number;
}

/** A move that an earlier run left behind. */
export type LeftMove =
  /** The process that made it, or its watchdog, is still at work. */
  | { readonly kind: 'under-way' }
  /** Both have been killed, or the machine has gone down, before it was confirmed or undone. */
  | {
      readonly kind: 'cut-off';
      readonly move: UplinkMove;
      /** Whether the machine has been started since. */
      readonly rebooted: boolean;
    };

/** What the undo could not do. Empty: all is as it was. */
export type Undone = readonly string[];

/** Stands by to undo a move when the process that makes it dies or does not confirm it. */
export interface UplinkGuard {
  /** Keeps the move. Returns false when it has been undone: the confirmation came too late. */
  confirm(): Promise<boolean>;
  undo(): Promise<Undone>;
}

/** The network of this host, as `node init` looks at it and changes it. */
export interface UplinkHost {
  /** @throws NetlinkError */
  readNetwork(): Promise<HostNetwork>;
  /** @throws CommandError when the record of a move cannot be read */
  leftMove(): LeftMove | undefined;
  /** Undoes a move that has no watchdog any more. */
  undo(move: UplinkMove, rebooted: boolean): Promise<Undone>;
  /**
   * Writes down how to undo the move, and starts the watchdog. From its return on the move may be
   * made. Nothing of it has been made before.
   * @param confirmMs the watchdog undoes what is not confirmed after this time and an allowance
   * @throws CommandError when the record cannot be written or the watchdog does not start
   */
  guard(move: UplinkMove, confirmMs: number): Promise<UplinkGuard>;
  /**
   * Moves what the uplink carries to the bridge's own port.
   * @throws NetlinkError
   */
  carry(move: UplinkMove): Promise<void>;
}
