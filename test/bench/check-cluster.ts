/**
 * A big cluster whose objects are made on request: 550 ranges, 5,000 nodes and any number of pods.
 */
import { formatAddress, parseCidr, type Cidr } from '../../ipam/model/address.ts';
import { newBlock, slotAddress, type Block, type Slot } from '../../ipam/model/block.ts';
import { makeRange } from '../../ipam/model/new-range.ts';
import type { Range } from '../../ipam/model/range.ts';
import { pod, type KubeObject } from '../support/kube-api.ts';

export const RANGES = 550;
const NODES = 5_000;
const BLOCK_SIZE = 16;
/** One pod in this many no longer exists, so its address is leaked. */
const GONE_EVERY = 1_000;
const GIVEN_AT = Date.parse('2026-01-31T12:00:00Z');

export const nodeName = (n: number): string => `node-${String(n).padStart(4, '0')}`;
export const nodeNames = (): string[] => Array.from({ length: NODES }, (_, n) => nodeName(n));

const cidrOfRange = (n: number): string => `10.${n >> 6}.${(n & 63) * 4}.0/22`;

export const rangeOf = (n: number): Range =>
  makeRange({ name: `r${String(n).padStart(3, '0')}`, cidr: parseCidr(cidrOfRange(n)) });

export const blocksFor = (pods: number): number => Math.ceil(pods / BLOCK_SIZE);
export const goneOf = (pods: number): number => Math.ceil(pods / GONE_EVERY);

const serial = (i: number): string => String(i).padStart(12, '0');
const uidOf = (i: number): string => `00000000-0000-4000-8000-${serial(i)}`;
const nameOf = (i: number): string => `web-${serial(i)}`;

/**
 * Blocks are spread over the ranges in turn. The first block of each range is left out, because it
 * has reserved addresses.
 */
function cidrOfBlock(b: number): Cidr {
  const { base } = parseCidr(cidrOfRange(b % RANGES));
  const offset = BigInt((1 + Math.floor(b / RANGES)) * BLOCK_SIZE);
  return { base: { ...base, value: base.value + offset }, prefixLength: 28 };
}

/** Returns a block whose addresses all belong to pods, except those beyond the last pod. */
export function blockOf(b: number, range: Range, pods: number): Block {
  const empty = newBlock(range, cidrOfBlock(b), nodeName(b % NODES), GIVEN_AT);
  const slots = empty.slots.map((slot, n): Slot => {
    const i = b * BLOCK_SIZE + n;
    if (i >= pods) return slot;
    return {
      state: 'used',
      allocatedAt: GIVEN_AT + n,
      sequence: n + 1,
      owner: {
        containerId: `${serial(i)}${'c'.repeat(52)}`,
        ifname: 'eth0',
        network: 'cell',
        bootId: '11111111-1111-4111-8111-111111111111',
        podNamespace: `team-${i % 100}`,
        podName: nameOf(i),
        podUid: uidOf(i),
      },
    };
  });
  return { ...empty, sequence: slots.length, slots };
}

/**
 * Returns the k-th living pod: pods are numbered across blocks, and the leaked ones are skipped.
 */
export function podOf(k: number): KubeObject {
  const i = k + Math.floor(k / (GONE_EVERY - 1)) + 1;
  const b = Math.floor(i / BLOCK_SIZE);
  const address = slotAddress({ cidr: cidrOfBlock(b) } as Block, i % BLOCK_SIZE);
  return pod({
    namespace: `team-${i % 100}`,
    name: nameOf(i),
    uid: uidOf(i),
    node: nodeName(b % NODES),
    ip: formatAddress(address),
  });
}

export const livingOf = (pods: number): number => pods - goneOf(pods);
