import {
  cidrContains,
  formatAddress,
  formatCidr,
  parseAddress,
  subnetOf,
  type Cidr,
} from '../model/address.ts';
import type { Attachment } from '../model/attachment.ts';
import { isCooling, isKept, nodeOf, slotIndex, usedSlots, type Block, type Slot } from '../model/block.ts';
import { ruleHolder, ruleOf } from '../model/holder.ts';
import { isKeptFor, restoreSlot, setAsideSlot } from '../model/restore-slot.ts';
import type { Effects } from '../model/effects.ts';
import { blockAt, type Range } from '../model/range.ts';
import { decodeBlock } from '../records/block-record.ts';
import { blockKey, cidrOfBlockKey } from '../records/keys.ts';
import { decodeLost, encodeLost, type LostSubnet } from '../records/lost-record.ts';
import { isFresh } from '../records/set-back-record.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord } from '../records/unreadable.ts';
import { readRanges, type RangeEntry } from '../store/ranges.ts';
import type { Store } from '../store/store.ts';
import { blankBlock } from './blank-block.ts';
import { releaseFormer } from './former.ts';
import type { CarriedAddress, LocalNode } from './local-node.ts';
import type { NodeBlocks } from './node-blocks.ts';
import type { Observer, WriteBackResult } from './observer.ts';
import { NodeTransaction, type Writer } from './transaction.ts';

/** Blocks in one transaction: far below etcd's limit of operations. A node may need several. */
const MAX_BLOCKS = 16;

interface WriteBackContext {
  readonly store: Store;
  readonly effects: Effects;
  readonly observer: Observer;
  readonly local: LocalNode;
}

/** What the node found when it read its blocks. */
interface Finding {
  readonly node: string;
  readonly blocks: NodeBlocks;
  /** Why etcd must have been set back; undefined if nothing shows it. */
  readonly reason: string | undefined;
  /** Attachments whose lock the caller holds. */
  readonly holders: readonly Attachment[];
  /** Every address in use by the node's own records, listed before the blocks were read. */
  readonly carried: readonly string[];
}

/**
 * Writes back what lives on this node and etcd has forgotten (rule 10), and tells the cluster, so
 * that every node proves new addresses free on the wire for a while. What another owner has by now
 * stays as it is: that is a conflict, and `observer` tells it.
 * @returns `written`, or `lost` to another writer: the caller must read again; `nothing` to write
 * @throws IpamError `store-…`
 */
export async function writeBack(
  context: WriteBackContext,
  writer: Writer,
  finding: Finding,
): Promise<'written' | 'lost' | 'nothing'> {
  const missing = await missingOf(context, finding);
  if (missing.length === 0) return await write(context, writer, finding, []);
  const living = await context.local.livingCarriers(missing, finding.holders);
  try {
    const isMissing = ({ address }: CarriedAddress): boolean => missing.includes(formatAddress(address));
    return await write(context, writer, finding, living.carriers.filter(isMissing));
  } finally {
    living.unlock();
  }
}

/**
 * Returns the addresses that the node's own records call used, and the blocks do not, or not by the
 * same attachment: an etcd that was set back names the owner of then. A record that cannot be read
 * may hold those that it covers.
 */
async function missingOf(
  { local, effects }: Pick<WriteBackContext, 'local' | 'effects'>,
  { node, carried, reason, blocks: { blocks, guests, unreadable, setBack } }: Finding,
): Promise<string[]> {
  if (carried.length === 0) return [];
  const mayBeAnothers = reason !== undefined || isFresh(setBack?.record, effects.now());
  const entered = new Set(carried);
  const used = new Set<string>();
  for (const { block } of [...blocks, ...guests])
    for (const { address, slot } of usedSlots(block)) {
      // What a pod of another node has of this node's block, or a guest of a third one.
      if (nodeOf(block, slot) !== node) continue;
      const text = formatAddress(address);
      const isAnothers =
        mayBeAnothers && entered.has(text) && (await local.isUsedByOther(address, slot.owner));
      if (!isAnothers) used.add(text);
    }
  const hidden = unreadable.flatMap(({ key }) => cidrOfBlockKey(key) ?? []);
  const isHidden = (text: string): boolean => {
    const address = parseAddress(text);
    return hidden.some((cidr) => cidrContains(cidr, address));
  };
  return carried.filter((address) => !used.has(address) && !(hidden.length > 0 && isHidden(address)));
}

