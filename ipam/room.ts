import { familyName, formatCidr, type Family } from './address.ts';
import { type Ipam } from './allocator.ts';
import { readRanges } from './records.ts';
import { nextCandidate } from './block.ts';
import { IpamError } from './errors.ts';
import { readHoldings } from './holdings.ts';
import { usableBlockTotal, type Range } from './range.ts';
import { blocksOfRange } from './records.ts';

export interface RoomRequest {
  readonly node: string;
  readonly families: readonly Family[];
  /** Names of the ranges that count; absent: all. */
  readonly ranges?: readonly string[];
}

/**
 * Looks whether the node could give out an address of each family now, and changes nothing: a free one in a block that it
 * holds, or a range with an unclaimed block.
 * @throws IpamError `exhausted` naming the family and the full ranges, `store-…`
 */
export async function roomFor(ipam: Ipam, request: RoomRequest): Promise<void> {
  const counts = (range: Range, family: Family): boolean =>
    range.state === 'active' &&
    range.cidr.base.family === family &&
    (request.ranges === undefined || request.ranges.includes(range.name));
  const now = ipam.around.now();
  const { holdings } = await readHoldings(ipam.store, request.node);
  const short = request.families.filter(
    (family) =>
      !holdings.some(
        ({ range, block }) =>
          counts(range, family) && nextCandidate(block, now, range.cooldownMs) !== undefined,
      ),
  );
  if (short.length === 0) return;
  const ranges = (await readRanges(ipam.store)).map(({ range }) => range);
  const claimed = await ipam.store.count(ranges.map((range) => blocksOfRange(range.name)));
  for (const family of short) {
    const roomy = ranges.some(
      (range, i) => counts(range, family) && (claimed[i] ?? 0) < usableBlockTotal(range),
    );
    if (roomy) continue;
    const full = ranges
      .filter((range) => counts(range, family))
      .map((range) => `${range.name} ${formatCidr(range.cidr)}`);
    const which =
      full.length > 0
        ? `full: ${full.join(', ')}`
        : `etcd holds no ${familyName(family)} range for this network`;
    throw new IpamError(
      'exhausted',
      `node '${request.node}' has no free ${familyName(family)} address (${which})`,
    );
  }
}
