import type { KubeApi } from '../../cni/kube/api.ts';
import { canonicalPod, indexPods, judge } from '../../ipam/audit/judge.ts';
import { formatAddress } from '../../ipam/model/address.ts';
import { hasSlotsOf, isCooling, expectedOf, type Block } from '../../ipam/model/block.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { isIdle } from '../../ipam/node/surplus.ts';
import { viewNode, type NodeView } from '../../ipam/query/node-view.ts';
import { addressesOf, type AddressView, type BlockView } from '../../ipam/query/views.ts';
import type { UnreadableRecord } from '../../ipam/records/unreadable.ts';
import type { Guard } from '../../ipam/records/transaction.ts';
import { releaseAddress } from '../../ipam/release/release-in-block.ts';
import { handOver, heirsOf } from '../../ipam/release/hand-over.ts';
import { returnIdleBlock } from '../../ipam/release/return-block.ts';
import type { Wire } from '../check/wire.ts';

/** An address of the node, and the pod that keeps it. */
export interface Target {
  readonly view: AddressView;
  /** `namespace/name` of the pod that the API server still has. Undefined: none is known. */
  readonly pod: string | undefined;
  /** The pod's node, if the allocation names the pod by its UID: the pod was never on another. */
  readonly runsOn?: string;
}

/**
 * Returns the node's allocated addresses, each with its living pod.
 * @param kube undefined: no pod is looked up
 */
export async function targetsOf(ipam: Ipam, view: NodeView, kube: KubeApi | undefined): Promise<Target[]> {
  const used = [...view.blocks, ...view.guests]
    .flatMap((block) => addressesOf(block, ipam.effects.now()))
    .filter(({ state, node }) => state === 'used' && node === view.node);
  const targets: Target[] = [];
  for (const each of used)
    targets.push({ view: each, pod: undefined, ...(kube && (await livingPod(kube, each))) });
  return targets;
}

/**
 * Returns the pod of an allocation while the API server still has it. An allocation that names no
 * pod has no user, because a gone node runs no container.
 */
async function livingPod(
  kube: KubeApi,
  view: AddressView,
): Promise<Pick<Target, 'pod' | 'runsOn'> | undefined> {
  if (view.slot?.state !== 'used') return undefined;
  const { podNamespace, podName, podUid } = view.slot.owner;
  if (podNamespace === undefined || podName === undefined) return undefined;
  const found = await kube.getPod(podNamespace, podName);
  const verdict = judge({ slot: view.slot }, indexPods(found ? [canonicalPod(found)] : []));
  if (verdict.kind !== 'in-use') return undefined;
  const { nodeName } = verdict.pod;
  return {
    pod: `${podNamespace}/${podName}`,
    ...(podUid !== undefined && nodeName !== undefined && { runsOn: nodeName }),
  };
}

/**
 * Returns the targets of both looks. An allocation that changed hands in between is not the same.
 */
export function confirmTargets(first: readonly Target[], second: readonly Target[]): Target[] {
  const id = ({ view }: Target): string =>
    view.slot?.state === 'used'
      ? `${formatAddress(view.address)} ${JSON.stringify(expectedOf(view.slot))}`
      : '';
  const seen = new Set(first.map(id));
  return second.filter((target) => seen.has(id(target)));
}

export interface Freed {
  readonly view: AddressView;
  readonly outcome: 'released' | 'would-release' | 'changed' | 'pod-lives' | 'node-is-back' | 'answers';
  readonly pod: string | null;
}

export interface FreeOptions {
  /** Tells whether the node is in the cluster again. The removal then frees nothing more. */
  readonly isBack: () => Promise<boolean>;
  readonly force: boolean;
  readonly dryRun: boolean;
  /** Actor for the history. */
  readonly by: string;
  /** Asks the wire whether a host still answers for addresses. */
  readonly wire: Pick<Wire, 'answersFor'>;
  /** What each release compares besides the block. */
  readonly guards: readonly Guard[];
  /** VLANs of the ranges, by name. */
  readonly vlans: ReadonlyMap<string, number | undefined>;
}

/**
 * Frees each address only from the allocation that was observed, and unless a host still answers
 * for it on the wire. Checks again before each block whether the node is back.
 */
export async function freeTargets(
  ipam: Ipam,
  targets: readonly Target[],
  { isBack, force, dryRun, by, wire, vlans, guards }: FreeOptions,
): Promise<Freed[]> {
  const freed: Freed[] = [];
  let back = false;
  let block: unknown;
  let answers: ReadonlyMap<string, string> = new Map();
  for (const { view, pod } of targets) {
    if (!dryRun && !back && view.block !== block) {
      back = await isBack();
      if (!back && !force) answers = await answersInBlock(wire, targets, view, vlans.get(view.range));
    }
    block = view.block;
    if (answers.has(formatAddress(view.address))) {
      freed.push({ view, pod: pod ?? null, outcome: 'answers' });
      continue;
    }
    freed.push({
      view,
      pod: pod ?? null,
      outcome: await free(ipam, view, pod, { back, force, dryRun, by, guards }),
    });
  }
  return freed;
}

