import type { Slot } from '../../ipam/model/block.ts';
import type { Lifetime } from '../../ipam/model/lifetime.ts';
import { isoTime } from '../../ipam/records/codec.ts';
import { podJson } from '../render/pod.ts';
import { lifetimeJson } from './map-json.ts';

/** What is recorded of an address. */
export interface Recorded {
  /** Newest first. */
  readonly past: readonly Lifetime[];
  /** Some releases before this time may have been overwritten. Undefined: none was. */
  readonly completeSince: number | undefined;
  /** As it is now; undefined: nobody has claimed its block, or the record cannot be read. */
  readonly slot: Slot | undefined;
  readonly node: string | undefined;
}

/**
 * Says who had the address at a time. `owner` null: nobody, when `isCertain`; otherwise the record
 * of it may have been overwritten.
 */
export function ownerAt({ past, completeSince, slot, node }: Recorded, at: number): object {
  const time = isoTime(at);
  if (slot?.state === 'used' && slot.allocatedAt <= at) {
    const { owner, allocatedAt } = slot;
    const { containerId, ifname } = owner;
    const from = isoTime(allocatedAt);
    const known = { from, until: null, node: node ?? null, pod: podJson(owner), containerId, ifname };
    return { time, isCertain: true, owner: known };
  }
  const had = past.find(({ allocatedAt, releasedAt }) => allocatedAt <= at && at < releasedAt);
  if (had) return { time, isCertain: true, owner: lifetimeJson(had) };
  // A lifetime whose record was overwritten ended before the oldest that is kept.
  return { time, isCertain: completeSince === undefined || at >= completeSince, owner: null };
}
