import { cidrContains, parseAddress } from '../model/address.ts';
import type { LocalNode } from '../node/local-node.ts';
import type { RangeRecords } from '../store/ranges.ts';

/** What an error says where pods of the node use addresses of a range that etcd does not hold. */
export interface LostRange {
  /** End of the message, beginning with `; `. */
  readonly text: string;
  readonly remedy: string;
}

/**
 * Returns what to say of a lost range: the range must come back from a backup, and not be added
 * like a new one. Undefined if pods of this node use no such address.
 */
export function lostRange(local: LocalNode, { ranges }: RangeRecords): LostRange | undefined {
  const lost = local
    .carriedAddresses()
    .filter((text) => !ranges.some(({ range }) => cidrContains(range.cidr, parseAddress(text))));
  const [first] = lost;
  if (first === undefined) return undefined;
  const which = lost.length === 1 ? first : `${first} and ${lost.length - 1} more`;
  return {
    text: `; pods of this node use ${which}, of no range in etcd: it has lost a range`,
    remedy: 'Bring the ranges back with `cnictl restore FILE`: docs/operations/etcd-lost.md.',
  };
}
