/** How a simulated cluster is built. */
export interface Setup {
  readonly machines: readonly string[];
  /** The arguments of `cnictl range add` for each range. */
  readonly ranges: readonly string[];
  /** `ipam.families` of the network configuration. */
  readonly families: readonly ('ipv4' | 'ipv6')[];
  /** Whether ADD probes for the addresses (`addressProbe`). */
  readonly probe: boolean;
  /** How many endpoints etcd has. */
  readonly endpoints: number;
  /** Keys in one page of a scan. */
  readonly pageSize: number;
}
