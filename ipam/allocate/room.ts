import { familyName, formatCidr, type Family } from '../model/address.ts';
import { nextCandidate } from '../model/block.ts';
import { IpamError } from '../model/errors.ts';
import { usableBlockTotal, type Range } from '../model/range.ts';
import { drainingError } from '../node/drain.ts';
import type { Ipam } from '../node/ipam.ts';
import { checkOwnsName } from '../node/name-owner.ts';
import { readNodeBlocks } from '../node/node-blocks.ts';
import { blocksOfRange } from '../records/keys.ts';
import { familyOfRoomKey, OWN } from '../records/own-record.ts';
import { notCounted, remedyFor } from '../records/unreadable.ts';
import { readRanges } from '../store/ranges.ts';
import { scanAll } from '../store/store.ts';
import { isEligible, commonVlans } from './eligible.ts';
import { keptText } from './kept-text.ts';
import { lostRange } from './lost-range.ts';

export interface RoomRequest {
  readonly node: string;
  readonly families: readonly Family[];
  /** Names of the ranges that count; absent: all. */
  readonly ranges?: readonly string[];
}

/**
 * Checks, without a change, whether the node could allocate an address of each family now: a free
 * one in a block that it holds, or one of a range with an unclaimed block.
 * @throws IpamError `exhausted` naming the family and the full ranges, `other-machine`, `store-…`
 */
export async function roomFor(ipam: Ipam, asked: RoomRequest): Promise<void> {
  const { blocks, draining, machine, rulesChanged } = await readNodeBlocks(ipam.store, asked.node);
  checkOwnsName(asked.node, machine?.record, ipam.local.machine);
  if (draining) throw drainingError(asked.node);
  const known = await readRanges(ipam.store);
  const ranges = known.ranges.map(({ range }) => range);
  // A rule may give a pod what no other gets.
  const request =
    rulesChanged && !asked.ranges ? { ...asked, ranges: ranges.map(({ name }) => name) } : asked;
  const { families } = request;
  const vlans = families.length === 1 ? [undefined] : commonVlans(request, families, known);
  const claimed = await ipam.store.count(ranges.map((range) => blocksOfRange(range.name)));
  const now = ipam.effects.now();
  const lacks = vlans.map((fixed) =>
    families.filter((family) => {
      const counts = (range: Range): boolean => isEligible(range, { request, family, fixed });
      const inHoldings = blocks.some(
        ({ range, block }) => counts(range) && nextCandidate(block, now, range.cooldownMs) !== undefined,
      );
      return (
        !inHoldings &&
        !ranges.some((range, i) => counts(range) && (claimed[i] ?? 0) < usableBlockTotal(range))
      );
    }),
  );
  const [short] = lacks;
  if (!short || lacks.some((lack) => lack.length === 0)) return;
  // Pods of a rule may still get addresses of its own blocks.
  if (rulesChanged && (await haveOwnRoom(ipam, short))) return;
  const names = short.map(familyName).join(' or ');
  const isMeant = (range: Range): boolean =>
    short.some((family) => isEligible(range, { request, family, fixed: undefined }));
  const full = ranges.filter(isMeant).map((range) => `${range.name} ${formatCidr(range.cidr)}`);
  const which =
    full.length > 0 ? `full: ${full.join(', ')}` : `etcd holds no active ${names} range for this network`;
  const kept = keptText(blocks, isMeant, request.node, now);
  const lost = lostRange(ipam.local, known);
  throw new IpamError(
    'exhausted',
    `node '${request.node}' has no free ${names} address (${which})${kept}${notCounted(known.unreadable)}${lost?.text ?? ''}`,
    lost ? { remedy: lost.remedy } : remedyFor(known.unreadable),
  );
}

/** Whether some rule has an own block with room for each of the families. */
async function haveOwnRoom({ store }: Ipam, families: readonly Family[]): Promise<boolean> {
  const keys = await scanAll(store, OWN, { keysOnly: true });
  return families.every((family) => keys.some(({ key }) => familyOfRoomKey(key) === family));
}
