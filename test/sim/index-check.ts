import { formatCidr } from '../../ipam/model/address.ts';
import { nodeOf, usedSlots, type Block } from '../../ipam/model/block.ts';
import { ruleOf } from '../../ipam/model/holder.ts';
import { BLOCKS, blockKey, cidrTextOf, nodeKey, NODES } from '../../ipam/records/keys.ts';
import { decodeNodeEntry, isDrainKey } from '../../ipam/records/node-record.ts';
import type { BlockReader } from './changes.ts';
import type { Commit } from './etcd.ts';
import { addressesIn, type Violation } from './invariants.ts';

/**
 * Returns how blocks and the nodes' index disagree after a transaction. Each transaction is
 * checked, so only what this one writes can have come apart.
 */
export function indexDisagreement({ after, writes }: Commit, reader: BlockReader): Violation | undefined {
  for (const { key } of writes) {
    if (key.startsWith(BLOCKS)) {
      const block = reader.read(after, key);
      const nodes = block ? nodesOf(block) : [];
      const lacks = nodes.find((node) => block && !after.has(nodeKey(node, block.cidr)));
      if (block && lacks !== undefined) {
        const text = `block ${formatCidr(block.cidr)} is of ${lacks}, whose index lacks it`;
        return disagreement(text, block);
      }
      const stray = after
        .below(NODES)
        .find((entry) => cidrTextOf(entry.key) === cidrTextOf(key) && !isEntryOf(entry.key, block));
      if (stray) return disagreement(`${stray.key} is in the index of a node without the block`, block);
    } else if (key.startsWith(NODES) && !isDrainKey(key)) {
      const entry = after.get(key);
      if (!entry) continue;
      const { range, cidr } = decodeNodeEntry(key, entry.value);
      const block = reader.read(after, blockKey(range, cidr));
      if (!isEntryOf(key, block)) return disagreement(`${key} is in the index of a node without the block`);
    }
  }
  return undefined;
}

/** Returns the nodes that must have the block in their index. */
const nodesOf = (block: Block): string[] => [
  ...(ruleOf(block) === undefined ? [block.node] : []),
  ...usedSlots(block).map(({ slot }) => nodeOf(block, slot)),
];

const isEntryOf = (indexKey: string, block: Block | undefined): boolean =>
  block !== undefined && nodesOf(block).some((node) => nodeKey(node, block.cidr) === indexKey);

const disagreement = (text: string, block?: Block): Violation => ({
  kind: 'index',
  text,
  about: addressesIn(block),
});
