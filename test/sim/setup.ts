import { parseCidr } from '../../ipam/model/address.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import { rangeKey } from '../../ipam/records/keys.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { put, type Put } from '../../ipam/records/transaction.ts';

export interface RangeSetup {
  readonly name: string;
  readonly cidr: string;
  readonly blockSize: number;
  readonly cooldownSeconds: number;
}

/** How a simulated cluster is built. */
export interface Setup {
  readonly machines: readonly string[];
  readonly ranges: readonly RangeSetup[];
  /** `ipam.families` of the network configuration. */
  readonly families: readonly ('ipv4' | 'ipv6')[];
  /** Whether ADD probes for the addresses (`addressProbe`). */
  readonly probe: boolean;
  /** How many endpoints etcd has. */
  readonly endpoints: number;
  /** Keys in one page of a scan. */
  readonly pageSize: number;
  /** Usual time of a message between a machine and etcd, in milliseconds. */
  readonly etcdLatencyMs: number;
  /** Whether machines run the agent before the end of the story. */
  readonly agents: boolean;
  /** Whether it watches the cluster for minutes after the faults, also where nothing is amiss. */
  readonly patient: boolean;
  /** The share of the calls that reach the agent while it runs, 0 to 1. */
  readonly agentShare: number;
}

/** Returns the write that `cnictl range add` makes. */
export function rangeRecord({ name, cidr, blockSize, cooldownSeconds }: RangeSetup): Put {
  const range = { name, cidr: parseCidr(cidr), blockSize, cooldownMs: cooldownSeconds * 1_000 };
  return put(rangeKey(name), encodeRange(makeRange(range)));
}

export const rangeAdd = ({ name, cidr, blockSize, cooldownSeconds }: RangeSetup): string =>
  `range add ${cidr} --name ${name} --block-size ${blockSize} --cooldown ${cooldownSeconds}s`;
