import { outlineOf } from '../../ipam/records/lazy-block.ts';
import { CELL_LETTERS, blockCounts, type CellState } from '../../ipam/map/cells.ts';
import type { AddressCell, BlockRow, MapSource, RangeOverview } from '../../ipam/map/map.ts';
import type { Found } from '../../ipam/map/search.ts';
import { formatAddress, formatCidr } from '../../ipam/model/address.ts';
import type { Slot } from '../../ipam/model/block.ts';
import { ruleOf } from '../../ipam/model/holder.ts';
import type { Lifetime } from '../../ipam/model/lifetime.ts';
import { macOf } from '../../ipam/model/mac.ts';
import { blockTotal, type Range } from '../../ipam/model/range.ts';
import { isoTime } from '../../ipam/records/codec.ts';
import { podJson } from '../render/pod.ts';

/** What the page is told of a range, by another part: such as when it will be full. */
export type Extras = (range: string) => Readonly<Record<string, unknown>>;

export function rangeJson(
  source: MapSource,
  { range, capacity, counts, blocks, holders }: RangeOverview,
  now: number,
): object {
  const { name, cidr, gateway, vlan, state, namedOnly, blockSize, cooldownMs } = range;
  return {
    ...{ name, cidr: formatCidr(cidr), gateway: gateway ? formatAddress(gateway) : null, vlan: vlan ?? null },
    ...{ state, namedOnly: namedOnly ?? false, blockSize, cooldownMs, capacity, counts, blocks, holders },
    strip: stripOf(source, range, now),
  };
}

/** Most characters of a strip. */
const STRIP = 128;

/**
 * Returns a range in little, one character for each block, or for several: `.` nobody has claimed
 * it, `0` to `9` so many tenths of the claimed addresses are taken, `f` all; `!` a conflict, `?` a
 * record that cannot be read. Of a range with more than 2^20 blocks only the claimed ones.
 */
export function stripOf(source: MapSource, range: Range, now: number): string {
  const blocks = source.blocksOf(range.name);
  const hidden = source.unreadableOf(range.name);
  const total = Number(blockTotal(range));
  const isSparse = total > 2 ** 20;
  const places = isSparse ? Math.max(1, blocks.length + hidden.length) : total;
  const each = Math.ceil(places / STRIP);
  const sums = Array.from({ length: Math.ceil(places / each) }, () => ({ taken: 0, of: 0, mark: '' }));
  const base = range.cidr.base.value;
  const sumAt = (value: bigint, turn: number): (typeof sums)[number] | undefined =>
    sums[Math.floor((isSparse ? turn : Number(value - base) / range.blockSize) / each)];
  for (const [turn, block] of blocks.entries()) {
    const sum = sumAt(block.cidr.base.value, turn);
    if (!sum) continue;
    const { free, reserved, conflict } = blockCounts(block, now, range.cooldownMs);
    const size = outlineOf(block).length;
    sum.of += size - reserved;
    sum.taken += size - reserved - free;
    if (conflict > 0) sum.mark = '!';
  }
  for (const [turn, cidr] of hidden.entries()) {
    const sum = sumAt(cidr.base.value, blocks.length + turn);
    if (sum) sum.mark = '?';
  }
  return sums
    .map(({ taken, of, mark }) => {
      if (mark !== '') return mark;
      if (of === 0) return '.';
      return taken >= of ? 'f' : String(Math.floor((10 * taken) / of));
    })
    .join('');
}

export const lettersOf = (cells: readonly CellState[]): string =>
  cells.map((cell) => CELL_LETTERS[cell]).join('');

/** @param holder a node, or `rule:NAME` */
function holderJson(holder: string | undefined): object | null {
  if (holder === undefined) return null;
  const rule = ruleOf({ node: holder });
  return rule === undefined ? { kind: 'node', name: holder } : { kind: 'rule', name: rule };
}

export const rowJson = ({ cidr, holder, claimedAt, cells }: BlockRow): object => ({
  cidr: formatCidr(cidr),
  holder: holderJson(holder),
  claimedAt: claimedAt === undefined ? null : isoTime(claimedAt),
  cells: lettersOf(cells),
});

export function addressJson(cell: AddressCell): object {
  const { address, range, cidr, state, holder, node, reservedAs, slot } = cell;
  return {
    ip: formatAddress(address),
    range: range.name,
    block: formatCidr(cidr),
    state,
    holder: holderJson(holder),
    node: node ?? null,
    reservedAs: reservedAs ?? null,
    mac: address.family === 4 && slot?.state === 'used' ? macOf([address]) : null,
    ...slotJson(slot, state),
  };
}

function slotJson(slot: Slot | undefined, state: CellState): object {
  if (slot?.state === 'used') {
    const { owner, allocatedAt, keep, condemned, chosenBy } = slot;
    return {
      pod: podJson(owner),
      containerId: owner.containerId,
      ifname: owner.ifname,
      network: owner.network,
      since: isoTime(allocatedAt),
      ...(keep && { keep: { rule: keep.rule, forMs: keep.forMs ?? null } }),
      ...(condemned && {
        condemned: { at: isoTime(condemned.at), by: condemned.by, reason: condemned.reason },
      }),
      ...(chosenBy && { chosenBy }),
    };
  }
  if (slot?.state === 'kept' && state !== 'free') {
    const { pod, keep, keptAt } = slot;
    const kept = { rule: keep.rule, forMs: keep.forMs ?? null };
    return {
      ...{ pod: { namespace: pod.namespace, name: pod.name, uid: null }, ifname: pod.ifname },
      ...{ since: isoTime(keptAt), keep: kept },
    };
  }
  if (slot?.state !== 'released' || state === 'free') return {};
  const { releasedAt, conflictMac } = slot;
  return { since: isoTime(releasedAt), ...(conflictMac !== undefined && { conflictMac }) };
}

export function lifetimeJson({ node, owner, allocatedAt, releasedAt, cause }: Lifetime): object {
  return {
    ...{ from: isoTime(allocatedAt), until: isoTime(releasedAt), node, pod: podJson(owner) },
    ...{ containerId: owner.containerId, ifname: owner.ifname, why: cause.why },
    ...(cause.detail !== undefined && { detail: cause.detail }),
    ...(cause.by !== undefined && { by: cause.by }),
  };
}

export function foundJson({ block, address, holder, ...found }: Found): object {
  return {
    ...found,
    ...(block && { block: formatCidr(block) }),
    ...(address && { ip: formatAddress(address) }),
    ...(holder !== undefined && { holder: holderJson(holder) }),
  };
}
