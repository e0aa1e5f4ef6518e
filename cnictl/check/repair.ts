import type { IndexFinding } from '../../ipam/audit/index-audit.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { retryLostRaces } from '../../ipam/store/retry.ts';
import type { Looking } from './progress.ts';
import { pairsAgain } from './records-again.ts';

/**
 * Makes keys agree with the blocks they follow from, each guarded by its value as read. When a pair
 * changes in between, this function reads it again.
 * @param onRepaired called for each key repaired, not for one that agrees without a repair by then
 * @throws IpamError `contention`, `store-…`
 */
export async function repairIndex(
  ipam: Ipam,
  findings: readonly IndexFinding[],
  { signal, progress }: Pick<Looking, 'signal' | 'progress'>,
  onRepaired: (finding: IndexFinding) => void,
): Promise<void> {
  for (const [n, suspected] of findings.entries()) {
    if (signal?.aborted) return;
    let finding: IndexFinding | undefined = suspected;
    await retryLostRaces(`repairing '${suspected.indexKey}'`, ipam.effects, async () => {
      if (!finding) return true;
      const { guards, writes } = finding.repair;
      if ((await ipam.store.commit(guards, writes)) !== undefined) {
        onRepaired(finding);
        return true;
      }
      [finding] = await pairsAgain(ipam.store, [finding]);
      return undefined;
    });
    progress('repaired', n + 1, findings.length);
  }
}
