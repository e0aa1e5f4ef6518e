import type { Family } from '../model/address.ts';
import { formatAddress } from '../model/address.ts';
import type { Block } from '../model/block.ts';
import type { Source } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import { ruleOf } from '../model/holder.ts';
import type { Ipam } from '../node/ipam.ts';
import type { HeldBlock } from '../node/node-blocks.ts';
import { refreshGuests } from '../node/refresh.ts';
import type { NodeTransaction } from '../node/transaction.ts';
import { isDistrusted } from '../records/set-back-record.ts';
import { readRanges } from '../store/ranges.ts';
import type { Allocation, AllocationRequest } from './allocation.ts';
import { commonVlans, vlanText } from './eligible.ts';
import { pickKept, type KeptPick } from './kept.ts';
import type { Assignment, FixedVlan } from './pick-context.ts';
import { pick } from './pick.ts';
import { firstSource } from './source.ts';

interface StepsContext {
  readonly ipam: Ipam;
  readonly request: AllocationRequest;
  /** Where the addresses may come from, one after the other. */
  readonly sources: readonly Source[];
  readonly transaction: NodeTransaction;
  /** What the attachment has already. */
  readonly kept: readonly Allocation[];
  /** How many attempts were lost to other writers. */
  readonly attempt: number;
}

/** One step for each family. */
export interface PickedSteps {
  readonly steps: readonly Assignment[];
  /** Where those that were not kept came from; undefined: all were kept for the pod. */
  readonly source: Source | undefined;
  /** Changes the transaction, after the steps have. */
  readonly finish?: (transaction: NodeTransaction) => void;
}

/**
 * Picks an address of each family, those first that are kept for the pod.
 * @returns undefined if other writers were faster
 * @throws IpamError as `allocate`
 */
export async function pickSteps(
  context: StepsContext,
  families: readonly Family[],
): Promise<PickedSteps | undefined> {
  const { ipam, request, sources, transaction, kept, attempt } = context;
  const [{ keep, annotated } = request] = sources;
  if (!keep && !annotated?.endsKept) return await pickOthers(context, families, []);
  const unproven = isDistrusted(transaction.setBack, ipam.effects.now());
  const fixed = kept[0] && { vlan: kept[0].range.vlan };
  const ofPod = await pickKept(
    { ipam, request, sources, keep, transaction, fixed, unproven, attempt },
    families,
  );
  const finish = ofPod.apply;
  try {
    const picked = await pickOthers(context, families, ofPod.steps);
    return picked && { ...picked, finish };
  } catch (error) {
    if (!isExhausted(error) || ofPod.steps.length === 0 || transaction.cached) throw error;
    // What any pod may have binds no pod to its VLAN.
    if (keep && !keep.anyPod) throw boundTo(ofPod, error);
    const picked = await pickOthers(context, families, []);
    return picked && { ...picked, finish };
  }
}

/** Says which kept address binds the pod to a VLAN that has no address of the other family. */
function boundTo({ steps }: KeptPick, cause: IpamError): IpamError {
  const which = steps
    .map(({ allocation }) => `${formatAddress(allocation.address)} (${vlanText(allocation.range)})`)
    .join(', ');
  return new IpamError('exhausted', `${cause.message}; the pod keeps ${which}`, {
    cause,
    remedy: `${cause.remedy} To let the pod have another address instead: \`cnictl release\` of the kept one.`,
  });
}

/** @param found steps of families that are kept for the pod */
async function pickOthers(
  { ipam, request, sources, transaction, kept, attempt }: StepsContext,
  families: readonly Family[],
  found: readonly Assignment[],
): Promise<PickedSteps | undefined> {
  const others = families.filter(
    (family) => !found.some(({ allocation }) => allocation.address.family === family),
  );
  if (others.length === 0) return { steps: found, source: undefined };
  const has = [...kept, ...found.map(({ allocation }) => allocation)];
  return await firstSource(sources, transaction.cached, async (source) => {
    const more = await pickAll(ipam, { ...request, ...source }, others, has, transaction, attempt);
    return more && { steps: [...found, ...more], source };
  });
}

/** Returns one step for each family, all on one VLAN; undefined if other writers were faster. */
async function pickAll(
  ipam: Ipam,
  request: AllocationRequest & Source,
  families: readonly Family[],
  kept: readonly Allocation[],
  others: NodeTransaction,
  attempt: number,
): Promise<Assignment[] | undefined> {
  const { claims, setBack } = others;
  const blocks = await blocksFor(ipam, request, others);
  if (!blocks) return undefined;
  const unproven = isDistrusted(setBack, ipam.effects.now());
  return await firstWithRoom(await vlansFor(ipam, request, families, kept), async (fixed) => {
    const steps: Assignment[] = [];
    for (const family of families) {
      const step = await pick({
        ...{ ipam, request, family, blocks, claims, others, fixed, unproven, attempt },
      });
      if (!step) return undefined;
      steps.push(step);
    }
    return steps;
  });
}

/** Returns the blocks that the node knows of those that the request may have addresses of. */
async function blocksFor(
  ipam: Ipam,
  { blocksOf }: Source,
  transaction: NodeTransaction,
): Promise<readonly HeldBlock[] | undefined> {
  if (blocksOf === undefined) return transaction.blocks;
  const isOwn = (block: Block): boolean => ruleOf(block) === blocksOf;
  if (!(await refreshGuests(ipam, transaction, isOwn))) return undefined;
  return transaction.guests.filter(({ block }) => isOwn(block));
}

/**
 * Returns the VLANs to try, in order: the one of the addresses that the attachment has; else any
 * for one family, or those on which all families have a range.
 */
async function vlansFor(
  ipam: Ipam,
  request: AllocationRequest,
  missing: readonly Family[],
  kept: readonly Allocation[],
): Promise<FixedVlan[]> {
  const [first] = kept;
  if (first) return [{ vlan: first.range.vlan }];
  if (missing.length === 1) return [undefined];
  return commonVlans(request, missing, await readRanges(ipam.store));
}

const isExhausted = (error: unknown): error is IpamError =>
  error instanceof IpamError && error.code === 'exhausted';

/** @throws IpamError `exhausted` for the last VLAN if none has room */
async function firstWithRoom<T>(
  vlans: readonly FixedVlan[],
  attempt: (fixed: FixedVlan) => Promise<T>,
): Promise<T> {
  let last: unknown;
  for (const fixed of vlans) {
    try {
      return await attempt(fixed);
    } catch (error) {
      if (!isExhausted(error)) throw error;
      last = error;
    }
  }
  throw last;
}
