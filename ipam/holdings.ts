import {
  absent,
  del,
  newestRevision,
  put,
  scanAll,
  unchanged,
  type Entry,
  type Guard,
  type Put,
  type Store,
  type Version,
  type Write,
} from './store.ts';
import { tallyOf, type Block, type Tally } from './block.ts';
import { IpamError } from './errors.ts';
import { historyThatFits } from './lifetime-record.ts';
import { isDrainKey } from './node-drain.ts';
import type { Range } from './range.ts';
import {
  blockKey,
  checkBlock,
  decodeBlock,
  decodeNodeEntry,
  decodeRange,
  encodeBlock,
  encodeNodeEntry,
  nodeKey,
  nodePrefix,
  rangeKey,
  type NodeEntry,
} from './records.ts';

/** A block that a node holds, with its range. */
export interface HeldBlock {
  readonly block: Block;
  readonly range: Range;
}

/** As it was read: what a write of it must compare. */
export interface Holding extends HeldBlock {
  readonly entry: Version;
}

/** All that a node holds, as of one moment. */
export interface NodeHoldings {
  readonly holdings: readonly Holding[];
  /** The ranges of its blocks, as they were read. */
  readonly rangeEntries: readonly Entry[];
  /** Revision of the latest change of the node's index. */
  readonly indexRevision: string;
  /** Keys of the node's blocks whose range etcd does not hold: nothing can be said of them. */
  readonly strays: readonly string[];
  /** Nothing new is given out on the node. */
  readonly draining: boolean;
}

/**
 * What a change of a node's blocks compares: the index, every block, their ranges. So no other block was claimed or changed
 * meanwhile: without that two calls for one attachment could each find room in another block, and a burst on a fresh node
 * claim a block each. Nor is an address of a range given out that was set to draining meanwhile.
 */
function guardsOf(node: string, { holdings, rangeEntries, indexRevision }: NodeHoldings): Guard[] {
  return [
    { kind: 'nothing-newer', prefix: nodePrefix(node), revision: indexRevision },
    ...rangeEntries.map(unchanged),
    ...holdings.map(({ entry }) => unchanged(entry)),
  ];
}

/**
 * The node's blocks and their ranges: two round trips, and no other node's records (docs/architecture.md).
 * A block that is not where the index says is left out: its claim or return is under way, or `cnictl doctor` finds it.
 * @throws IpamError `corrupt-record`, `store-…`
 */
export async function readHoldings(store: Store, node: string): Promise<NodeHoldings> {
  const index = await scanAll(store, nodePrefix(node));
  const indexRevision = newestRevision(index);
  const entries = index
    .filter(({ key }) => !isDrainKey(key))
    .map((entry) => decodeNodeEntry(entry.key, entry.value));
  const draining = entries.length < index.length;
  return { ...(await readBlocks(store, node, entries)), indexRevision, draining };
}

async function readBlocks(
  store: Store,
  node: string,
  index: readonly NodeEntry[],
): Promise<Omit<NodeHoldings, 'indexRevision' | 'draining'>> {
  if (index.length === 0) return { holdings: [], rangeEntries: [], strays: [] };
  const names = [...new Set(index.map((each) => each.range))];
  const entries = await store.get([
    ...names.map(rangeKey),
    ...index.map((each) => blockKey(each.range, each.cidr)),
  ]);
  const rangeEntries = entries.slice(0, names.length).filter((entry) => entry !== undefined);
  const ranges = new Map(
    rangeEntries.map((entry) => {
      const range = decodeRange(entry.key, entry.value);
      return [range.name, range] as const;
    }),
  );
  const strays: string[] = [];
  const holdings = entries.slice(names.length).flatMap((entry) => {
    if (!entry) return [];
    const block = decodeBlock(entry.key, entry.value);
    const range = ranges.get(block.range);
    if (block.node !== node) return [];
    if (!range) {
      strays.push(entry.key);
      return [];
    }
    checkBlock(entry.key, block, range);
    return [{ block, range, entry: { key: entry.key, revision: entry.revision } }];
  });
  return { holdings, rangeEntries, strays };
}

/** What a transaction compares and writes. */
export interface Change {
  readonly guards: readonly Guard[];
  readonly writes: readonly Write[];
}

/** A block that is claimed from a range, as the range was read: not draining, not removed. */
export interface Claim extends HeldBlock {
  readonly rangeEntry: Entry;
}

/**
 * Changes of what a node holds, worked out in memory one after the other, and written in one transaction.
 */
export class Draft {
  readonly #node: string;
  readonly #before: NodeHoldings;
  readonly #changed = new Map<string, Block>();
  readonly #claims = new Map<string, Claim>();
  readonly #returned = new Map<string, Block>();
  readonly #history: Put[] = [];
  /** It stands on what was read earlier and not looked at since: good for a write, which compares, but not for an answer. */
  readonly cached: boolean;

  constructor(node: string, before: NodeHoldings, cached: boolean) {
    this.#node = node;
    this.#before = before;
    this.cached = cached;
  }

  /** The node's blocks with the changes so far. */
  get blocks(): readonly HeldBlock[] {
    const held = this.#before.holdings.filter(({ entry }) => !this.#returned.has(entry.key));
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
    const before = new Map(this.#before.holdings.map(({ block, entry }) => [entry.key, block]));
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
  after(revision: string): NodeHoldings {
    const { holdings, rangeEntries, indexRevision, strays, draining } = this.#before;
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
      holdings: [
        ...holdings
          .filter(({ entry }) => !this.#returned.has(entry.key))
          .map((holding) => {
            const block = this.#changed.get(holding.entry.key);
            return block ? { ...holding, block, entry: { key: holding.entry.key, revision } } : holding;
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

/** Gives a block back to its range: only as it was read, so not with an address that was given out meanwhile. */
export function returnBlock(block: Block, entry: Entry): Change {
  return {
    guards: [unchanged(entry)],
    writes: [del(entry.key), del(nodeKey(block.node, block.cidr))],
  };
}
