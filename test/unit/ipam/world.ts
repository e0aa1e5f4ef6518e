import { allocate } from '../../../ipam/allocate/allocate.ts';
import type { Allocation } from '../../../ipam/allocate/allocation.ts';
import {
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  parseSpan,
} from '../../../ipam/model/address.ts';
import type { Owner } from '../../../ipam/model/attachment.ts';
import { nodeOf, usedSlots, type Block } from '../../../ipam/model/block.ts';
import { ruleOf } from '../../../ipam/model/holder.ts';
import type { Effects } from '../../../ipam/model/effects.ts';
import { makeRange } from '../../../ipam/model/new-range.ts';
import type { Range } from '../../../ipam/model/range.ts';
import { validateBlock } from '../../../ipam/model/validate-block.ts';
import { batchingIpam, directIpam, type Ipam } from '../../../ipam/node/ipam.ts';
import { noLocalNode } from '../../../ipam/node/local-node.ts';
import { silentObserver, type Observer } from '../../../ipam/node/observer.ts';
import { decodeBlock } from '../../../ipam/records/block-record.ts';
import { KEPT } from '../../../ipam/records/kept-record.ts';
import { OWN } from '../../../ipam/records/own-record.ts';
import { BLOCKS, NODES, RANGES } from '../../../ipam/records/keys.ts';
import { isDrainKey } from '../../../ipam/records/node-record.ts';
import { decodeRange } from '../../../ipam/records/range-record.ts';
import { keptDisagreements, roomDisagreements } from '../../../ipam/audit/kept-audit.ts';
import { MemoryStore } from '../../support/memory-store.ts';

/** IPAM on a store in memory, with a clock that the test sets. */
export class World {
  readonly store = new MemoryStore();
  now = Date.parse('2026-01-01T00:00:00Z');
  readonly effects: Effects = {
    now: () => this.now,
    monotonic: () => this.now,
    random: () => this.#random(),
    pause: () => Promise.resolve(),
    yieldTurn: () => Promise.resolve(),
    schedule: () => ({ cancel: () => undefined }),
  };
  readonly ipam: Ipam = directIpam(this.store, this.effects);
  #state: number;

  constructor(seed = 1) {
    this.#state = seed;
  }

  /** xorshift32: the same seed gives the same numbers. */
  #random(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 2 ** 32;
  }

  /** Returns the IPAM of a long-lived process that serves many calls, such as the agent. */
  agent(observer: Observer = silentObserver): Ipam {
    const { store, effects } = this;
    return batchingIpam({ store, effects, observer, cache: new Map(), local: noLocalNode }, 5_000);
  }

  blocks(): Block[] {
    return this.#values(BLOCKS).map(([key, value]) => decodeBlock(key, value));
  }

  ranges(): Range[] {
    return this.#values(RANGES).map(([key, value]) => decodeRange(key, value));
  }

  /** Returns every allocated address with the container ID of its owner. */
  given(): Map<string, string> {
    const given = new Map<string, string>();
    for (const block of this.blocks()) {
      for (const { address, slot } of usedSlots(block))
        given.set(formatAddress(address), slot.owner.containerId);
    }
    return given;
  }

  /** Returns every problem in the contents of the store. */
  problems(): string[] {
    const ranges = new Map(this.ranges().map((range) => [range.name, range]));
    const problems = this.blocks().flatMap((block) => {
      const range = ranges.get(block.range);
      return range ? validateBlock(block, range) : [`block ${formatCidr(block.cidr)} has no range`];
    });
    const index = this.#values(NODES)
      .filter(([key]) => !isDrainKey(key))
      .map(([key]) => key.slice(NODES.length));
    const held = this.blocks().flatMap((block) => {
      const guests = usedSlots(block).map(({ slot }) => nodeOf(block, slot));
      const holders = ruleOf(block) === undefined ? [block.node] : [];
      return [...new Set([...holders, ...guests])].map((node) => `${node}/${formatCidr(block.cidr)}`);
    });
    const kept = this.#values(KEPT).map(([key, value]) => ({ key, value }));
    problems.push(...keptDisagreements(this.blocks(), kept));
    const rooms = this.#values(OWN).map(([key]) => ({ key }));
    problems.push(...roomDisagreements(this.blocks(), rooms));
    if (index.sort().join() !== held.sort().join())
      problems.push(`index ${index.join()} is not blocks ${held.join()}`);
    const owners = this.blocks().flatMap((block) =>
      usedSlots(block).map(
        ({ slot, address }) => `${slot.owner.containerId}/${slot.owner.ifname}/${address.family}`,
      ),
    );
    if (new Set(owners).size !== owners.length)
      problems.push(`an attachment has two addresses: ${owners.join()}`);
    return problems;
  }

  #values(prefix: string): [string, string][] {
    return [...this.store.entries.values()]
      .filter((entry) => entry.key.startsWith(prefix))
      .map((entry) => [entry.key, entry.value]);
  }
}

/** The usual cause of a release. */
export const DEL = { why: 'del' } as const;

export const owner = (containerId: string, more: Partial<Owner> = {}): Owner => ({
  containerId,
  ifname: 'eth0',
  network: 'cell',
  bootId: 'boot-1',
  ...more,
});

export const range = (
  cidr: string,
  more: {
    name?: string;
    gateway?: string;
    vlan?: number;
    exclude?: string[];
    cooldownMs?: number;
    blockSize?: number;
    namedOnly?: boolean;
  } = {},
): Range => {
  const { gateway, exclude, ...rest } = more;
  return makeRange({
    cidr: parseCidr(cidr),
    ...rest,
    ...(gateway !== undefined && { gateway: parseAddress(gateway) }),
    ...(exclude && { exclude: exclude.map((text) => parseSpan(text)) }),
  });
};

export const ips = (allocations: readonly Allocation[]): string[] =>
  allocations.map((each) => formatAddress(each.address));
/** Allocates an address of each family for an attachment of that container ID. */
export const give = (
  world: World,
  node: string,
  id: string,
  families: readonly (4 | 6)[] = [4],
): Promise<Allocation[]> => allocate(world.ipam, { node, owner: owner(id), families });
