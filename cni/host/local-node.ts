import { formatAddress } from '../../ipam/model/address.ts';
import type { Machine } from '../../ipam/model/machine.ts';
import { isNewer, type Fence } from '../../ipam/node/fence.ts';
import { noLocalNode, type LocalNode } from '../../ipam/node/local-node.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import type { Platform } from '../platform/platform.ts';
import { isUsedByOther, livingCarriers } from '../reconcile/living.ts';

type Pieces = Pick<Platform, 'openState' | 'openKernel' | 'namespaces' | 'tryLock' | 'machine' | 'bootId'>;

/**
 * Other nodes' writes advance the revision all the time. A fence that is this many revisions old is
 * good enough, and saves a write for each read.
 */
const REVISIONS_BEHIND = 1_000n;

/**
 * What this machine knows by itself, for the IPAM of one etcd cluster. A process keeps the fences
 * in memory too, so that it notices a set-back even when the disk refuses a write.
 * @param takeTurn for a process with one caller; the agent gives its callers their turns itself
 */
export function openLocalNode(
  platform: Pieces,
  stateDir: string,
  etcd: EtcdSettings,
  takeTurn = noLocalNode.takeTurn,
): LocalNode {
  const fences = new Map<string, Fence>();
  const placeOf = (node: string): string =>
    JSON.stringify({ endpoints: [...etcd.endpoints].sort(), prefix: etcd.prefix, node });
  const state = (): ReturnType<Platform['openState']> => platform.openState(stateDir);
  const machine = (): Machine | undefined => platform.machine();
  return {
    get machine() {
      return machine();
    },
    bootId: platform.bootId,
    isUsedByOther: (address, owner) => isUsedByOther(platform, stateDir, formatAddress(address), owner),
    carriedAddresses: () => state().carriedAddresses(),
    livingCarriers: (addresses, holders) => livingCarriers(platform, stateDir, etcd, addresses, holders),
    takeTurn,
    readFence: (node) => fences.get(node) ?? state().readFence(placeOf(node)),
    saveFence: (node, fence, afterSetBack) => {
      const known = fences.get(node) ?? state().readFence(placeOf(node));
      if (known && !afterSetBack && !isNewer(fence, known)) return;
      fences.set(node, fence);
      const isClose =
        known !== undefined &&
        known.clusterId === fence.clusterId &&
        known.generation === fence.generation &&
        BigInt(fence.revision) - BigInt(known.revision) < REVISIONS_BEHIND;
      if (!isClose || afterSetBack) state().saveFence(placeOf(node), fence);
    },
  };
}
