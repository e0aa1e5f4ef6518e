import { formatAddress } from '../../ipam/model/address.ts';
import { nameOf } from './claims.ts';
import { FRONTEND_KINDS, protocolName, sameFrontend, type Frontend } from './frontend.ts';
import type { Refusal } from './refusal.ts';

/** What a bridge is to do otherwise than after the last change. */
export interface Change {
  readonly changed: ReadonlyMap<string, Frontend>;
  readonly removed: ReadonlySet<string>;
}

/**
 * The frontends that Services ask for, by key. Of several Services with the same key one is served:
 * a cluster address wins over a load balancer's, that over an external one, and then the first by
 * name. So every node decides alike, whatever the order of events.
 */
export class Claimants {
  /** The first of each is served. */
  readonly #byKey = new Map<string, Frontend[]>();
  /** Keys that several Services claim. */
  readonly #contested = new Set<string>();
  /** What was served when the last change was taken, for keys that were touched since. */
  readonly #before = new Map<string, Frontend | undefined>();
  #losers: readonly Refusal[] | undefined;

  /**
   * Replaces all claims of one Service.
   * @returns the new claims, with the former object where nothing is different
   */
  replace(
    former: ReadonlyMap<string, Frontend>,
    next: ReadonlyMap<string, Frontend>,
  ): ReadonlyMap<string, Frontend> {
    const kept = new Map<string, Frontend>();
    for (const [key, frontend] of next) {
      const old = former.get(key);
      const isSame = old !== undefined && sameFrontend(old, frontend);
      kept.set(key, isSame ? old : frontend);
      if (!isSame) this.#exchange(key, old, frontend);
    }
    for (const [key, old] of former) if (!next.has(key)) this.#exchange(key, old, undefined);
    return kept;
  }

  #exchange(key: string, old: Frontend | undefined, next: Frontend | undefined): void {
    const claimants = this.#byKey.get(key) ?? [];
    if (!this.#before.has(key)) this.#before.set(key, claimants[0]);
    const others = claimants.filter((each) => each !== old);
    const now = next ? [...others, next].sort(byPrecedence) : others;
    if (now.length === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, now);
    if (now.length > 1 || claimants.length > 1) this.#losers = undefined;
    if (now.length > 1) this.#contested.add(key);
    else this.#contested.delete(key);
  }

  served(key: string): Frontend | undefined {
    return this.#byKey.get(key)?.[0];
  }

  *all(): Generator<readonly [string, Frontend]> {
    for (const [key, [first]] of this.#byKey) if (first) yield [key, first];
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Returns what is served otherwise than at the last call. */
  take(): Change {
    const changed = new Map<string, Frontend>();
    const removed = new Set<string>();
    for (const [key, before] of this.#before) {
      const now = this.served(key);
      if (now === undefined) {
        if (before !== undefined) removed.add(key);
      } else if (before === undefined || !sameFrontend(before, now)) changed.set(key, now);
    }
    this.#before.clear();
    return { changed, removed };
  }

  /** Returns the claims that others won: the same array until one changes. */
  losers(): readonly Refusal[] {
    this.#losers ??= [...this.#contested].flatMap((key) => {
      const [winner, ...losers] = this.#byKey.get(key) ?? [];
      return winner ? losers.map((loser) => lost(loser, winner)) : [];
    });
    return this.#losers;
  }
}

const rank = ({ kind }: Frontend): number => FRONTEND_KINDS.indexOf(kind);

const byPrecedence = (a: Frontend, b: Frontend): number =>
  rank(a) - rank(b) || (a.service < b.service ? -1 : a.service > b.service ? 1 : 0);

const lost = ({ service, kind, address, protocol, port }: Frontend, winner: Frontend): Refusal => ({
  service,
  what: `${protocolName(protocol)} port ${port} of ${nameOf(kind, formatAddress(address))}`,
  reason: `is served for ${winner.service}, which has it as ${nameOf(winner.kind, formatAddress(address))}`,
});
