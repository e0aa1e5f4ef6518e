import { cidrContains, formatAddress, sameAddress, type Address, type Family } from '../model/address.ts';
import type { Attachment } from '../model/attachment.ts';
import { isOwnedBy } from '../model/block.ts';
import { pardonSlot } from '../model/condemn-slot.ts';
import type { Source } from '../model/demand.ts';
import { IpamError } from '../model/errors.ts';
import { blockAt } from '../model/range.ts';
import type { Asks, Facts, FactSource } from '../model/rule.ts';
import { allocationsOn, type RangedAllocation } from '../node/allocations.ts';
import { drainingError } from '../node/drain.ts';
import { checkReadable } from '../node/hidden.ts';
import type { Ipam } from '../node/ipam.ts';
import { readNodeBlocks } from '../node/node-blocks.ts';
import type { NodeRequest } from '../node/runner.ts';
import type { NodeTransaction } from '../node/transaction.ts';
import type { Allocation, AllocationRequest } from './allocation.ts';
import { pickSteps } from './pick-steps.ts';
import { checkKept } from './requested-address.ts';
import { sourcesFor } from './source.ts';

/**
 * Allocates an address of each family for the attachment. A repeated call returns the same
 * addresses (rule 3). Round trips: two to read the node's blocks and one to write; with a cache,
 * only the write. Claiming a block takes four more.
 * @param chosen receives the allocations before the write, so that the caller can prepare for them.
 *   The write may fail or bring others.
 * @param held receives, at each attempt, the node's allocations as they are known, perhaps from a
 *   cache
 * @throws IpamError `exhausted` naming the full ranges; `not-found` for an unknown range name;
 *   `conflict`, `not-found` or `taken` for a requested address; `invalid` for an annotation of the
 *   pod; `still-used` for a kept address whose earlier container may live; `corrupt-record` if a
 *   record that cannot be read may hold a known address; `taken` for an attachment that runs with
 *   an address which etcd does not give to it any more; `contention`, `store-…`. If `uncertain` is
 *   set, etcd may have written the allocation.
 */
export async function allocate(
  ipam: Ipam,
  request: AllocationRequest,
  chosen?: (allocations: Allocation[]) => void,
  held?: (allocations: readonly RangedAllocation[]) => void,
): Promise<Allocation[]> {
  // An unanswered attempt may have been carried out: what it allocated is this call's to undo.
  const attempted: Allocation[] = [];
  let facts: Facts = {};
  /** Where the addresses came from that were not kept; undefined: all were. */
  let used: Source | undefined;
  const change: NodeRequest<Allocation[] | Asks>['change'] = async (transaction, lost) => {
    used = request;
    const own = allocationsOn(request.node, transaction);
    held?.(own);
    const kept = findAllocations(own, request.owner).map(
      (each) => attempted.find((mine) => isSameAllocation(mine, each)) ?? each,
    );
    // A cached allocation of the attachment may have been released since.
    if (transaction.cached && kept.length > 0) return undefined;
    checkKept(request, kept);
    const missing = request.families.filter((family) => !kept.some((each) => each.address.family === family));
    if (missing.length === 0) {
      pardon(transaction, kept);
      return kept;
    }
    const hidden = request.known?.filter(({ family }) => missing.includes(family)) ?? [];
    if (hidden.length > 0) {
      // A block that cannot be read may hold what an earlier ADD of the attachment got.
      if (transaction.cached) return undefined;
      checkReadable(transaction, hidden);
      await checkNotRunning(ipam, request.owner, hidden);
    }
    if (transaction.draining) {
      // A cached drain mark may have been removed since.
      if (transaction.cached) return undefined;
      throw drainingError(request.node);
    }
    try {
      const sources = await sourcesFor(ipam, request, transaction, facts);
      if ('asks' in sources) {
        // Nothing would compare the cached rules. The answer takes its time, and other requests
        // share the transaction.
        return transaction.cached ? undefined : sources;
      }
      const picked = await pickSteps({ ipam, request, sources, transaction, kept, attempt: lost }, missing);
      if (!picked) return undefined;
      const { steps, finish } = picked;
      used = picked.source;
      transaction.relyOnRules();
      for (const { block, from, guards = [] } of steps) {
        transaction.put(block, from);
        for (const guard of guards) transaction.require(guard);
      }
      finish?.(transaction);
      pardon(transaction, kept);
      attempted.push(...steps.map((step) => step.allocation));
      return [...kept, ...steps.map((step) => step.allocation)];
    } catch (error) {
      // What is refused, such as full or taken, may hold only for the cache.
      if (transaction.cached && error instanceof IpamError && !error.code.startsWith('store-'))
        return undefined;
      throw error;
    }
  };
  const holder = request.owner;
  for (;;) {
    const outcome = await ipam.runner.run<Allocation[] | Asks>(request.node, {
      change,
      holder,
      ...(chosen && { chosen: (value) => ('asks' in value ? undefined : chosen(value)) }),
    });
    if (!('asks' in outcome)) {
      if (used) ipam.observer.allocated({ ...used, families: drawn(request, used) });
      return outcome;
    }
    facts = { ...facts, ...(await askAbout(request, outcome.asks)) };
  }
}

