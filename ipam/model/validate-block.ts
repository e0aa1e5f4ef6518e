import { cidrContains, formatAddress, formatCidr } from './address.ts';
import { slotAddress, usedSlots, type Block } from './block.ts';
import { ruleOf } from './holder.ts';
import { blockAt, blockPrefixLength, reservation, type Range } from './range.ts';

/** Returns everything that is wrong with the block; empty if it is sound. */
export function validateBlock(block: Block, range: Range): string[] {
  const name = formatCidr(block.cidr);
  const problems: string[] = [];
  const check = (holds: boolean, problem: string): void => {
    if (!holds) problems.push(`block ${name}: ${problem}`);
  };
  check(block.range === range.name, `names range '${block.range}', found under '${range.name}'`);
  check(cidrContains(range.cidr, block.cidr.base), `lies outside range ${formatCidr(range.cidr)}`);
  check(block.cidr.prefixLength === blockPrefixLength(range), `is not a /${blockPrefixLength(range)}`);
  check(formatCidr(blockAt(range, block.cidr.base)) === name, 'is not on its boundary');
  check(block.slots.length === range.blockSize, `has ${block.slots.length} slots, not ${range.blockSize}`);
  check(block.node !== '', 'has no node');
  const isRules = ruleOf(block) !== undefined;
  const isReserved = reservation(range);
  const sequences = new Set<number>();
  block.slots.forEach((slot, i) => {
    const address = slotAddress(block, i);
    check((slot.state === 'reserved') === isReserved(address), `${formatAddress(address)} is ${slot.state}`);
    if (slot.state === 'free' || slot.state === 'reserved') return;
    const hasNode = slot.state !== 'used' || slot.node !== undefined || !isRules;
    check(hasNode, `${formatAddress(address)} has no node, and a rule holds the block`);
    check(
      slot.sequence > 0 && slot.sequence <= block.sequence,
      `${formatAddress(address)} has sequence ${slot.sequence}`,
    );
    check(!sequences.has(slot.sequence), `sequence ${slot.sequence} stands twice`);
    sequences.add(slot.sequence);
  });
  const owners = usedSlots(block).map(({ slot }) => `${slot.owner.containerId} ${slot.owner.ifname}`);
  check(new Set(owners).size === owners.length, 'one attachment has two of its addresses');
  return problems;
}
