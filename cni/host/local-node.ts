import { formatAddress } from '../../ipam/model/address.ts';
import type { Effects } from '../../ipam/model/effects.ts';
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

const isClose = (fence: Fence, onDisk: Fence): boolean =>
  onDisk.clusterId === fence.clusterId &&
  onDisk.generation === fence.generation &&
  BigInt(fence.revision) - BigInt(onDisk.revision) < REVISIONS_BEHIND;

/** How long the fence of a process that stays may wait for the disk, in milliseconds. */
const WRITE_WITHIN_MS = 200;

export interface LocalNodeOptions {
  /** For a process with one caller; the agent gives its callers their turns itself. */
  readonly takeTurn?: LocalNode['takeTurn'];
  /**
   * For a process that stays: it writes its fences at most every {@link WRITE_WITHIN_MS}. When it
   * is killed, the disk may lack the last of its writes; the revision is allowed to be that far
   * behind anyway.
   */
  readonly schedule?: Effects['schedule'];
}

/**
 * What this machine knows by itself, for the IPAM of one etcd cluster. A process keeps the fences
 * in memory too, so that it notices a set-back even when the disk refuses a write.
 */
export function openLocalNode(
  platform: Pieces,
  stateDir: string,
  etcd: EtcdSettings,
  { takeTurn = noLocalNode.takeTurn, schedule }: LocalNodeOptions = {},
): LocalNode {
  const newest = new Map<string, Fence>();
  const written = new Map<string, Fence>();
  const waiting = new Set<string>();
  const placeOf = (node: string): string =>
    JSON.stringify({ endpoints: [...etcd.endpoints].sort(), prefix: etcd.prefix, node });
  const state = (): ReturnType<Platform['openState']> => platform.openState(stateDir);
  const machine = (): Machine | undefined => platform.machine();
  const readFence = (node: string): Fence | undefined => {
    const known = newest.get(node);
    if (known) return known;
    const read = state().readFence(placeOf(node));
    if (read) written.set(node, read);
    return read;
  };
  const write = (node: string, fence: Fence): void => {
    state().saveFence(placeOf(node), fence);
    written.set(node, fence);
  };
  return {
    get machine() {
      return machine();
    },
    bootId: platform.bootId,
    isUsedByOther: (address, owner) => isUsedByOther(platform, stateDir, formatAddress(address), owner),
    carriedAddresses: () => state().carriedAddresses(),
    livingCarriers: (addresses, holders) => livingCarriers(platform, stateDir, etcd, addresses, holders),
    takeTurn,
    readFence,
    saveFence: (node, fence, afterSetBack) => {
      const known = readFence(node);
      if (known && !afterSetBack && !isNewer(fence, known)) return;
      newest.set(node, fence);
      const onDisk = written.get(node);
      if (onDisk && !afterSetBack && isClose(fence, onDisk)) return;
      if (afterSetBack || !schedule) {
        write(node, fence);
      } else if (!waiting.has(node)) {
        waiting.add(node);
        schedule(WRITE_WITHIN_MS, () => {
          waiting.delete(node);
          write(node, newest.get(node) ?? fence);
        });
      }
    },
  };
}