async function write(
  context: WriteBackContext,
  writer: Writer,
  { node, blocks, reason, carried }: Finding,
  living: readonly CarriedAddress[],
): Promise<'written' | 'lost' | 'nothing'> {
  const { effects, observer, store } = context;
  if (living.length === 0 && reason === undefined && !blocks.lost) return 'nothing';
  const transaction = new NodeTransaction(node, blocks, false);
  const wasSetBack = reason !== undefined || isFresh(blocks.setBack?.record, effects.now());
  const placed = await place(context, transaction, { node, blocks, wasSetBack }, living);
  releaseFormer(transaction, placed.restored, carried, effects.now());
  const lost = lostSubnets(placed.outside);
  if (!isTold(blocks.lost, lost))
    transaction.tellLost(lost.length > 0 ? encodeLost({ at: effects.now(), subnets: lost }) : undefined);
  const forgotten = living.filter((each) => !isElsewhere(blocks, node, each));
  if ((forgotten.length > 0 || reason !== undefined) && !isFresh(blocks.setBack?.record, effects.now())) {
    const why =
      reason ?? `etcd has no allocation of ${forgotten.length} addresses that pods of this node use`;
    transaction.tellSetBack({ at: effects.now(), node, reason: why });
  }
  if (!transaction.isEmpty) {
    const { guards, writes } = transaction.change(writer);
    if ((await store.commit(guards, writes)) === undefined) return 'lost';
  }
  const isNews = reason !== undefined || Object.values(placed).some(({ length }) => length > 0);
  if (isNews) observer.wroteBack(node, { reason, ...placed });
  return transaction.isEmpty ? 'nothing' : 'written';
}

/**
 * Whether a pod of another node has the address of this node's block by now: it was released while
 * this node was silent, and etcd has forgotten nothing.
 */
const isElsewhere = ({ blocks }: NodeBlocks, node: string, { address }: CarriedAddress): boolean =>
  blocks.some(({ block }) => {
    const slot = block.slots[slotIndex(block, address)];
    return slot?.state === 'used' && nodeOf(block, slot) !== node;
  });

/** Returns the subnets of the addresses, as their ranges had them, with how many are in each. */
function lostSubnets(outside: readonly CarriedAddress[]): LostSubnet[] {
  const subnets = new Map<string, LostSubnet>();
  for (const { address, prefixLength } of outside) {
    const cidr = subnetOf(address, prefixLength);
    const { attachments = 0 } = subnets.get(formatCidr(cidr)) ?? {};
    subnets.set(formatCidr(cidr), { cidr, attachments: attachments + 1 });
  }
  return [...subnets.values()];
}

/** Returns whether etcd has this already. A record that cannot be read stays as it is. */
function isTold(entry: Entry | undefined, lost: readonly LostSubnet[]): boolean {
  if (!entry) return lost.length === 0;
  const read = readRecord(entry, decodeLost);
  const textOf = (subnets: readonly LostSubnet[]): string =>
    subnets.map(({ cidr, attachments }) => `${formatCidr(cidr)} ${attachments}`).join();
  return 'unreadable' in read || textOf(read.value.subnets) === textOf(lost);
}

type Placed = Pick<WriteBackResult, 'restored' | 'setAside' | 'conflicts' | 'outside'>;

