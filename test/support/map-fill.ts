/** Fills ranges with pods by writing their blocks as they are, as many as a test needs. */
import { formatCidr, offsetAddress, type Cidr } from '../../ipam/model/address.ts';
import { newBlock, takeSlot, type Block, type Slot } from '../../ipam/model/block.ts';
import { blockPrefixLength, blockTotal, type Range } from '../../ipam/model/range.ts';
import type { RangeUsage } from '../../ipam/query/range-usage.ts';
import { encodeBlock } from '../../ipam/records/block-record.ts';
import { blockKey, rangeKey } from '../../ipam/records/keys.ts';
import { encodeRange } from '../../ipam/records/range-record.ts';
import { put, type Write } from '../../ipam/records/transaction.ts';
import {
  encodeSample,
  HOUR_MS,
  KEPT_HOURS,
  sampleKey,
  type RangeSample,
} from '../../ipam/records/usage-record.ts';
import type { Store } from '../../ipam/store/store.ts';

export interface Filling {
  /** Part of the blocks that are claimed, from 0 to 1. */
  readonly claimed: number;
  /** Part of a claimed block's addresses that pods have. */
  readonly used: number;
  /** Number of the first block, over all ranges: it names nodes and pods. */
  readonly first: number;
  readonly nodes: number;
  readonly now: number;
  /** Also addresses that rest, are kept, and one that another host uses. */
  readonly variety?: boolean;
}

/** Returns the claimed blocks of a range. */
export function filledBlocks(range: Range, { claimed, used, first, nodes, now, variety }: Filling): Block[] {
  const count = Math.floor(Number(blockTotal(range)) * claimed);
  return Array.from({ length: count }, (_, i) => {
    const base = offsetAddress(range.cidr.base, BigInt(i * range.blockSize));
    const cidr: Cidr = { base, prefixLength: blockPrefixLength(range) };
    const number = first + i;
    // Some are fuller than others.
    const part = Math.min(1, used * (0.5 + ((number * 7) % 11) / 10));
    const most = Math.ceil(range.blockSize * part);
    const block = podsIn(
      newBlock(range, cidr, `node-${number % nodes}`, now - 86_400_000),
      most,
      number,
      now,
    );
    return variety ? varied(block, number, now) : block;
  });
}

function podsIn(empty: Block, most: number, number: number, now: number): Block {
  let block = empty;
  for (let index = 0; index < most; index++) {
    if (block.slots[index]?.state !== 'free') continue;
    const name = `${['web', 'api', 'cart', 'db'][number % 4] ?? 'web'}-${number}-${index}`;
    const owner = {
      ...{ containerId: `c${number}x${index}`, ifname: 'eth0', network: 'cell', bootId: 'boot-1' },
      ...{
        podNamespace: ['shop', 'pay', 'search'][number % 3] ?? 'shop',
        podName: name,
        podUid: `uid-${name}`,
      },
    };
    block = takeSlot(block, index, owner, now - 60_000 * (index + 1)).block;
  }
  return block;
}

function varied(block: Block, number: number, now: number): Block {
  const pod = { namespace: 'shop', name: `db-${number}`, ifname: 'eth0' };
  let sequence = block.sequence;
  const others: readonly Slot[] = [
    ...(number % 5 === 0
      ? [{ state: 'kept', pod, keep: { rule: 'db', since: now }, keptAt: now, sequence: ++sequence } as const]
      : []),
    ...(number % 3 === 0 ? [{ state: 'released', releasedAt: now, sequence: ++sequence } as const] : []),
    ...(number % 211 === 7
      ? [
          {
            state: 'released',
            releasedAt: now,
            sequence: ++sequence,
            conflictMac: '02:42:ac:11:00:07',
          } as const,
        ]
      : []),
  ];
  return others.reduce(
    (made, slot, i) => ({ ...made, sequence, slots: made.slots.with(3 + 4 * i, slot) }),
    block,
  );
}

/** etcd takes at most 128 operations in a transaction. */
const AT_ONCE = 100;

export async function writeRange(store: Store, range: Range, blocks: readonly Block[]): Promise<void> {
  const writes: Write[] = [
    put(rangeKey(range.name), encodeRange(range)),
    ...blocks.map((block) => put(blockKey(range.name, block.cidr), encodeBlock(block))),
  ];
  for (let i = 0; i < writes.length; i += AT_ONCE) await store.commit([], writes.slice(i, i + AT_ONCE));
}

/** Writes a week of hourly samples of ranges that have grown so many addresses a day until now. */
export async function writeGrowth(
  store: Store,
  usages: readonly RangeUsage[],
  now: number,
  perDay: (range: string) => number,
): Promise<void> {
  for (let ago = 0; ago < KEPT_HOURS; ago++) {
    const at = now - ago * HOUR_MS;
    const ranges = usages.map(({ range, allocated, kept, blocks }): [string, RangeSample] => {
      const grown = (perDay(range.name) * ago) / 24;
      const used = Math.max(0, Math.round(allocated - grown));
      const claimed = Math.max(0, Math.round(blocks.claimed - grown / range.blockSize));
      return [range.name, { cidr: formatCidr(range.cidr), used, kept, blocks: claimed }];
    });
    const sample = { at, ranges: new Map(ranges), rules: new Map(), namespaces: new Map() };
    await store.commit([], [put(sampleKey(at), encodeSample(sample))]);
  }
}