/** The families whose addresses any other would have done for as well. */
const drawn = ({ families }: AllocationRequest, { requested = [] }: Source): Family[] =>
  families.filter((family) => !requested.some((each) => each.family === family));

/** @throws IpamError `unknown-pod` if nobody can be asked, or an answer is missing */
async function askAbout({ owner, ask }: AllocationRequest, asks: readonly FactSource[]): Promise<Facts> {
  const pod = `${owner.podNamespace ?? '?'}/${owner.podName ?? '?'}`;
  const facts = ask && (await ask(asks));
  const missing = asks.filter((source) => facts?.[source] === undefined);
  if (facts && missing.length === 0) return facts;
  throw new IpamError(
    'unknown-pod',
    `a rule for pod ${pod} asks for ${asks.join(' and ')} in Kubernetes, and ${ask ? `the API server tells nothing of ${missing.join(' and ')}` : 'no API server is known here'}`,
  );
}

/**
 * Refuses an attachment that runs with an address which etcd no longer gives to it, and which could
 * not be written back: another one would take away the interface that the pod uses.
 * @throws IpamError `taken`
 */
async function checkNotRunning(ipam: Ipam, owner: Attachment, addresses: readonly Address[]): Promise<void> {
  const living = await ipam.local.livingCarriers(addresses.map(formatAddress), [owner]);
  living.unlock();
  const own = living.carriers.find(
    (each) => each.owner.containerId === owner.containerId && each.owner.ifname === owner.ifname,
  );
  if (!own) return;
  throw new IpamError(
    'taken',
    `container ${owner.containerId} runs with ${formatAddress(own.address)}, which etcd does not give to it any more`,
    { remedy: 'Its interface stays as it is. Delete the pod: the next one gets another address.' },
  );
}

/** An attachment that is added again lives: the node must not clear it away. */
function pardon(transaction: NodeTransaction, kept: readonly Allocation[]): void {
  for (const { address, slot } of kept) {
    if (!slot.condemned) continue;
    const held = transaction.held.find(({ block }) => cidrContains(block.cidr, address));
    if (held) transaction.put(pardonSlot(held.block, address));
  }
}

const isSameAllocation = (a: Allocation, b: Allocation): boolean =>
  sameAddress(a.address, b.address) &&
  a.slot.sequence === b.slot.sequence &&
  a.slot.allocatedAt === b.slot.allocatedAt;

/** Returns the allocations of the attachment. */
function findAllocations(allocations: readonly RangedAllocation[], attachment: Attachment): Allocation[] {
  return allocations
    .filter(({ slot }) => isOwnedBy(slot, attachment))
    .map(({ address, range, rule, slot }) => ({
      ...{ address, range, slot },
      ...(rule !== undefined && { rule }),
      block: blockAt(range, address),
      fresh: false,
      unproven: false,
    }));
}

/** Returns the allocations of the attachment on the node; empty if there are none. */
export async function lookup(ipam: Ipam, node: string, attachment: Attachment): Promise<Allocation[]> {
  return findAllocations(allocationsOn(node, await readNodeBlocks(ipam.store, node)), attachment);
}
