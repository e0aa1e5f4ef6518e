import type { SeenAllocation } from '../../ipam/node/allocations.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from '../protocol/call.ts';
import { clear } from './clear.ts';
import type { OwnPlace } from './places.ts';

/**
 * Frees what earlier sandboxes of the call's pod hold for the same interface, so that one that crashes in a loop does not
 * use up the range. That there is a newer one proves nothing: of each it is looked whether its link and namespace are gone, under its own
 * lock; what may live stays. One look is enough, for the pod's newer sandbox is the other witness. Never throws: the ADD goes on.
 */
export async function freeSuperseded(
  call: Call,
  platform: Platform,
  older: readonly SeenAllocation[],
): Promise<void> {
  const { stateDir, etcd, node, ovsdb, ovsdbTls } = call.settings;
  const place = { etcd, node };
  const own: OwnPlace = { stateDir, ipam: place, ovs: { ovsdb, ovsdbTls } };
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
