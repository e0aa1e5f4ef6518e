import { formatAddress } from '../../ipam/model/address.ts';
import type { Platform } from '../platform/platform.ts';
import type { OwnPlace } from './places.ts';
import type { Known } from './survey.ts';

/**
 * Completes the records of attachments that an earlier version made: it did not keep which
 * addresses an attachment uses. From then on the node knows them without etcd.
 * @throws CniError 5
 */
export function rememberCarried(platform: Platform, { stateDir }: OwnPlace, known: readonly Known[]): void {
  const state = platform.openState(stateDir);
  for (const each of known) {
    if (each.link !== 'carrier' || each.held.length === 0) continue;
    if (!each.record || each.record.namesAddresses) continue;
    const unlock = platform.tryLock(stateDir, each);
    if (!unlock) continue;
    try {
      const record = state.readAttachment(each);
      if (!record || record.allocations) continue;
      const { podNamespace, podName, podUid } = each.held[0]?.slot.owner ?? {};
      const complete = {
        ...record,
        allocations: each.held.map(({ address, range, slot }) => ({
          address: `${formatAddress(address)}/${range.cidr.prefixLength}`,
          range: range.name,
          allocatedAt: slot.allocatedAt,
        })),
        ...(podNamespace !== undefined && { podNamespace }),
        ...(podName !== undefined && { podName }),
        ...(podUid !== undefined && { podUid }),
      };
      state.saveAttachment(complete);
      state.carry(complete);
    } finally {
      unlock();
    }
  }
}
