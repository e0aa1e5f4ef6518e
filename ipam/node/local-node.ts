import type { Address } from '../model/address.ts';
import type { Attachment, Owner } from '../model/attachment.ts';
import type { Machine } from '../model/machine.ts';
import type { Fence } from './fence.ts';

/** An address that an attachment of this node uses, by the node's own records. */
export interface CarriedAddress {
  readonly address: Address;
  /** Prefix length of the range. */
  readonly prefixLength: number;
  /** Name of the range. */
  readonly range: string;
  /** Name of the rule whose own block it is of; absent: a node's. */
  readonly rule?: string;
  readonly owner: Owner;
  /** Milliseconds since 1970. */
  readonly allocatedAt: number;
  /** MAC of the pod's end. */
  readonly mac: string;
}

/** Addresses of living attachments, whose locks are held. */
export interface LivingCarriers {
  readonly carriers: readonly CarriedAddress[];
  /** The caller must call it once, when it has written what it makes of them. */
  unlock(): void;
}

/**
 * What this machine knows by itself (rule 10). Whatever etcd says, IPAM gives out no address that
 * an attachment of the node uses, and writes such addresses back into an etcd that forgot them.
 */
export interface LocalNode {
  /** Undefined for a process that speaks for no machine. */
  readonly machine: Machine | undefined;
  readonly bootId: string | undefined;
  /**
   * Returns whether an attachment other than the owner uses the address: it is not gone, by all
   * that the node can see. Cheap where the node's records name none.
   */
  isUsedByOther(address: Address, owner: Attachment): Promise<boolean>;
  /** Returns every address that the node's records name, as text. Cheap: reads no record. */
  carriedAddresses(): readonly string[];
  /**
   * Returns those of the addresses whose attachment is alive and that no call works on: a call
   * holds its attachment's lock.
   * @param addresses as text
   * @param holders attachments whose lock the caller holds
   */
  livingCarriers(addresses: readonly string[], holders: readonly Attachment[]): Promise<LivingCarriers>;
  /**
   * Waits until no other process of the machine that lost a race has its turn, but not for long:
   * only speed depends on it. Resolves with a function that ends the turn.
   */
  readonly takeTurn: () => Promise<() => void>;
  /** Returns the newest state of etcd that a process of this node has seen. */
  readFence(node: string): Fence | undefined;
  /**
   * Keeps the state unless a newer one is kept.
   * @param afterSetBack true to keep it in any case: the node has acted on the set-back
   */
  saveFence(node: string, fence: Fence, afterSetBack: boolean): void;
}

/** For a process on no node, such as the operator's tool, and for tests of pure logic. */
export const noLocalNode: LocalNode = {
  machine: undefined,
  bootId: undefined,
  isUsedByOther: () => Promise.resolve(false),
  carriedAddresses: () => [],
  livingCarriers: () => Promise.resolve({ carriers: [], unlock: () => undefined }),
  takeTurn: () => Promise.resolve(() => undefined),
  readFence: () => undefined,
  saveFence: () => undefined,
};
