/**
 * Where kept addresses are. A pod that is made again finds its own in a constant number of keys;
 * the slot in the block says whose it is, and a record that does not fit it counts as none.
 */
import * as v from 'valibot';
import {
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  sameAddress,
  type Address,
  type Cidr,
  type Family,
} from '../model/address.ts';
import { slotAddress, type Block, type Slot } from '../model/block.ts';
import { podInterfaceOf, type Keep, type PodInterface } from '../model/keep.ts';
import { decode, guarded, schemaVersion, SCHEMA_VERSION, text } from './codec.ts';
import { del, put, type Put, type Write } from './transaction.ts';

export const KEPT = 'kept/';

/** Names of Kubernetes have no character that this changes; what another runtime sends may. */
const part = (name: string): string => encodeURIComponent(name);

/** The address of a family that is kept for the pod, while it has it and afterwards. */
export const keptKey = ({ namespace, name, ifname }: PodInterface, family: Family): string =>
  `${KEPT}pod/${[namespace, name, ifname].map(part).join('/')}/${family}`;

/** Addresses of a family that any pod of the rule may have next. */
export const spareOf = (rule: string, family: Family): string => `${KEPT}rule/${rule}/${family}/`;

/** Returns the key under which a kept address is found. */
const keptKeyOf = (keep: Keep, pod: PodInterface, address: Address): string =>
  keep.anyPod
    ? `${spareOf(keep.rule, address.family)}${formatAddress(address)}`
    : keptKey(pod, address.family);

const keptRecord = v.looseObject({ v: schemaVersion, range: text, block: text, ip: text });

/** Where a kept address is. */
export interface KeptPlace {
  readonly range: string;
  readonly block: Cidr;
  readonly address: Address;
}

function putKept(key: string, { range, block, address }: KeptPlace): Put {
  const record: v.InferInput<typeof keptRecord> = {
    ...{ v: SCHEMA_VERSION, range },
    block: formatCidr(block),
    ip: formatAddress(address),
  };
  return put(key, JSON.stringify(record));
}

/** A block before and after a transaction; undefined: there is none. */
export interface BlockChange {
  readonly before: Block | undefined;
  readonly after: Block | undefined;
}

/**
 * Returns what a transaction writes to the keys of kept addresses: they follow from its blocks. The
 * key of a pod's name is there while the pod has the address and while it is kept, one for any pod
 * of a rule only while no pod has it.
 */
export function keptWrites(changes: Iterable<BlockChange>): Write[] {
  const gone = new Map<string, KeptPlace>();
  const come = new Map<string, KeptPlace>();
  for (const { before, after } of changes) {
    for (const [key, place] of keptIn(before)) gone.set(key, place);
    for (const [key, place] of keptIn(after)) come.set(key, place);
  }
  const isSame = (a: KeptPlace, b: KeptPlace | undefined): boolean =>
    b !== undefined && a.range === b.range && sameAddress(a.address, b.address);
  return [
    ...[...come]
      .filter(([key, place]) => !isSame(place, gone.get(key)))
      .map(([key, place]) => putKept(key, place)),
    ...[...gone.keys()].filter((key) => !come.has(key)).map(del),
  ];
}

/** Returns the keys of the block's kept addresses. */
export function* keptIn(block: Block | undefined): Iterable<[key: string, KeptPlace]> {
  if (!block) return;
  for (const [i, slot] of block.slots.entries()) {
    const pod = podOfSlot(slot);
    if (!pod || (slot.state !== 'kept' && slot.state !== 'used') || !slot.keep) continue;
    if (slot.state === 'used' && slot.keep.anyPod) continue;
    const address = slotAddress(block, i);
    yield [keptKeyOf(slot.keep, pod, address), { range: block.range, block: block.cidr, address }];
  }
}

function podOfSlot(slot: Slot): PodInterface | undefined {
  if (slot.state === 'kept') return slot.pod;
  return slot.state === 'used' ? podInterfaceOf(slot.owner) : undefined;
}

/** @throws IpamError `corrupt-record` */
export function decodeKept(key: string, value: string): KeptPlace {
  const { range, block, ip } = decode(keptRecord, key, value);
  return guarded(key, () => ({
    range,
    block: parseCidr(block, 'block'),
    address: parseAddress(ip, 'ip'),
  }));
}
