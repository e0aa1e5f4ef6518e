import type { StoreState } from '../store/store.ts';

/**
 * The newest state of etcd that a node has seen, kept on its disk. etcd never goes back by itself:
 * an older state means that it was restored from a snapshot, or replaced.
 */
export interface Fence extends StoreState {
  /** Generation of the node's machine record; 0 where there is none. */
  readonly generation: number;
}

/**
 * Returns why the state cannot be a successor of the fence; undefined if it can. The generation
 * tells what the revision may hide: after a set-back, other nodes' writes may have carried the
 * revision past the fence, but only this node counts its generation. A missing record proves
 * nothing: `cnictl node remove` deletes it. If etcd forgot it, then the node's allocations too, and
 * these are missed.
 */
export function setBackReason(fence: Fence | undefined, now: Fence): string | undefined {
  if (!fence) return undefined;
  if (fence.clusterId !== now.clusterId)
    return `etcd's cluster ID was ${hexOf(fence.clusterId)} and is ${hexOf(now.clusterId)}`;
  if (BigInt(now.revision) < BigInt(fence.revision))
    return `etcd's revision went back from ${fence.revision} to ${now.revision}`;
  if (now.generation > 0 && now.generation < fence.generation)
    return `the node's count of writes went back from ${fence.generation} to ${now.generation}`;
  return undefined;
}

/** etcd's tools write IDs in hexadecimal. */
const hexOf = (id: string): string => BigInt(id).toString(16);

/** Returns whether the state is a later one of the same history. */
export function isNewer(state: Fence, fence: Fence): boolean {
  return (
    state.clusterId === fence.clusterId &&
    BigInt(state.revision) >= BigInt(fence.revision) &&
    state.generation >= fence.generation
  );
}
