import { formatCidr } from '../model/address.ts';
import { isOfNode, type Block } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockKey, cidrTextOf, nodePrefix, NODES } from '../records/keys.ts';
import { decodeNodeEntry, encodeNodeEntry, type NodeEntry } from '../records/node-record.ts';
import { absent, del, put, unchanged, type Entry, type Guard, type Write } from '../records/transaction.ts';
import type { TableBlock } from './allocation-table.ts';
import type { IndexPair } from './key-pair.ts';
import { isLookup, lookupsOf, placeOfLookup } from './lookup-audit.ts';

export interface IndexFinding extends IndexPair {
  /** Of the index, else the block's holder; undefined where there is no block. */
  readonly node: string | undefined;
  /** When the record was claimed, in milliseconds since 1970; undefined where there is no block. */
  readonly since: number | undefined;
  /** The repair. It applies only if both keys are as they were read. */
  readonly repair: { readonly guards: readonly Guard[]; readonly writes: readonly Write[] };
}

const nodeOfIndexKey = (key: string): string => key.slice(NODES.length).split('/')[0] ?? '';
const blockKeyOf = (entry: NodeEntry): string => blockKey(entry.range, entry.cidr);

/**
 * Compares the index with the blocks in one pass. The two were not read at the same moment, so a
 * pair is only suspected.
 */
export class IndexComparison {
  readonly #blocks: ReadonlyMap<string, TableBlock>;
  readonly #named = new Set<string>();
  readonly suspected: IndexPair[] = [];

  constructor(blocks: readonly TableBlock[]) {
    this.#blocks = new Map(blocks.map((block) => [block.key, block]));
  }

  /** @param opaque keys of blocks that exist but are unreadable or not sound */
  add(key: string, entry: NodeEntry, opaque: ReadonlySet<string>): void {
    const named = blockKeyOf(entry);
    const block = this.#blocks.get(named);
    const node = nodeOfIndexKey(key);
    if (block && (block.node === node || block.guests.includes(node))) this.#named.add(`${node} ${named}`);
    else if (block) this.suspected.push({ indexKey: key, blockKey: named, reason: 'wrong-node' });
    else if (!opaque.has(named)) this.suspected.push({ indexKey: key, blockKey: named, reason: 'no-block' });
  }

  /** The caller calls this after the whole index was added. */
  finish(): void {
    for (const { key, node, guests } of this.#blocks.values())
      for (const each of ruleOf({ node }) === undefined ? [node, ...guests] : guests)
        if (!this.#named.has(`${each} ${key}`))
          this.suspected.push({
            indexKey: `${nodePrefix(each)}${cidrTextOf(key)}`,
            blockKey: key,
            reason: 'no-index',
          });
  }
}

/**
 * Judges a suspected pair again, with both keys read at the same moment.
 * @returns undefined if the pair no longer disagrees
 * @throws IpamError `corrupt-record` if one of the two cannot be read
 */
export function judgePair(
  pair: IndexPair,
  index: Entry | undefined,
  block: Entry | undefined,
): IndexFinding | undefined {
  const held = block && decodeBlock(block.key, block.value);
  if (pair.reason === 'no-key') return held && noKey(pair, held, block, index);
  if (pair.reason === 'stale-key') return index && staleKey(pair, held, block, index);
  const named = index && decodeNodeEntry(index.key, index.value);
  if (pair.reason === 'no-index') return held && noIndex(pair, held, block, named, index);
  if (!index || !named || blockKeyOf(named) !== pair.blockKey) return undefined;
  const node = nodeOfIndexKey(index.key);
  if (held && isOfNode(held, node)) return undefined;
  const { indexKey, blockKey: key } = pair;
  return {
    indexKey,
    blockKey: key,
    reason: held ? 'wrong-node' : 'no-block',
    node,
    since: named.claimedAt,
    repair: {
      guards: [unchanged(index), block ? unchanged(block) : absent(key)],
      writes: [del(index.key)],
    },
  };
}

function noIndex(
  pair: IndexPair,
  held: Block,
  block: Entry,
  named: NodeEntry | undefined,
  index: Entry | undefined,
): IndexFinding | undefined {
  const node = nodeOfIndexKey(pair.indexKey);
  const ownKey = `${nodePrefix(node)}${formatCidr(held.cidr)}`;
  // Another node has the block by now; its index was not read.
  if (!isOfNode(held, node) || (named && blockKeyOf(named) === pair.blockKey)) return undefined;
  return {
    ...pair,
    node,
    since: held.claimedAt,
    repair: {
      guards: [unchanged(block), index ? unchanged(index) : absent(ownKey)],
      writes: [put(ownKey, encodeNodeEntry(held))],
    },
  };
}

function noKey(
  pair: IndexPair,
  held: Block,
  block: Entry,
  index: Entry | undefined,
): IndexFinding | undefined {
  const wanted = lookupsOf(held).find(({ key }) => key === pair.indexKey);
  if (!wanted || (index && isLookup(index, wanted))) return undefined;
  return {
    ...pair,
    node: held.node,
    since: held.claimedAt,
    repair: {
      guards: [unchanged(block), index ? unchanged(index) : absent(wanted.key)],
      writes: [wanted],
    },
  };
}

function staleKey(
  pair: IndexPair,
  held: Block | undefined,
  block: Entry | undefined,
  index: Entry,
): IndexFinding | undefined {
  const { key } = index;
  if (placeOfLookup(index) !== pair.blockKey) return undefined;
  if (held && lookupsOf(held).some((wanted) => wanted.key === key)) return undefined;
  return {
    ...pair,
    node: held?.node,
    since: held?.claimedAt,
    repair: {
      guards: [unchanged(index), block ? unchanged(block) : absent(pair.blockKey)],
      writes: [del(key)],
    },
  };
}
