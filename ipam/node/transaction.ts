import { tallyOf, type Block, type Tally } from '../model/block.ts';
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
 * What a change of a node's blocks compares: the index, every block, their ranges. So no other block was claimed or changed
 * meanwhile: without that two calls for one attachment could each find room in another block, and a burst on a fresh node
 * claim a block each. Nor is an address of a range given out that was set to draining meanwhile.
 */
function guardsOf(node: string, { blocks, rangeEntries, indexRevision }: NodeBlocks): Guard[] {
  return [
    { kind: 'nothing-newer', prefix: nodePrefix(node), revision: indexRevision },
    ...rangeEntries.map(unchanged),
    ...blocks.map(({ entry }) => unchanged(entry)),
  ];
}

/** A block that is claimed from a range, as the range was read: not draining, not removed. */
export interface Claim extends HeldBlock {
  readonly rangeEntry: Entry;
}

/**
 * Changes of what a node holds, worked out in memory one after the other, and written in one transaction.
 */
export class NodeTransaction {
  readonly #node: string;
  readonly #before: NodeBlocks;
  readonly #changed = new Map<string, Block>();
  readonly #claims = new Map<string, Claim>();
  readonly #returned = new Map<string, Block>();
  readonly #history: Put[] = [];
  /** It stands on what was read earlier and not looked at since: good for a write, which compares, but not for an answer. */
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

  /** Blocks that the changes so far claim, as they are then. */
  get claims(): readonly HeldBlock[] {
    return [...this.#claims.values()];
  }

  /** Nothing new is given out on the node. */
  get draining(): boolean {
    return this.#before.draining;
  }

  /** @param claim where the block is a new one */
  put(block: Block, claim?: Claim): void {
    const key = blockKey(block.range, block.cidr);
    const earlier = claim ?? this.#claims.get(key);
    if (earlier) this.#claims.set(key, { ...earlier, block });
    else this.#changed.set(key, block);
  }

  /** Gives a block back to its range; it was read with the others, and none of its addresses is given out. */
  giveBack(block: Block): void {
    this.#returned.set(blockKey(block.range, block.cidr), block);
  }

  /** What the changes end, for the history. */
  tell(record: Put): void {
    this.#history.push(record);
  }

  /** @throws IpamError `corrupt-record` where not all of the node's blocks could be looked at */
  checkWhole(): void {
    const [stray] = this.#before.strays;
    if (stray === undefined) return;
    throw new IpamError('corrupt-record', `etcd key '${stray}' is of a range that etcd does not hold`);
  }

  get isEmpty(): boolean {
    return this.#changed.size === 0 && this.#claims.size === 0 && this.#returned.size === 0;
  }

  /** What the changes give out and take back. */
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

  /** What the node holds after the transaction, which had that revision. */
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
