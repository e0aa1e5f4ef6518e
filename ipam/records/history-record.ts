import * as v from 'valibot';
import {
  cidrContains,
  cidrSize,
  formatAddress,
  formatCidr,
  parseAddress,
  type Cidr,
} from '../model/address.ts';
import { releaseCount } from '../model/block-counts.ts';
import type { Block } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import { RELEASE_REASONS, type Lifetime, type ReleaseCause } from '../model/lifetime.ts';
import { blockAt, type Range } from '../model/range.ts';
import { decode, guarded, isoTime, SCHEMA_VERSION, schemaVersion, text, time } from './codec.ts';
import { HISTORY } from './keys.ts';
import { put, type Entry, type Put, type Write } from './transaction.ts';

/**
 * How many past lifetimes a block keeps for each of its addresses, counted together: a block of 16
 * keeps its newest 32, whichever addresses they belong to. docs/etcd-records.md gives the space.
 */
export const KEPT_PER_ADDRESS = 2;
/**
 * A range larger than this (a /16 or a /112) keeps no more history than one of this size: its
 * blocks share rings.
 */
const MOST_ADDRESSES = 65_536n;
/** etcd refuses transactions with more operations by default (`--max-txn-ops`). */
export const MAX_OPERATIONS = 128;

/** Returns how many past lifetimes a block of the range keeps. */
export const lifetimesKept = ({ blockSize }: Pick<Range, 'blockSize'>): number =>
  blockSize * KEPT_PER_ADDRESS;

export const historyOfRange = (range: string): string => `${HISTORY}${range}/`;

/** The fields of a range that determine the history keys of its blocks. */
type RingRange = Pick<Range, 'name' | 'cidr' | 'blockSize'>;

/** Returns the prefix of the keys that hold the lifetimes of a block's addresses. */
export function historyOfBlock({ name, cidr, blockSize }: RingRange, block: Cidr): string {
  const size = BigInt(blockSize);
  const number = (block.base.value - cidr.base.value) / size;
  const most = MOST_ADDRESSES / size;
  // The divisor is odd, because block numbers picked at random in a large range are multiples of a
  // power of two.
  const ring = cidrSize(cidr) <= MOST_ADDRESSES ? number : number % (most - 1n);
  const base = { ...block.base, value: cidr.base.value + ring * size };
  return `${historyOfRange(name)}${formatCidr({ base, prefixLength: block.prefixLength })}/`;
}

/** Returns the keys of a block's history: a ring, in the order in which releases overwrite it. */
export function historyKeys(range: RingRange, block: Cidr): string[] {
  const prefix = historyOfBlock(range, block);
  return Array.from({ length: lifetimesKept(range) }, (_, i) => `${prefix}${i}`);
}

/** Returns the range and the place in the ring of a history key. */
export function partsOfHistoryKey(key: string): { readonly range: string; readonly place: number } {
  const parts = key.split('/');
  return { range: parts[1] ?? '', place: Number(parts.at(-1)) };
}

const lifetimeRecord = v.looseObject({
  v: schemaVersion,
  ip: text,
  node: text,
  owner: v.looseObject({
    containerId: text,
    ifname: text,
    network: text,
    podNamespace: v.optional(text),
    podName: v.optional(text),
    podUid: v.optional(text),
  }),
  allocatedAt: time,
  releasedAt: time,
  why: v.picklist(RELEASE_REASONS),
  detail: v.optional(text),
  by: v.optional(text),
  conflictMac: v.optional(text),
});

/**
 * Returns the write that records a lifetime, for the transaction that ends it. It overwrites the
 * oldest record of the ring. It reads nothing: the place follows from the block's release count.
 * @param block as the release leaves it
 */
export function recordLifetime(range: RingRange, block: Block, lifetime: Lifetime): Put {
  const { address, node, owner, allocatedAt, releasedAt, cause } = lifetime;
  const { containerId, ifname, network, podNamespace, podName, podUid } = owner;
  const record: v.InferInput<typeof lifetimeRecord> = {
    v: SCHEMA_VERSION,
    ip: formatAddress(address),
    node,
    owner: { containerId, ifname, network, podNamespace, podName, podUid, ...owner.unknownFields },
    allocatedAt: isoTime(allocatedAt),
    releasedAt: isoTime(releasedAt),
    ...cause,
  };
  const place = (releaseCount(block) - 1 + lifetimesKept(range)) % lifetimesKept(range);
  return put(`${historyOfBlock(range, block.cidr)}${place}`, JSON.stringify(record));
}

/**
 * Returns the part of the history that fits in a transaction with `writes`: a release must not fail
 * because of its history. It drops records only if two have the same place (the newer stays) or
 * if the transaction would exceed etcd's limit (the last ones go).
 */
export function historyThatFits(history: readonly Put[], writes: readonly Write[]): Put[] {
  const byPlace = new Map(history.map((write) => [write.key, write]));
  return [...byPlace.values()].slice(0, Math.max(0, MAX_OPERATIONS - writes.length));
}

/**
 * Returns the sequence at which a newly claimed block starts, so that its first release overwrites
 * the oldest record that former holders left.
 * @param history entries of the block's history, with or without values; their revisions show which
 *   is the newest
 */
export function firstSequence(range: RingRange, history: readonly Entry[]): number {
  const kept = lifetimesKept(range);
  // Ignore a key outside the ring: a sequence derived from it would make the block unsound.
  const ring = history
    .map(({ key, revision }) => ({ place: partsOfHistoryKey(key).place, revision: BigInt(revision) }))
    .filter(({ place }) => Number.isInteger(place) && place >= 0 && place < kept);
  const newest = ring.reduce((max, { revision }) => (revision > max ? revision : max), 0n);
  const places = new Set(ring.filter(({ revision }) => revision === newest).map(({ place }) => place));
  const last = [...places].find((place) => !places.has((place + 1) % kept));
  return last === undefined ? 0 : 2 * (last + 1);
}

/** @throws IpamError `corrupt-record`, naming the key, the field and what was expected */
export function decodeLifetime(range: Range, key: string, value: string): Lifetime {
  const { owner, why, detail, by, conflictMac, ...record } = decode(lifetimeRecord, key, value);
  const address = guarded(key, () => parseAddress(record.ip, 'ip'));
  const own = cidrContains(range.cidr, address) ? historyKeys(range, blockAt(range, address)) : [];
  if (!own.includes(key)) {
    throw new IpamError(
      'corrupt-record',
      `etcd key '${key}' holds a lifetime of ${record.ip}, which is of another block`,
    );
  }
  const { podNamespace, podName, podUid, ...attachment } = owner;
  return {
    address,
    node: record.node,
    owner: {
      ...attachment,
      ...(podNamespace !== undefined && { podNamespace }),
      ...(podName !== undefined && { podName }),
      ...(podUid !== undefined && { podUid }),
    },
    allocatedAt: record.allocatedAt,
    releasedAt: record.releasedAt,
    cause: {
      ...guarded(key, () => causeOf(why, conflictMac)),
      ...(detail !== undefined && { detail }),
      ...(by !== undefined && { by }),
    },
  };
}

function causeOf(why: ReleaseCause['why'], conflictMac: string | undefined): ReleaseCause {
  if (why !== 'conflict') {
    if (conflictMac !== undefined) throw new Error(`key 'conflictMac' is there, and 'why' is "${why}"`);
    return { why };
  }
  if (conflictMac === undefined)
    throw new Error("key 'conflictMac' is missing: expected the MAC of the stranger");
  return { why, conflictMac };
}
