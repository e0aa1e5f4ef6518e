import { formatCidr } from '../model/address.ts';
import { isOfNode } from '../model/block.ts';
import { NodeDirectory } from '../model/node-name.ts';
import type { Ipam } from '../node/ipam.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockKey, BLOCKS, cidrTextOf, nodeKey, NODES, nodePrefix } from '../records/keys.ts';
import { aliveKey } from '../records/alive-record.ts';
import { lostKey } from '../records/lost-record.ts';
import { machineKey } from '../records/machine-record.ts';
import { decodeNodeEntry, decodeDrainMark, isDrainKey } from '../records/node-record.ts';
import { absent, del, unchanged, type Entry, type Guard } from '../records/transaction.ts';
import { readRecord, unreadableOf, valuesOf, type UnreadableRecord } from '../records/unreadable.ts';
import { readAgain, scanAll } from '../store/store.ts';
import { listBlocks, type BlockView } from './views.ts';

/**
 * An index and a block that disagree. Claim and return write both in one transaction, so somebody
 * edited a record by hand.
 */
export interface Disagreement {
  /** The wrong key, below the prefix. */
  readonly key: string;
  /**
   * `no-block`: the index names a block that nobody holds. `other-node`: it names a block that
   * another node holds. `no-index`: the index lacks the node's block.
   */
  readonly problem: 'no-block' | 'other-node' | 'no-index';
}

/** Everything in etcd about one node. */
export interface NodeView {
  readonly node: string;
  /** Milliseconds since 1970; undefined if the node is not draining. */
  readonly drainingSince: number | undefined;
  /** True also if the drain mark cannot be read. */
  readonly draining: boolean;
  /** Sorted by address. */
  readonly blocks: readonly BlockView[];
  /** Blocks of other nodes of which this one has addresses. Sorted by address. */
  readonly guests: readonly BlockView[];
  readonly disagreements: readonly Disagreement[];
  /** The node's own records: its index entries, its drain mark, the blocks that its index names. */
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Reads every block of the cluster, to find also a block that the node's index lacks: for an
 * operator's command, not for an ADD. It reads the index first, then the blocks, then both again
 * for each difference, so that a concurrent claim is no disagreement.
 * @throws IpamError `store-…`
 */
export async function viewNode(ipam: Ipam, node: string): Promise<NodeView> {
  const index = await scanAll(ipam.store, nodePrefix(node));
  const found = await listBlocks(ipam, { node });
  const { unreadable } = found;
  const blocks = found.blocks.filter(({ block }) => block.node === node);
  const guests = found.blocks.filter(({ block }) => block.node !== node);
  const marks = index.filter(({ key }) => isDrainKey(key)).map((entry) => readRecord(entry, decodeDrainMark));
  const reads = index
    .filter(({ key }) => !isDrainKey(key))
    .map((entry) => readRecord(entry, decodeNodeEntry));
  const indexed = new Set(index.map(({ key }) => cidrTextOf(key)));
  const ofBlocks = unreadable.filter(({ key }) => key.startsWith(BLOCKS) && indexed.has(cidrTextOf(key)));
  const held = new Set([
    ...found.blocks.map(({ block }) => blockKey(block.range, block.cidr)),
    ...ofBlocks.map(({ key }) => key),
  ]);
  const suspected = [
    ...valuesOf(reads).filter(({ range, cidr }) => !held.has(blockKey(range, cidr))),
    ...found.blocks.filter(({ block }) => !indexed.has(formatCidr(block.cidr))).map(({ block }) => block),
  ];
  const disagreements: Disagreement[] = [];
  for (const { range, cidr } of suspected) {
    const keys = [nodeKey(node, cidr), blockKey(range, cidr)] as const;
    const [entry, other] = await ipam.store.get(keys);
    const found = disagreementOf(node, keys, entry, other);
    if (found) disagreements.push(found);
  }
  return {
    node,
    drainingSince: valuesOf(marks)[0],
    draining: marks.length > 0,
    blocks,
    guests,
    disagreements,
    unreadable: [...unreadableOf(marks), ...unreadableOf(reads), ...ofBlocks],
  };
}

function disagreementOf(
  node: string,
  [indexKey, key]: readonly [string, string],
  index: Entry | undefined,
  entry: Entry | undefined,
): Disagreement | undefined {
  const read = entry && readRecord(entry, decodeBlock);
  // Nothing tells whose block it is.
  if (read && 'unreadable' in read) return undefined;
  const block = read?.value;
  if (index && !block) return { key: indexKey, problem: 'no-block' };
  const isOf = block && isOfNode(block, node);
  if (index && block && !isOf) return { key: indexKey, problem: 'other-node' };
  return !index && isOf ? { key, problem: 'no-index' } : undefined;
}

/** Returns the names of all nodes that have an index in etcd, sorted. */
export function indexedNodes({ store }: Ipam): Promise<string[]> {
  return readAgain(async () => {
    const names = new Set<string>();
    for await (const page of store.scan(NODES, { keysOnly: true }))
      for (const { key } of page) names.add(key.split('/')[1] ?? '');
    return [...names].sort();
  });
}

/**
 * Returns the node's name as etcd spells it. Capitals do not count, because the cluster's name of
 * the node has none. Returns the given name when etcd has no such node.
 */
export async function nodeInEtcd(ipam: Ipam, name: string): Promise<string> {
  const names = await indexedNodes(ipam);
  return names.includes(name) ? name : (new NodeDirectory(names).same(name) ?? name);
}

/**
 * Returns whether etcd has a record of the node: of its blocks, its machine, its agent, or what it
 * lost.
 * @param name as etcd spells it
 */
export async function hasTraceOf({ store }: Ipam, name: string): Promise<boolean> {
  const records = await store.get([machineKey(name), aliveKey(name), lostKey(name)]);
  if (records.some((entry) => entry !== undefined)) return true;
  const [index = 0] = await store.count([nodePrefix(name)]);
  return index > 0;
}

/**
 * Deletes the node's index keys that lead to no block of it: for a node that is removed. It leaves
 * a key whose value, or whose block, cannot be read.
 * @returns the deleted keys
 */
export async function sweepIndex(ipam: Ipam, node: string): Promise<string[]> {
  const swept: string[] = [];
  for (const entry of await scanAll(ipam.store, nodePrefix(node))) {
    if (isDrainKey(entry.key)) continue;
    const read = readRecord(entry, decodeNodeEntry);
    if ('unreadable' in read) continue;
    const key = blockKey(read.value.range, read.value.cidr);
    const [block] = await ipam.store.get([key]);
    const held = block && readRecord(block, decodeBlock);
    const isHeld = held && ('unreadable' in held || held.value.node === node || isOfNode(held.value, node));
    if (isHeld) continue;
    const guard: Guard = block ? unchanged(block) : absent(key);
    const done = await ipam.store.commit([unchanged(entry), guard], [del(entry.key)]);
    if (done !== undefined) swept.push(entry.key);
  }
  return swept;
}

/**
 * Deletes what the node's agent said that the node lost, unless the agent says it again meanwhile:
 * for a node that is removed.
 * @returns whether it is gone
 */
export async function sweepLost({ store }: Ipam, node: string): Promise<boolean> {
  const [entry] = await store.get([lostKey(node)]);
  return !entry || (await store.commit([unchanged(entry)], [del(entry.key)])) !== undefined;
}
