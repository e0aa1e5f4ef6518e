import type { AllocationRequest, Ipam } from '../../ipam/allocator.ts';
import type { Family } from '../../ipam/address.ts';
import type { HoldingsCache } from '../../ipam/orders.ts';
import { claimAhead, isLow, returnIdle } from '../../ipam/stock.ts';
import type { Log } from '../parts.ts';

/** Two looks at an idle block lie this far apart, in milliseconds. */
const LOOK_EVERY_MS = 5 * 60_000;

/** Keeps a few free addresses ahead of need on each node that it looks after, and gives idle blocks back. */
export class StockKeeper {
  readonly #ipam: Ipam;
  readonly #cache: HoldingsCache;
  readonly #log: Log;
  readonly #claiming = new Set<string>();
  readonly #idle = new Map<string, ReadonlySet<string>>();
  readonly #timer: NodeJS.Timeout;

  constructor(ipam: Ipam, cache: HoldingsCache, log: Log) {
    this.#ipam = ipam;
    this.#cache = cache;
    this.#log = log;
    this.#timer = setInterval(() => void this.giveBack(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Whose idle blocks are given back. A node that allocations name is one of them without that. */
  lookAfter(node: string): void {
    if (!this.#idle.has(node)) this.#idle.set(node, new Set());
  }

  /** After an allocation: claims the next block where few addresses are left. */
  noted(request: AllocationRequest): void {
    this.lookAfter(request.node);
    const blocks = this.#cache.get(request.node)?.holdings;
    if (!blocks) return;
    for (const family of request.families) {
      if (isLow(blocks, request, family, this.#ipam.around.now())) void this.#claim(request, family);
    }
  }

  async #claim(request: AllocationRequest, family: Family): Promise<void> {
    const { node } = request;
    const key = JSON.stringify([node, family, request.ranges ?? null]);
    if (this.#claiming.has(key)) return;
    this.#claiming.add(key);
    try {
      const block = await claimAhead(this.#ipam, request, family);
      if (block !== undefined) this.#log.info('claimed a block ahead of need', { node, block });
    } catch (error) {
      // The next ADD that needs one claims it itself, and tells what is wrong.
      this.#log.warn('no block could be claimed ahead', { node, reason: String(error) });
    } finally {
      this.#claiming.delete(key);
    }
  }

  /** One look at every node. */
  async giveBack(): Promise<void> {
    for (const [node, seen] of this.#idle) {
      try {
        const { idle, returned } = await returnIdle(this.#ipam, node, seen);
        this.#idle.set(node, idle);
        if (returned.length > 0) this.#log.info('gave idle blocks back', { node, blocks: returned });
      } catch (error) {
        this.#log.warn('idle blocks could not be looked at', { node, reason: String(error) });
      }
    }
  }
}
