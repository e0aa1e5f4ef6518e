import type { LeakReason } from '../../ipam/audit/judge.ts';
import type { UnneededReason } from '../../ipam/audit/kept-pods.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import { nodeOf, slotIndex, type Expected } from '../../ipam/model/block.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { ReadBlock } from '../../ipam/node/node-blocks.ts';
import { aliveKey } from '../../ipam/records/alive-record.ts';
import { absent } from '../../ipam/records/transaction.ts';
import { condemnInBlock } from '../../ipam/release/condemn.ts';
import { readBlockOf, releaseInBlock } from '../../ipam/release/release-in-block.ts';
import type { NodeLife, NodeLives } from './node-lives.ts';
import type { Wire } from './wire.ts';

/** What ends leaks needs to know of nodes and wire. */
export interface EndingMeans {
  readonly ipam: Ipam;
  readonly lives: NodeLives;
  readonly wire: Pick<Wire, 'answersFor' | 'canAsk'>;
  /** Actor for the history. */
  readonly by: string;
  readonly dryRun: boolean;
}

/** An allocation of which the last look has proven that its pod is gone. */
export interface EndedLeak {
  readonly address: Address;
  readonly expected: Expected;
  readonly reason: LeakReason;
}

/** The leak's node lives, and clears it away: first the interface, then the address (rule 8). */
export interface CondemnedLeak {
  readonly kind: 'condemned' | 'would-condemn';
  readonly node: string;
  readonly life: Exclude<NodeLife, 'silent'>;
  readonly reason: LeakReason;
  /** Whether it had been condemned before. */
  readonly again: boolean;
}

/** Why an address was freed: it leaked, or was kept for a pod that nobody makes any more. */
export type FreedReason = LeakReason | UnneededReason;

/** How a leak ended, or did not. */
export type Ending =
  | { readonly kind: 'released'; readonly reason: FreedReason | undefined }
  | { readonly kind: 'would-release'; readonly reason: LeakReason | undefined }
  | CondemnedLeak
  /** The node is silent, but something still answers for the address. */
  | { readonly kind: 'answers'; readonly mac: string }
  /** The node is silent, the address is kept for its pod, and nobody here could ask the wire. */
  | { readonly kind: 'unasked'; readonly node: string }
  /** Another allocation has the address by now, or none. */
  | { readonly kind: 'changed' };

/**
 * Ends leaks of one block, those of one node after the other. On a node that lives they are
 * condemned, and the node clears them away. On a silent node they are released, unless a host
 * answers for them on the wire. Each transaction compares the block as read, and that no agent has
 * come to life meanwhile.
 * @returns one ending for each, in their order; undefined if something changed meanwhile
 * @throws IpamError `store-…`
 */
export async function endLeaks(
  read: ReadBlock,
  leaks: readonly EndedLeak[],
  means: EndingMeans,
): Promise<readonly Ending[] | undefined> {
  const byNode = new Map<string, EndedLeak[]>();
  for (const leak of leaks) {
    const slot = read.block.slots[slotIndex(read.block, leak.address)];
    const node = slot?.state === 'used' ? nodeOf(read.block, slot) : read.block.node;
    byNode.set(node, [...(byNode.get(node) ?? []), leak]);
  }
  const endings = new Map<EndedLeak, Ending>();
  let now: ReadBlock | undefined = read;
  for (const [node, ofNode] of byNode) {
    // The transaction of the node before has changed the block.
    if (endings.size > 0 && now && !means.dryRun) now = await readBlockOf(means.ipam, read.block.cidr.base);
    const ended = now ? await endOnNode(now, node, ofNode, means) : undefined;
    // What is done is done, and told: the others are for the next check.
    if (!ended && endings.size === 0) return undefined;
    ofNode.forEach((leak, i) => endings.set(leak, ended?.[i] ?? { kind: 'changed' }));
  }
  return leaks.map((leak) => endings.get(leak) ?? { kind: 'changed' });
}

async function endOnNode(
  read: ReadBlock,
  node: string,
  leaks: readonly EndedLeak[],
  means: EndingMeans,
): Promise<readonly Ending[] | undefined> {
  const life = await means.lives.of(means.ipam, node);
  return life === 'silent'
    ? await releaseOnSilent(read, node, leaks, means)
    : await condemnOn(read, { node, life }, leaks, means);
}

async function condemnOn(
  read: ReadBlock,
  of: Pick<CondemnedLeak, 'node' | 'life'>,
  leaks: readonly EndedLeak[],
  { ipam, by, dryRun }: EndingMeans,
): Promise<readonly Ending[] | undefined> {
  const ending = ({ reason }: EndedLeak, again: boolean): Ending => ({
    kind: dryRun ? 'would-condemn' : 'condemned',
    ...of,
    reason,
    again,
  });
  if (dryRun) return leaks.map((leak) => ending(leak, false));
  const at = ipam.effects.now();
  const outcomes = await condemnInBlock(
    ipam,
    read,
    leaks.map(({ address, expected, reason }) => ({ address, expected, condemned: { at, by, reason } })),
  );
  return (
    outcomes &&
    leaks.map((leak, i) => {
      const outcome = outcomes[i];
      const isCondemned = outcome === 'condemned' || outcome === 'already';
      return isCondemned ? ending(leak, outcome === 'already') : { kind: 'changed' };
    })
  );
}

/**
 * A kept address goes to the next pod of the name at once, without a rest: it is released only if
 * the wire was asked.
 */
async function releaseOnSilent(
  read: ReadBlock,
  node: string,
  leaks: readonly EndedLeak[],
  { ipam, wire, by, dryRun }: EndingMeans,
): Promise<readonly Ending[] | undefined> {
  const { block, range } = read;
  if (dryRun) return leaks.map(({ reason }) => ({ kind: 'would-release', reason }));
  const isKept = ({ address }: EndedLeak): boolean => {
    const slot = block.slots[slotIndex(block, address)];
    return slot?.state === 'used' && slot.keep !== undefined;
  };
  const isAsked = await wire.canAsk(range.vlan);
  const unasked = new Set(isAsked ? [] : leaks.filter(isKept));
  const answers = await wire.answersFor(
    range.vlan,
    leaks.map(({ address }) => address),
  );
  const macOf = ({ address }: EndedLeak): string | undefined => answers.get(formatAddress(address));
  const quiet = leaks.filter((leak) => macOf(leak) === undefined && !unasked.has(leak));
  const outcomes = await releaseInBlock(
    ipam,
    read,
    quiet.map(({ address, expected, reason }) => ({
      address,
      expected,
      cause: { why: 'leaked', by, detail: reason },
    })),
    [absent(aliveKey(node))],
  );
  return (
    outcomes &&
    leaks.map((leak): Ending => {
      const mac = macOf(leak);
      if (mac !== undefined) return { kind: 'answers', mac };
      if (unasked.has(leak)) return { kind: 'unasked', node };
      const isReleased = outcomes[quiet.indexOf(leak)] === 'released';
      return isReleased ? { kind: 'released', reason: leak.reason } : { kind: 'changed' };
    })
  );
}
