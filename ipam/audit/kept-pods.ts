import type { Address } from '../model/address.ts';
import { isKept, slotAddress, type Block, type KeptSlot } from '../model/block.ts';
import { keptSlots } from '../model/kept-slot.ts';
import type { Rule } from '../model/rule.ts';
import { unmadeBy, type StatefulSets, type Unmade } from './scale-down.ts';

/** An address that is kept for a pod that is gone, by the pod's name. */
export interface KeptAddress {
  readonly address: Address;
  readonly range: string;
  /** Node of the block. */
  readonly node: string;
  /** Key of the block in etcd. */
  readonly blockKey: string;
  readonly slot: KeptSlot;
}

/** A kept address whose pod no StatefulSet makes any more. */
export type Unneeded = { readonly kept: KeptAddress } & Unmade;

export type UnneededReason = Unmade['reason'];

/** What says when an address is kept long enough for a pod that nobody makes. */
export interface KeptTerms {
  /** How long a pod must have been beyond its StatefulSet's replicas, in milliseconds. */
  readonly afterMs: number;
  /** Whether also those are to end of which there is no StatefulSet. */
  readonly orphaned: boolean;
}

/**
 * The addresses that are kept by name, and the pods of these names that exist. As in
 * {@link PodAudit}, first all blocks come, then all pods.
 */
export class KeptPods {
  readonly #all: KeptAddress[] = [];
  readonly #names = new Set<string>();
  #found = new Set<string>();

  /** @param now those whose time has ended are kept no more */
  addBlock(blockKey: string, block: Block, now: number): void {
    for (const kept of keptByName(blockKey, block, now)) {
      this.#all.push(kept);
      this.#names.add(nameOf(kept));
    }
  }

  /** Starts the list of pods, for the first time or again. */
  restartPods(): void {
    this.#found = new Set();
  }

  /** A pod in whatever state counts. */
  addPod({ namespace, name }: { readonly namespace: string; readonly name: string }): void {
    if (this.#names.size === 0) return;
    const id = `${namespace}/${name}`;
    if (this.#names.has(id)) this.#found.add(id);
  }

  get size(): number {
    return this.#all.length;
  }

  /** Returns the addresses whose pods no StatefulSet makes, and those with a mark that is wrong. */
  judge(
    sets: StatefulSets,
    rules: readonly Rule[],
  ): { readonly unneeded: readonly Unneeded[]; readonly pardoned: readonly KeptAddress[] } {
    const unneeded: Unneeded[] = [];
    const pardoned: KeptAddress[] = [];
    for (const kept of this.#all) {
      const unmade = this.#found.has(nameOf(kept)) ? undefined : judgeKept(kept, sets, rules);
      if (unmade) unneeded.push({ kept, ...unmade });
      if (unmade?.reason !== 'scaled-down' && kept.slot.scaledDownAt !== undefined) pardoned.push(kept);
    }
    return { unneeded, pardoned };
  }
}

/** Returns the block's addresses that are kept for pods of certain names. */
export const keptByName = (blockKey: string, block: Block, now: number): KeptAddress[] =>
  keptSlots(block, (slot) => !slot.keep.anyPod && isKept(slot, now)).map(({ index, slot }) => ({
    ...{ address: slotAddress(block, index), range: block.range, node: block.node, blockKey, slot },
  }));

export const nameOf = ({ slot }: Pick<KeptAddress, 'slot'>): string =>
  `${slot.pod.namespace}/${slot.pod.name}`;

/**
 * Returns why no StatefulSet makes the pod of the address, which the API server does not have. Of a
 * rule that is gone, that cannot be read, or that is for pods of another owner nothing is said.
 */
export function judgeKept(
  { slot }: Pick<KeptAddress, 'slot'>,
  sets: StatefulSets,
  rules: readonly Rule[],
): Unmade | undefined {
  const rule = rules.find(({ name }) => name === slot.keep.rule);
  const mayBeOfSet = rule?.ownerKind === undefined || rule.ownerKind === 'StatefulSet';
  return rule?.keep && !rule.keep.anyPod && mayBeOfSet ? unmadeBy(sets, slot.pod) : undefined;
}

/** Whether the address was kept long enough: its keeping may end. */
export function isDue({ kept, reason }: Unneeded, { afterMs, orphaned }: KeptTerms, now: number): boolean {
  const { keptAt, scaledDownAt } = kept.slot;
  if (reason === 'orphaned') return orphaned && now - keptAt >= afterMs;
  // A mark that lies in the future comes from another clock.
  return afterMs === 0 || (scaledDownAt !== undefined && isPast(scaledDownAt, now, afterMs));
}

const isPast = (since: number, now: number, afterMs: number): boolean =>
  since <= now && now - since >= afterMs;

/** Whether an orphaned address is worth telling: a set that is made again takes a moment. */
export const isTold = ({ kept, reason }: Unneeded, { afterMs }: KeptTerms, now: number): boolean =>
  reason === 'scaled-down' || now - kept.slot.keptAt >= afterMs;
