import { formatCidr } from '../../ipam/model/address.ts';
import { changesOf, type BlockReader } from './changes.ts';
import type { Commit } from './etcd.ts';
import type { Trace } from './trace.ts';

/** Tells what a transaction changes, one line for each allocation and block. */
export function tellCommit(trace: Trace, who: string, commit: Commit, reader: BlockReader): void {
  const line = (what: () => { text: string; about: readonly string[] }): void => trace.tell(who, what);
  const { given, freed, claimed, returned, otherKeys } = changesOf(commit, reader);
  for (const block of claimed)
    line(() => ({
      text: `etcd: ${block.node} claims ${formatCidr(block.cidr)}`,
      about: [formatCidr(block.cidr)],
    }));
  for (const { address, slot, block } of given)
    line(() => ({
      text: `etcd: ${address} is given to ${slot.owner.containerId} (sequence ${slot.sequence})`,
      about: [address, slot.owner.containerId, formatCidr(block.cidr)],
    }));
  for (const { address, slot, block } of freed)
    line(() => ({
      text: `etcd: ${address} of ${slot.owner.containerId} is released (sequence ${slot.sequence})`,
      about: [address, slot.owner.containerId, formatCidr(block.cidr)],
    }));
  for (const block of returned)
    line(() => ({
      text: `etcd: ${block.node} returns ${formatCidr(block.cidr)}`,
      about: [formatCidr(block.cidr)],
    }));
  for (const key of otherKeys.filter((each) => !each.startsWith('nodes/')))
    line(() => ({ text: `etcd: ${key} is written`, about: [] }));
}
