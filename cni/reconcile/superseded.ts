import type { RangedAllocation } from '../../ipam/node/allocations.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { clear } from './clear.ts';
import type { OwnPlace } from './places.ts';

/**
 * Frees the addresses of the pod's earlier sandboxes for the same interface, so that a
 * crash-looping pod does not exhaust the range. The newer sandbox alone proves nothing: `clear`
 * checks each older one under its own lock, and keeps it if its link or namespace may live. One
 * look suffices, because the newer sandbox is the second observer. Never throws, so the ADD
 * continues.
 */
export async function freeSuperseded(
  call: Call,
  platform: Platform,
  older: readonly RangedAllocation[],
): Promise<void> {
  const { stateDir, etcd, node, bridge, ovsdb, ovsdbTls } = call.settings;
  const place = { etcd, node };
  const own: OwnPlace = { stateDir, ipam: place, ovs: { ovsdb, ovsdbTls }, bridge };
  const containers = new Set(older.map(({ slot }) => slot.owner.containerId));
  for (const containerId of containers) {
    const held = older
      .filter(({ slot }) => slot.owner.containerId === containerId)
      .map((seen) => ({ ...seen, place }));
    const target = { containerId, ifname: call.request.ifname, held, allocationsKnown: true, ovs: own.ovs };
    await clear(platform, own, { ...target, pod: podOf(call) }, 'superseded');
  }
}

function podOf({ request: { args } }: Call): string {
  return `${args.podNamespace ?? ''}/${args.podName ?? ''}`;
}
