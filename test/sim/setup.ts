import { offsetAddress, parseCidr } from '../../ipam/model/address.ts';
import { newBlock } from '../../ipam/model/block.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import type { Range } from '../../ipam/model/range.ts';
import { encodeBlock } from '../../ipam/records/block-record.ts';
import { blockKey, nodeKey, rangeKey } from '../../ipam/records/keys.ts';
import { encodeNodeEntry } from '../../ipam/records/node-record.ts';
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
  /** Whether the first node holds more blocks than etcd compares keys in one transaction. */
  readonly crowded: boolean;
  /** Whether rules come and go. */
  readonly rules: boolean;
  /** Whether pods are made again under their names, and a rule keeps their addresses. */
  readonly keeps: boolean;
  /** Whether a rule gives pods blocks of their own. */
  readonly owns: boolean;
  /** Whether the operator changes exclusions and gateway of a range. */
  readonly edits: boolean;
  /** Whether it watches the cluster for minutes after the faults, also where nothing is amiss. */
  readonly patient: boolean;
  /** The share of the calls that reach the agent while it runs, 0 to 1. */
  readonly agentShare: number;
}

/** Returns the write that `cnictl range add` makes. */
export const rangeRecord = (range: RangeSetup): Put =>
  put(rangeKey(range.name), encodeRange(rangeFrom(range)));

const rangeFrom = ({ name, cidr, blockSize, cooldownSeconds }: RangeSetup): Range =>
  makeRange({ name, cidr: parseCidr(cidr), blockSize, cooldownMs: cooldownSeconds * 1_000 });

export const rangeAdd = ({ name, cidr, blockSize, cooldownSeconds }: RangeSetup): string =>
  `range add ${cidr} --name ${name} --block-size ${blockSize} --cooldown ${cooldownSeconds}s`;

/** More than etcd's limit of operations in one transaction, and than the store's own. */
const MANY = 130;

const MANY_RANGE: RangeSetup = { name: 'many', cidr: '10.8.0.0/21', blockSize: 4, cooldownSeconds: 0 };

/** Returns the ranges that the operator keeps in etcd. */
export const rangesOf = ({ ranges, crowded }: Setup): readonly RangeSetup[] =>
  crowded ? [...ranges, MANY_RANGE] : ranges;

/** Returns the writes that give the node `n1` many free blocks of a range of their own. */
export function manyBlocks(): Put[][] {
  const range = rangeFrom(MANY_RANGE);
  const { cidr } = range;
  return Array.from({ length: MANY }, (_, i) => {
    const base = offsetAddress(cidr.base, BigInt(4 * i));
    const block = newBlock(range, { base, prefixLength: 30 }, 'n1', 0);
    return [
      put(blockKey('many', block.cidr), encodeBlock(block)),
      put(nodeKey('n1', block.cidr), encodeNodeEntry(block)),
    ];
  });
}
