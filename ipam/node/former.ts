import { formatAddress, sameAddress, type Address } from '../model/address.ts';
import { expectedOf, isOwnedBy, usedSlots, type UsedSlot } from '../model/block.ts';
import type { CarriedAddress } from './local-node.ts';
import { takeBackAll } from './take-back.ts';
import type { NodeTransaction } from './transaction.ts';

/**
 * Releases what etcd says that an attachment has, where it has another address by now: it was
 * started again under its ID after the state that etcd was set back to.
 * @param carried every address in use by the node's own records
 */
export function releaseFormer(
  transaction: NodeTransaction,
  restored: readonly CarriedAddress[],
  carried: readonly string[],
  now: number,
): void {
  const isFormer = (address: Address, slot: UsedSlot): boolean =>
    restored.some(
      (each) =>
        isOwnedBy(slot, each.owner) &&
        each.address.family === address.family &&
        !sameAddress(each.address, address),
    ) && !carried.includes(formatAddress(address));
  if (restored.length === 0) return;
  const former = transaction.held.flatMap(({ block }) =>
    usedSlots(block)
      .filter(({ address, slot }) => isFormer(address, slot))
      .map(({ address, slot }) => ({
        address,
        expected: expectedOf(slot),
        cause: { why: 'superseded' } as const,
      })),
  );
  takeBackAll(transaction, former, now);
}
