import type { Machine } from '../../../ipam/model/machine.ts';
import { isNewer, type Fence } from '../../../ipam/node/fence.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode, type LocalNode } from '../../../ipam/node/local-node.ts';
import { silentObserver, type WriteBackResult } from '../../../ipam/node/observer.ts';
import { decodeMachineRecord, machineKey, type MachineRecord } from '../../../ipam/records/machine-record.ts';
import type { World } from './world.ts';

export const machine = (id: string, more: Partial<Machine> = {}): Machine => ({ id, macs: [], ...more });

/** A machine on whose node nothing lives. It keeps its fence, as a disk does. */
export function localNode(self: Machine): LocalNode {
  let kept: Fence | undefined;
  return {
    ...noLocalNode,
    machine: self,
    bootId: `boot-of-${self.id}`,
    readFence: () => kept,
    saveFence: (_, fence, afterSetBack) => {
      if (!kept || afterSetBack || isNewer(fence, kept)) kept = fence;
    },
  };
}

/** Returns the IPAM of a process on the machine, and what it wrote back. */
export function ipamOf(world: World, local: LocalNode): Ipam & { readonly wroteBack: WriteBackResult[] } {
  const wroteBack: WriteBackResult[] = [];
  const observer = {
    ...silentObserver,
    wroteBack: (_: string, result: WriteBackResult) => wroteBack.push(result),
  };
  return { ...directIpam(world.store, world.effects, local, observer), wroteBack };
}

export function recordOf(world: World, node: string): MachineRecord | undefined {
  const entry = world.store.entries.get(machineKey(node));
  return entry && decodeMachineRecord(entry.key, entry.value);
}
