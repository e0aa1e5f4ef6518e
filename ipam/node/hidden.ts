import { cidrContains, type Address } from '../model/address.ts';
import { IpamError } from '../model/errors.ts';
import { cidrOfBlockKey } from '../records/keys.ts';
import type { NodeTransaction } from './transaction.ts';

/**
 * Checks that no record of the node that cannot be read may hold one of the addresses.
 * @param addresses undefined: any
 * @throws IpamError `corrupt-record`
 */
export function checkReadable(
  { unreadable }: Pick<NodeTransaction, 'unreadable'>,
  addresses: readonly Address[] | undefined,
): void {
  const hidden = unreadable.find(({ key }) => {
    const cidr = cidrOfBlockKey(key);
    return !cidr || !addresses || addresses.some((address) => cidrContains(cidr, address));
  });
  if (hidden) throw new IpamError('corrupt-record', hidden.reason);
}
