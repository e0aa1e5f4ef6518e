import {
  expectedOf,
  isOwnedBy,
  newBlock,
  releaseSlot,
  takeSlot,
  usedSlots,
  type Block,
} from '../../ipam/model/block.ts';
import { restoreSlot, setAsideSlot } from '../../ipam/model/restore-slot.ts';
import type { Owner } from '../../ipam/model/attachment.ts';
import type { ReleaseCause } from '../../ipam/model/lifetime.ts';
import { setBackReason } from '../../ipam/node/fence.ts';
import { isIdle } from '../../ipam/node/surplus.ts';
import { allCandidates } from '../support/candidates.ts';
import { addressOf, NOW, usedIn } from './etcd.ts';
import type { Rule } from './rules.ts';
import {
  CIDRS,
  containerOf,
  nodeOf,
  NODES,
  RANGE,
  samePlace,
  type Etcd,
  type NodeNumber,
  type Place,
  type State,
  type Transaction,
} from './state.ts';

export const ownerOf = (container: number): Owner => ({
  containerId: String(container),
  ifname: 'eth0',
  network: 'cell',
  bootId: 'boot',
});

/** A block as a transaction changes it. */
type Change = Transaction['blocks'][number];

/** Makes the transaction of a node from what it has read. */
function transactionOf(
  { marks, nodes }: State,
  node: NodeNumber,
  read: Etcd,
  blocks: readonly Change[],
  { told, tells = false }: { readonly told?: boolean; readonly tells?: boolean } = {},
): Transaction {
  const machine = read.machines[node];
  // Where etcd has no record, the count goes on from what the node has seen.
  const generation = (machine?.generation ?? nodes[node]?.fence ?? 0) + 1;
  return {
    node,
    machine,
    blocks,
    told,
    tells,
    next: { generation, mark: marks },
    claims: blocks.some(({ was, is }) => !was && is),
  };
}

/** Why the state that was read cannot follow what the node has seen (ipam/node/fence.ts). */
export function isSetBack(state: State, node: NodeNumber, read: Etcd, without: ReadonlySet<Rule>): boolean {
  if (without.has('fence')) return false;
  const seen = { clusterId: '1', revision: '0', generation: nodeOf(state, node).fence };
  const now = { clusterId: '1', revision: '0', generation: read.machines[node]?.generation ?? 0 };
  return setBackReason(seen, now) !== undefined;
}

/** Returns the listed containers whose address the node's blocks in etcd do not call used. */
export function missingOf(state: State, node: NodeNumber, read: Etcd, inUse: readonly number[]): number[] {
  const used = usedIn(read).filter(({ place }) => read.blocks[place.block]?.node === NODES[node]);
  return inUse.filter((container) => {
    const { place } = containerOf(state, container);
    return place && !used.some((each) => samePlace(each.place, place));
  });
}

/**
 * Makes the transaction that enters again what lives on the node (ipam/node/write-back.ts);
 * undefined when there is nothing to write or to tell.
 * @param living containers that are missing in etcd and alive, whose locks the node holds
 */
export function writeBack(
  state: State,
  node: NodeNumber,
  read: Etcd,
  living: readonly number[],
  isOld: boolean,
): Transaction | undefined {
  const tells = (living.length > 0 || isOld) && !read.told;
  const changes = CIDRS.flatMap((cidr, at): Change[] => {
    const carried = living.flatMap((container) => {
      const { place } = containerOf(state, container);
      return place?.block === at ? [{ container, place }] : [];
    });
    if (carried.length === 0) return [];
    const was = read.blocks[at];
    const isOurs =
      !was ||
      was.node === NODES[node] ||
      usesNothing(
        was,
        carried.map(({ container }) => container),
      );
    let is = was && isOurs ? { ...was, node: NODES[node] } : was;
    is ??= newBlock(RANGE, cidr, NODES[node], NOW, read.counts[at]);
    for (const { container, place } of carried) {
      const address = addressOf(place);
      if (isOurs) {
        const result = restoreSlot(is, { address, owner: ownerOf(container), allocatedAt: NOW }, is.node);
        if (result.outcome === 'restored') is = result.block;
      } else is = setAsideSlot(is, address, `of ${container}`, NOW) ?? is;
    }
    return was && is.sequence === was.sequence ? [] : [{ at, was, is }];
  });
  if (changes.length === 0 && !tells) return undefined;
  return transactionOf(state, node, read, changes, { ...(tells && { told: read.told }), tells });
}

