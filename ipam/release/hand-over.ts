import { hasSlotsOf, type Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import type { Ipam } from '../node/ipam.ts';
import { listNames } from '../node/name-records.ts';
import { decodeBlockOf } from '../records/block-record.ts';
import { blockWrites } from '../records/block-writes.ts';
import { blockKey, nodeKey, rangeKey } from '../records/keys.ts';
import { decodeNodeEntry, drainKey } from '../records/node-record.ts';
import { asRead, same, type Guard } from '../records/transaction.ts';
import { rangeAsOf } from '../store/ranges.ts';

/**
 * Returns the nodes that can take over a block, in the order of their names: machines have the
 * names and they are not draining. Where agents live, only their nodes.
 * @throws IpamError `store-…`
 */
export async function heirsOf({ store }: Pick<Ipam, 'store'>, node: string): Promise<string[]> {
  const views = [...(await listNames(store)).values()].filter((each) => each.node !== node && each.owner);
  const draining = await store.get(views.map((each) => drainKey(each.node)));
  const found = views.filter((_, i) => !draining[i]);
  const alive = found.filter((each) => each.alive);
  return (alive.length > 0 ? alive : found).map((each) => each.node).sort();
}

/**
 * Gives a block to another node, with the addresses of it that pods of other nodes have and those
 * that are kept. Its own node has none any more.
 * @param seen as the caller read it: its sequence must not have changed
 * @param more to compare besides
 * @returns false if the block changed since, or its node has an address of it
 * @throws IpamError `corrupt-record` for the block or an index entry, which stay; `store-…`
 */
export async function handOver(
  { store, effects }: Pick<Ipam, 'store' | 'effects'>,
  range: Range,
  seen: Block,
  to: string,
  more: readonly Guard[] = [],
): Promise<boolean> {
  const { node, cidr } = seen;
  const keys = [blockKey(range.name, cidr), nodeKey(node, cidr), nodeKey(to, cidr), drainKey(to)];
  const [rangeEntry, entry, own, other, draining] = await store.get([rangeKey(range.name), ...keys]);
  if (!entry || draining) return false;
  for (const index of [own, other]) if (index) decodeNodeEntry(index.key, index.value);
  const now = decodeBlockOf(rangeAsOf(range, rangeEntry))(entry.key, entry.value);
  if (now.node !== node || now.sequence !== seen.sequence || hasSlotsOf(now, node)) return false;
  const block: Block = {
    ...now,
    node: to,
    claimedAt: effects.now(),
    slots: now.slots.map((slot) => {
      if (slot.state !== 'used' || slot.node !== to) return slot;
      const { node: _, ...rest } = slot;
      return rest;
    }),
  };
  const guards = [
    same(entry),
    asRead(nodeKey(node, cidr), own),
    asRead(nodeKey(to, cidr), other),
    asRead(drainKey(to), undefined),
  ];
  const writes = blockWrites([{ before: now, after: block }]);
  return (await store.commit([...guards, ...more], writes)) !== undefined;
}
