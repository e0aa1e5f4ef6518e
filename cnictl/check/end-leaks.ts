import type { LeakReason } from '../../ipam/audit/judge.ts';
import { formatAddress, type Address } from '../../ipam/model/address.ts';
import type { Expected } from '../../ipam/model/block.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import type { ReadBlock } from '../../ipam/node/node-blocks.ts';
import { aliveKey } from '../../ipam/records/alive-record.ts';
import { absent } from '../../ipam/records/transaction.ts';
import { condemnInBlock } from '../../ipam/release/condemn.ts';
import { releaseInBlock } from '../../ipam/release/release-in-block.ts';
import type { NodeLife, NodeLives } from './node-lives.ts';
import type { Wire } from './wire.ts';

/** What ends leaks needs to know of nodes and wire. */
export interface EndingMeans {
  readonly ipam: Ipam;
  readonly lives: NodeLives;
  readonly wire: Pick<Wire, 'answersFor'>;
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

/** How a leak ended, or did not. */
export type Ending =
  | { readonly kind: 'released' | 'would-release'; readonly reason: LeakReason | undefined }
  | CondemnedLeak
  /** The node is silent, but something still answers for the address. */
  | { readonly kind: 'answers'; readonly mac: string }
  /** Another allocation has the address by now, or none. */
  | { readonly kind: 'changed' };

/**
 * Ends leaks of one block. On a node that lives they are condemned, and the node clears them away.
 * On a silent node they are released, unless a host answers for them on the wire. The transaction
 * compares the block as read, and that no agent has come to life meanwhile.
 * @returns one ending for each, in their order; undefined if something changed meanwhile
 * @throws IpamError `store-…`
 */
export async function endLeaks(
  read: ReadBlock,
  leaks: readonly EndedLeak[],
  { ipam, lives, wire, by, dryRun }: EndingMeans,
): Promise<readonly Ending[] | undefined> {
  const { node } = read.block;
  const life = await lives.of(ipam, node);
  if (life !== 'silent') {
    const ending = ({ reason }: EndedLeak, again: boolean): Ending => ({
      kind: dryRun ? 'would-condemn' : 'condemned',
      node,
      life,
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
  if (dryRun) return leaks.map(({ reason }) => ({ kind: 'would-release', reason }));
  const answers = await wire.answersFor(
    read.range.vlan,
    leaks.map(({ address }) => address),
  );
  const macOf = ({ address }: EndedLeak): string | undefined => answers.get(formatAddress(address));
  const quiet = leaks.filter((leak) => macOf(leak) === undefined);
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
      const isReleased = outcomes[quiet.indexOf(leak)] === 'released';
      return isReleased ? { kind: 'released', reason: leak.reason } : { kind: 'changed' };
    })
  );
}
