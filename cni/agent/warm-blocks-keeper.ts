import { claimAhead, isLow, returnIdle } from '../../ipam/allocate/warm-blocks.ts';
import type { Family } from '../../ipam/model/address.ts';
import type { Demand } from '../../ipam/model/demand.ts';
import { every, type Timer } from '../../ipam/model/effects.ts';
import type { Ipam } from '../../ipam/node/ipam.ts';
import { isOtherMachine } from '../../ipam/node/name-owner.ts';
import type { NodeBlocksCache } from '../../ipam/node/runner.ts';
import type { Log } from '../platform/platform.ts';

/** Interval between two looks at idle blocks, in milliseconds. */
const LOOK_EVERY_MS = 5 * 60_000;

/** Claims blocks ahead of need for each node that it looks after, and returns idle blocks. */
export class WarmBlocksKeeper {
  readonly #ipam: Ipam;
  readonly #cache: NodeBlocksCache;
  readonly #log: Log;
  readonly #claiming = new Set<string>();
  readonly #idle = new Map<string, ReadonlySet<string>>();
  readonly #timer: Timer;

  constructor(ipam: Ipam, cache: NodeBlocksCache, log: Log) {
    this.#ipam = ipam;
    this.#cache = cache;
    this.#log = log;
    this.#timer = every(ipam.effects, LOOK_EVERY_MS, () => void this.giveBack());
  }

  stop(): void {
    this.#timer.cancel();
  }

  /** Returns idle blocks of this node from now on. An allocation for a node does the same. */
  lookAfter(node: string): void {
    if (!this.#idle.has(node)) this.#idle.set(node, new Set());
  }

  /** Claims the next block after an allocation that leaves few free addresses. */
  noted(request: Demand): void {
    this.lookAfter(request.node);
    const blocks = this.#cache.get(request.node)?.blocks;
    // A rule's own blocks grow as they fill up: each is a line more in a firewall.
    if (!blocks || request.blocksOf !== undefined) return;
    for (const family of request.families) {
      if (isLow(blocks, request, family, this.#ipam.effects.now())) void this.#claim(request, family);
    }
  }

  async #claim(request: Demand, family: Family): Promise<void> {
    const { node } = request;
    const key = JSON.stringify([node, family, request.ranges ?? null]);
    if (this.#claiming.has(key)) return;
    this.#claiming.add(key);
    try {
      const block = await claimAhead(this.#ipam, request, family);
      if (block !== undefined) this.#log.info('claimed a block ahead of need', { node, block });
    } catch (error) {
      // The next ADD that needs a block claims it, and reports the error.
      this.#log.warn('no block could be claimed ahead', { node, reason: String(error) });
    } finally {
      this.#claiming.delete(key);
    }
  }

  /** Returns the blocks of every node that were idle, and unchanged, at the previous call too. */
  async giveBack(): Promise<void> {
    for (const [node, seen] of this.#idle) {
      try {
        const { idle, returned } = await returnIdle(this.#ipam, node, seen);
        this.#idle.set(node, idle);
        if (returned.length > 0) this.#log.info('gave idle blocks back', { node, blocks: returned });
      } catch (error) {
        // Presence tells of a name that belongs to another machine.
        if (!isOtherMachine(error))
          this.#log.warn('idle blocks could not be looked at', { node, reason: String(error) });
      }
    }
  }
}
