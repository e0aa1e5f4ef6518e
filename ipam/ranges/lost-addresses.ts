import { lostText, lostTotals } from '../audit/lost.ts';
import { formatCidr } from '../model/address.ts';
import { IpamError } from '../model/errors.ts';
import type { Range } from '../model/range.ts';
import type { Lost } from '../records/lost-record.ts';

/**
 * Refuses a range that would give out addresses that attachments have, as their nodes tell: the
 * next pods would get them a second time.
 * @throws IpamError `in-use`
 */
export function checkNotLost({ cidr }: Range, lost: Lost): void {
  const totals = lostTotals(lost, cidr).map(lostText);
  const unreadable = lost.unreadable.map(({ reason }) => reason);
  if (totals.length + unreadable.length === 0) return;
  const why =
    totals.length > 0 ? totals.join('; ') : `what nodes lost cannot be read: ${unreadable.join('; ')}`;
  throw new IpamError('in-use', `range ${formatCidr(cidr)}: ${why}, which etcd forgot`, {
    remedy:
      'Put the ranges back with `cnictl restore FILE`: the nodes write back what lives on them. Without a backup: `cnictl range add … --recover`.',
  });
}
