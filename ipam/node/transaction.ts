import { tallyOf, type Tally } from '../model/block-counts.ts';
import type { Block } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import { encodeBlock } from '../records/block-record.ts';
import { historyThatFits } from '../records/history-record.ts';
import { blockKey, nodeKey, nodePrefix } from '../records/keys.ts';
import { encodeNodeEntry } from '../records/node-record.ts';
import {
  absent,
  del,
  put,
  unchanged,
  type Change,
  type Entry,
  type Guard,
  type Put,
} from '../records/transaction.ts';
import type { HeldBlock, NodeBlocks } from './node-blocks.ts';

/**
 * Returns what a change of a node's blocks compares: the index, every block and their ranges.
 * Without the index and blocks, two calls for one attachment could each find room in another block,
 * and a burst of calls on a fresh node could each claim a block. Without the ranges, an address
 * could be allocated from a range that an operator has just set to draining.
 */
function guardsOf(node: string, { blocks, rangeEntries, indexRevision }: NodeBlocks): Guard[] {
  return [
    { kind: 'nothing-newer', prefix: nodePrefix(node), revision: indexRevision },
    ...rangeEntries.map(unchanged),
    ...blocks.map(({ entry }) => unchanged(entry)),
  ];
}

/** A block to claim, with its range as it was read: not draining and not removed. */
export interface Claim extends HeldBlock {
  readonly rangeEntry: Entry;
}

/** Changes of node blocks, applied in memory one by one and written in one transaction. */
export class NodeTransaction {
  readonly #node: string;
  readonly #before: NodeBlocks;
  readonly #changed = new Map<string, Block>();
  readonly #claims = new Map<string, Claim>();
  readonly #returned = new Map<string, Block>();
  readonly #history: Put[] = [];
  /**
   * True if the transaction builds on cached data. A write may rely on that, because etcd compares
   * the guards. An answer without a write may not.
   */
  readonly cached: boolean;

  constructor(node: string, before: NodeBlocks, cached: boolean) {
    this.#node = node;
    this.#before = before;
    this.cached = cached;
  }

  /** The node's blocks with the changes so far. */
  get blocks(): readonly HeldBlock[] {
    const held = this.#before.blocks.filter(({ entry }) => !this.#returned.has(entry.key));
    const now = held.map(({ block, range, entry }) => ({
      block: this.#changed.get(entry.key) ?? block,
      range,
    }));
    return [...now, ...this.#claims.values()];
  }

  /** Blocks that the changes so far claim, with the changes so far. */
  get claims(): readonly HeldBlock[] {
    return [...this.#claims.values()];
  }

  /** True if IPAM makes no new allocation on the node. */
  get draining(): boolean {
    return this.#before.draining;
  }

  /** @param claim given if the block is newly claimed */
  put(block: Block, claim?: Claim): void {
    const key = blockKey(block.range, block.cidr);
    const earlier = claim ?? this.#claims.get(key);
    if (earlier) this.#claims.set(key, { ...earlier, block });
    else this.#changed.set(key, block);
  }

  /** Returns a block to its range. The block was read with the others and has no used address. */
  giveBack(block: Block): void {
    this.#returned.set(blockKey(block.range, block.cidr), block);
  }

  /** Adds the record of an ended lifetime to the history. */
  tell(record: Put): void {
    this.#history.push(record);
  }

  /** @throws IpamError `corrupt-record` if the range of one of the blocks is missing in etcd */
  checkWhole(): void {
    const [stray] = this.#before.strays;
    if (stray === undefined) return;
    throw new IpamError('corrupt-record', `etcd key '${stray}' is of a range that etcd does not hold`);
  }

  get isEmpty(): boolean {
    return this.#changed.size === 0 && this.#claims.size === 0 && this.#returned.size === 0;
  }

  /** How many addresses the changes allocate and release. */
  get tally(): Tally {
    const before = new Map(this.#before.blocks.map(({ block, entry }) => [entry.key, block]));
    const after = [...this.#changed, ...[...this.#claims].map(([key, { block }]) => [key, block] as const)];
    const tallies = after.map(([key, block]) => tallyOf(before.get(key), block));
    return {
      given: tallies.reduce((sum, { given }) => sum + given, 0),
      released: tallies.reduce((sum, { released }) => sum + released, 0),
    };
  }

  /** What the transaction compares and writes. */
  get change(): Change {
    const claims = [...this.#claims];
    const rangeGuards = new Map(claims.map(([, { rangeEntry }]) => [rangeEntry.key, unchanged(rangeEntry)]));
    for (const { key } of this.#before.rangeEntries) rangeGuards.delete(key);
    const guards = [
      ...guardsOf(this.#node, this.#before),
      ...rangeGuards.values(),
      ...claims.flatMap(([key, { block }]) => [absent(key), absent(nodeKey(this.#node, block.cidr))]),
    ];
    const writes = [
      ...[...this.#returned].flatMap(([key, { cidr }]) => [del(key), del(nodeKey(this.#node, cidr))]),
      ...[...this.#changed].map(([key, block]) => put(key, encodeBlock(block))),
      ...claims.flatMap(([key, { block }]) => [
        put(key, encodeBlock(block)),
        put(nodeKey(this.#node, block.cidr), encodeNodeEntry(block)),
      ]),
    ];
    return { guards, writes: [...writes, ...historyThatFits(this.#history, writes)] };
  }

  /** Returns the node's blocks after the transaction that was committed at that revision. */
  after(revision: string): NodeBlocks {
    const { blocks, rangeEntries, indexRevision, strays, draining } = this.#before;
    const claimed = [...this.#claims].map(([key, { block, range }]) => ({
      block,
      range,
      entry: { key, revision },
    }));
    const newRanges = new Map(
      [...this.#claims.values()].map(({ rangeEntry }) => [rangeEntry.key, rangeEntry]),
    );
    for (const entry of rangeEntries) newRanges.set(entry.key, entry);
    return {
      blocks: [
        ...blocks
          .filter(({ entry }) => !this.#returned.has(entry.key))
          .map((read) => {
            const block = this.#changed.get(read.entry.key);
            return block ? { ...read, block, entry: { key: read.entry.key, revision } } : read;
          }),
        ...claimed,
      ],
      rangeEntries: [...newRanges.values()],
      indexRevision: claimed.length > 0 ? revision : indexRevision,
      strays,
      draining,
    };
  }
}
