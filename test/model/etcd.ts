import { offsetAddress, type Address } from '../../ipam/model/address.ts';
import { usedSlots, slotIndex, type Block, type UsedSlot } from '../../ipam/model/block.ts';
import type { Rule } from './rules.ts';
import { CIDRS, type Etcd, type MachineRecord, type Place, type Transaction } from './state.ts';

/** The time of everything: the model has no clock, and nothing rests. */
export const NOW = 1_000;

export const addressOf = ({ block, slot }: Place): Address => {
  const cidr = CIDRS[block];
  if (!cidr) throw new Error(`there is no block ${block}`);
  return offsetAddress(cidr.base, BigInt(slot));
};

export interface Used {
  readonly place: Place;
  readonly container: number;
  readonly slot: UsedSlot;
}

/** Returns the allocations that etcd has. */
export const usedIn = ({ blocks }: Etcd): Used[] =>
  blocks.flatMap((block, at) =>
    block
      ? usedSlots(block).map(({ address, slot }) => ({
          place: { block: at, slot: slotIndex(block, address) },
          container: Number(slot.owner.containerId),
          slot,
        }))
      : [],
  );

/**
 * Carries the transaction out if all that it compares is as it was.
 * @param without the rules that are left out
 */
export function carryOut(etcd: Etcd, transaction: Transaction, without: ReadonlySet<Rule>): Etcd | undefined {
  if (!without.has('compare') && !holds(etcd, transaction, without)) return undefined;
  const { node, next, tells } = transaction;
  let { blocks, counts } = etcd;
  for (const { at, was, is } of transaction.blocks) {
    blocks = blocks.with(at, is);
    if (!is && was) counts = counts.with(at, was.sequence);
  }
  return {
    blocks,
    counts,
    machines: etcd.machines.with(node, next),
    told: etcd.told || tells,
  };
}

function holds(etcd: Etcd, transaction: Transaction, without: ReadonlySet<Rule>): boolean {
  const { node, machine, told, blocks } = transaction;
  if (told !== undefined && !without.has('told') && told !== etcd.told) return false;
  return (
    textOfMachine(etcd.machines[node]) === textOfMachine(machine) &&
    blocks.every(({ at, was }) => textOfBlock(etcd.blocks[at]) === textOfBlock(was))
  );
}

export const textOfMachine = (record: MachineRecord | undefined): string =>
  record ? `${record.generation}:${record.mark}` : '-';

const texts = new WeakMap<Block, string>();

/** Returns a text that is equal for equal values of the block's record. */
export function textOfBlock(block: Block | undefined): string {
  if (!block) return '-';
  const known = texts.get(block);
  if (known !== undefined) return known;
  const slots = block.slots.map((slot) => {
    if (slot.state === 'used') return `${slot.owner.containerId}@${slot.sequence}`;
    if (slot.state !== 'released') return '';
    return `r${slot.sequence}${slot.conflictMac === undefined ? '' : '!'}`;
  });
  const text = `${block.node}${block.sequence}[${slots.join()}]`;
  texts.set(block, text);
  return text;
}
