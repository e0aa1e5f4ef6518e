import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import { formatAddress, parseAddress } from '../../../ipam/model/address.ts';
import type { Machine } from '../../../ipam/model/machine.ts';
import type { Fence } from '../../../ipam/node/fence.ts';
import { directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode, type CarriedAddress, type LocalNode } from '../../../ipam/node/local-node.ts';
import { silentObserver, type WriteBackResult } from '../../../ipam/node/observer.ts';
import { addRange } from '../../../ipam/ranges/ranges.ts';
import { ips, owner, range, World } from './world.ts';

/** A node that knows what lives on it. */
export class Node implements LocalNode {
  readonly carried = new Map<string, CarriedAddress>();
  readonly told: WriteBackResult[] = [];
  readonly ipam: Ipam;
  readonly bootId = 'boot';
  machine: Machine | undefined;
  fence: Fence | undefined;
  readonly name: string;

  constructor(world: World, name: string, machine?: Machine) {
    this.name = name;
    this.machine = machine;
    const observer = {
      ...silentObserver,
      wroteBack: (_: string, result: WriteBackResult) => void this.told.push(result),
    };
    this.ipam = directIpam(world.store, world.effects, this, observer);
  }

  isUsedByOther: LocalNode['isUsedByOther'] = (address, { containerId }) => {
    const by = this.carried.get(formatAddress(address));
    return Promise.resolve(by !== undefined && by.owner.containerId !== containerId);
  };
  carriedAddresses: LocalNode['carriedAddresses'] = () => [...this.carried.keys()];
  livingCarriers: LocalNode['livingCarriers'] = (addresses) =>
    Promise.resolve({
      carriers: addresses.flatMap((address) => this.carried.get(address) ?? []),
      unlock: () => undefined,
    });
  takeTurn = noLocalNode.takeTurn;
  readFence: LocalNode['readFence'] = () => this.fence;
  saveFence: LocalNode['saveFence'] = (_, fence) => (this.fence = fence);

  /** Allocates an address of each family for a pod, which then uses it. */
  async start(id: string, requested?: string): Promise<string> {
    const allocations = await allocate(this.ipam, {
      node: this.name,
      owner: owner(id),
      families: [4],
      ...(requested !== undefined && { requested: [parseAddress(requested)] }),
    });
    for (const each of allocations) this.carry(each);
    return ips(allocations).join();
  }

  carry({ address, range: of, rule, slot }: Allocation): void {
    this.carried.set(formatAddress(address), {
      address,
      prefixLength: of.cidr.prefixLength,
      range: of.name,
      owner: slot.owner,
      allocatedAt: slot.allocatedAt,
      mac: '0a:58:00:00:00:01',
      ...(rule !== undefined && { rule }),
    });
  }
}

export async function twoNodes(cidr = '10.20.0.0/22'): Promise<{ world: World; a: Node; b: Node }> {
  const world = new World();
  await addRange(world.ipam, range(cidr, { name: 'blue', cooldownMs: 0 }));
  return { world, a: new Node(world, 'a'), b: new Node(world, 'b') };
}