/** Enters the living addresses into the transaction, those of a few blocks at a time. */
async function place(
  context: WriteBackContext,
  transaction: NodeTransaction,
  { node, blocks, wasSetBack }: Pick<Finding, 'node' | 'blocks'> & { readonly wasSetBack: boolean },
  living: readonly CarriedAddress[],
): Promise<Placed> {
  const { ranges } = living.length > 0 ? await readRanges(context.store) : { ranges: [] };
  const groups = new Map<string, { at: RangeEntry; cidr: Cidr; carried: CarriedAddress[] }>();
  const outside: CarriedAddress[] = [];
  for (const each of living) {
    const at = ranges.find(({ range }) => cidrContains(range.cidr, each.address));
    if (!at) {
      outside.push(each);
      continue;
    }
    const cidr = blockAt(at.range, each.address);
    const key = blockKey(at.range.name, cidr);
    const group = groups.get(key) ?? { at, cidr, carried: [] };
    group.carried.push(each);
    groups.set(key, group);
  }
  const placed = { restored: [], setAside: [], conflicts: [], outside } as {
    -readonly [K in keyof Placed]: Placed[K][number][];
  };
  for (const [key, { at, cidr, carried }] of [...groups].slice(0, MAX_BLOCKS)) {
    const own = blocks.blocks.find(({ entry }) => entry.key === key);
    const entry = own ? own.entry : (await context.store.get([key]))[0];
    const read = entry && readRecord(entry, decodeBlock);
    // Nobody gives an address out of a block that cannot be read.
    if (read && 'unreadable' in read) continue;
    const found = read?.value;
    const from = {
      ...{ range: at.range, rangeEntry: at.entry },
      ...(entry && found && { read: { entry, block: found } }),
    };
    const isRules = found !== undefined && ruleOf(found) !== undefined;
    const isAlone = found !== undefined && isIdle(found, at.range, carried, context.effects.now());
    const isOurs = !found || found.node === node || (!isRules && isAlone);
    if (!isOurs) {
      // Pods that took kept addresses along: etcd calls these kept, or their earlier sandboxes'.
      // In a rule's own block there may be pods of any node.
      const returning = carried.filter((each) => isRules || isKeptFor(found, each, wasSetBack));
      const block =
        returning.length > 0
          ? restore(found, returning, node, { over: isRules, wasSetBack }, placed)
          : setAside(found, carried, context.effects.now(), placed);
      if (block !== found) transaction.put(block, from);
      continue;
    }
    const rule = carried.find((each) => each.rule !== undefined)?.rule;
    const holder = rule === undefined ? node : ruleHolder(rule);
    const base = found
      ? { ...found, node: isAlone ? holder : node }
      : await blankBlock(context, at.range, cidr, holder);
    const block = restore(base, carried, node, { over: own !== undefined, wasSetBack }, placed);
    if (block !== base || !own) transaction.put(block, from);
  }
  return placed;
}

/** Returns whether the other node uses nothing of the block, so that this node can take it over. */
function isIdle(block: Block, range: Range, carried: readonly CarriedAddress[], now: number): boolean {
  const isOurs = ({ containerId, ifname }: Attachment): boolean =>
    carried.some(({ owner }) => owner.containerId === containerId && owner.ifname === ifname);
  // An address that rests because this node has set it aside rests for nobody else.
  const rests = (slot: Slot, index: number): boolean =>
    isCooling(slot, now, range.cooldownMs) &&
    !carried.some(({ address }) => slotIndex(block, address) === index);
  return (
    usedSlots(block, ({ owner }) => !isOurs(owner)).length === 0 &&
    !block.slots.some((slot, index) => rests(slot, index) || isKept(slot, now))
  );
}

/** @param how.over whether a living pod takes the place of another owner in the block */
function restore(
  base: Block,
  carried: readonly CarriedAddress[],
  node: string,
  how: { readonly over?: boolean; readonly wasSetBack: boolean },
  placed: { restored: CarriedAddress[]; conflicts: (CarriedAddress & { by: string })[] },
): Block {
  let block = base;
  for (const each of carried) {
    const result = restoreSlot(block, each, node, how);
    if (result.outcome === 'restored') {
      block = result.block;
      placed.restored.push(each);
    } else if (result.outcome === 'conflict') {
      const by = result.by ? `container ${result.by.containerId}` : `the range reserves it`;
      placed.conflicts.push({ ...each, by });
    }
  }
  return block;
}

/** Returns the block with the addresses set aside in it; the same object if nothing changes. */
function setAside(
  found: Block,
  carried: readonly CarriedAddress[],
  now: number,
  placed: { setAside: CarriedAddress[]; conflicts: (CarriedAddress & { by: string })[] },
): Block {
  let block = found;
  for (const each of carried) {
    const next = setAsideSlot(block, each.address, each.mac, now);
    if (next) {
      if (next !== block) placed.setAside.push(each);
      block = next;
    } else {
      placed.conflicts.push({
        ...each,
        by: `a pod of node '${found.node}', which holds block ${formatCidr(found.cidr)}`,
      });
    }
  }
  return block;
}
