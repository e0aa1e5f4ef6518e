import { nodeOf, type Block } from '../model/block.ts';
import { ruleOf } from '../model/holder.ts';
import { encodeBlock } from './block-record.ts';
import { keptWrites, type BlockChange } from './kept-record.ts';
import { blockKey, nodeKey } from './keys.ts';
import { encodeNodeEntry } from './node-record.ts';
import { roomWrites } from './own-record.ts';
import { del, put, type Write } from './transaction.ts';

/**
 * Returns all that a change of blocks writes: the blocks, and the keys that follow from them. These
 * are the indexes of nodes, the keys of kept addresses, and those of a rule's blocks with room.
 * Nothing else writes them.
 */
export const blockWrites = (changes: readonly BlockChange[]): Write[] => [
  ...changes.flatMap(ofBlock),
  ...followingWrites(changes),
];

/** Returns what {@link blockWrites} writes beside the blocks. */
export const followingWrites = (changes: readonly BlockChange[]): Write[] => [
  ...changes.flatMap(indexWrites),
  ...keptWrites(changes),
  ...roomWrites(changes),
];

const keyOf = ({ range, cidr }: Block): string => blockKey(range, cidr);

function ofBlock({ before, after }: BlockChange): Write[] {
  if (after) return [put(keyOf(after), encodeBlock(after))];
  return before ? [del(keyOf(before))] : [];
}

/** Returns the nodes whose index names the block: its holder, and those with attachments in it. */
function nodesOf(block: Block | undefined): Set<string> {
  if (!block) return new Set();
  const users = block.slots.flatMap((slot) => (slot.state === 'used' ? [nodeOf(block, slot)] : []));
  return new Set(ruleOf(block) === undefined ? [block.node, ...users] : users);
}

function indexWrites({ before, after }: BlockChange): Write[] {
  const [were, are] = [nodesOf(before), nodesOf(after)];
  const entered = after
    ? [...are]
        .filter((node) => !were.has(node))
        .map((node) => put(nodeKey(node, after.cidr), encodeNodeEntry(after)))
    : [];
  const left = before
    ? [...were].filter((node) => !are.has(node)).map((node) => del(nodeKey(node, before.cidr)))
    : [];
  return [...entered, ...left];
}