/** Asks for all targets of the view's block at once. */
async function answersInBlock(
  wire: Pick<Wire, 'answersFor'>,
  targets: readonly Target[],
  { block }: AddressView,
  vlan: number | undefined,
): Promise<ReadonlyMap<string, string>> {
  const own = targets.filter(({ view }) => view.block === block);
  return await wire.answersFor(
    vlan,
    own.map(({ view }) => view.address),
  );
}

async function free(
  ipam: Ipam,
  { slot, address }: AddressView,
  pod: string | undefined,
  {
    back,
    force,
    dryRun,
    by,
    guards,
  }: Omit<FreeOptions, 'isBack' | 'wire' | 'vlans'> & { readonly back: boolean },
): Promise<Freed['outcome']> {
  if (slot?.state !== 'used') return 'changed';
  if (pod !== undefined && !force) return 'pod-lives';
  if (back) return 'node-is-back';
  if (dryRun) return 'would-release';
  const outcome = await releaseAddress(ipam, address, expectedOf(slot), { why: 'node-removed', by }, guards);
  return outcome === 'released' ? 'released' : 'changed';
}

/**
 * Returns the milliseconds until the last cooling address of the blocks is free. Ignores addresses
 * set aside because a foreign host uses them.
 */
export function restOf(blocks: readonly BlockView[], now: number): number {
  const rests = blocks.flatMap(({ block, range }) =>
    block.slots.flatMap((slot) =>
      slot.state === 'released' &&
      slot.conflictMac === undefined &&
      range &&
      isCooling(slot, now, range.cooldownMs)
        ? [slot.releasedAt + range.cooldownMs - now]
        : [],
    ),
  );
  return Math.max(0, ...rests);
}

export interface LeftBlock {
  readonly view: BlockView;
  readonly reason: 'in-use' | 'kept' | 'cooling' | 'range-gone' | 'changed' | 'unreadable' | 'node-is-back';
}

/** A block of which pods of other nodes have or keep addresses, and the node that holds it now. */
export interface HandedBlock {
  readonly view: BlockView;
  readonly to: string;
}

/** What the removal of a node did with its blocks. */
export interface ReturnedBlocks {
  readonly returned: readonly BlockView[];
  readonly handed: readonly HandedBlock[];
  readonly left: readonly LeftBlock[];
  /** The node's records that cannot be read. They stay. */
  readonly unreadable: readonly UnreadableRecord[];
}

/**
 * Returns the blocks that are idle now, one by one, while the node is not back. One that others use
 * or that keeps addresses goes to another node.
 */
export async function returnBlocks(
  ipam: Ipam,
  node: string,
  isBack: () => Promise<boolean>,
  guards: readonly Guard[],
): Promise<ReturnedBlocks> {
  const returned: BlockView[] = [];
  const handed: HandedBlock[] = [];
  const left: LeftBlock[] = [];
  const heirs = await heirsOf(ipam, node);
  let back = false;
  const { blocks, guests, unreadable } = await viewNode(ipam, node);
  for (const view of guests) left.push({ view, reason: 'in-use' });
  for (const view of blocks) {
    back ||= await isBack();
    const outcome = back ? 'node-is-back' : await giveBack(ipam, view, heirs, guards);
    if (outcome === undefined) returned.push(view);
    else if (typeof outcome === 'object') handed.push({ view, ...outcome });
    else left.push({ view, reason: outcome });
  }
  return { returned, handed, left, unreadable };
}

/** A node whose pods use the block already, if there is one; else one by the subnet. */
function heirOf(block: Block, heirs: readonly string[]): string | undefined {
  const number = block.cidr.base.value / BigInt(block.slots.length);
  return (
    heirs.find((each) => hasSlotsOf(block, each)) ??
    (heirs.length > 0 ? heirs[Number(number % BigInt(heirs.length))] : undefined)
  );
}

async function giveBack(
  ipam: Ipam,
  view: BlockView,
  heirs: readonly string[],
  guards: readonly Guard[],
): Promise<LeftBlock['reason'] | Pick<HandedBlock, 'to'> | undefined> {
  const { block, range, counts } = view;
  if (!range) return 'range-gone';
  if (hasSlotsOf(block, block.node)) return 'in-use';
  if (counts.used + counts.kept > 0) {
    // One whose pods use it already, if there is one.
    const to = heirOf(block, heirs);
    if (to === undefined) return 'kept';
    try {
      return (await handOver(ipam, range, block, to, guards)) ? { to } : 'changed';
    } catch (error) {
      if (error instanceof IpamError && error.code === 'corrupt-record') return 'unreadable';
      throw error;
    }
  }
  if (!isIdle({ block, range }, ipam.effects.now())) return 'cooling';
  const outcome = await returnIdleBlock(ipam, range, block, guards);
  return outcome === 'returned' ? undefined : outcome;
}