/** Whether another node's block has no allocation but of these containers: it can be taken over. */
const usesNothing = (block: Block, containers: readonly number[]): boolean =>
  usedSlots(block, ({ owner }) => !containers.includes(Number(owner.containerId))).length === 0;

/** An allocation with its transaction. */
export interface Picked {
  readonly place: Place;
  readonly transaction: Transaction;
}

/**
 * Returns every way to give the container an address: the next one of the node's blocks, else that
 * of any unclaimed block.
 */
export function pick(
  state: State,
  node: NodeNumber,
  read: Etcd,
  container: number,
  without: ReadonlySet<Rule>,
): Picked[] {
  const held = read.blocks.flatMap((block, at) =>
    block?.node === NODES[node] ? [{ at, was: block, block }] : [],
  );
  const own = pickFrom(state, node, read, container, held, without);
  if (own) return [own];
  const unclaimed = read.blocks.flatMap((block, at) => {
    const cidr = CIDRS[at];
    if (block || !cidr) return [];
    return [{ at, was: undefined, block: newBlock(RANGE, cidr, NODES[node], NOW, read.counts[at]) }];
  });
  return unclaimed.flatMap((each) => pickFrom(state, node, read, container, [each], without) ?? []);
}

function pickFrom(
  state: State,
  node: NodeNumber,
  read: Etcd,
  container: number,
  blocks: readonly { readonly at: number; readonly was: Block | undefined; readonly block: Block }[],
  without: ReadonlySet<Rule>,
): Picked | undefined {
  const inTurn = blocks
    .flatMap((each) => allCandidates(each.block, NOW, 0).map((candidate) => ({ ...each, ...candidate })))
    .sort((a, b) => a.turn - b.turn);
  for (const { at, was, block, index } of inTurn) {
    const place = { block: at, slot: index };
    const isUsed = state.containers.some(
      (each, i) =>
        i + 1 !== container && each.node === node && each.life === 'lives' && samePlace(each.place, place),
    );
    if (isUsed && !without.has('local-use')) continue;
    const { block: is } = takeSlot(block, index, ownerOf(container), NOW);
    const told = was ? undefined : read.told;
    const transaction = transactionOf(state, node, read, [{ at, was, is }], {
      ...(told !== undefined && { told }),
    });
    return { place, transaction };
  }
  return undefined;
}

/** Makes the transaction that releases what the container has in the node's blocks. */
export function release(
  state: State,
  node: NodeNumber,
  read: Etcd,
  container: number,
  cause: ReleaseCause,
  touches: boolean,
): Transaction | undefined {
  const changes = read.blocks.flatMap((was, at): Change[] => {
    if (was?.node !== NODES[node]) return [];
    let is = was;
    for (const { address, slot } of usedSlots(was, (each) => isOwnedBy(each, ownerOf(container)))) {
      const result = releaseSlot(is, address, expectedOf(slot), NOW, cause);
      if (result.outcome === 'released') is = result.block;
    }
    return is === was ? [] : [{ at, was, is }];
  });
  if (changes.length === 0 && !touches) return undefined;
  return transactionOf(state, node, read, changes);
}

/** Makes the transaction that returns an idle block of the node. */
export function returnOf(state: State, node: NodeNumber, read: Etcd, at: number): Transaction | undefined {
  const was = read.blocks[at];
  if (was?.node !== NODES[node] || !isIdle({ block: was, range: RANGE }, NOW)) return undefined;
  return transactionOf(state, node, read, [{ at, was, is: undefined }]);
}
