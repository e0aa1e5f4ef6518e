import { formatAddress, formatCidr, parseAddress } from '../../ipam/model/address.ts';
import { nodeOf, slotAddress, slotIndex, usedSlots, type Block } from '../../ipam/model/block.ts';
import type { Range } from '../../ipam/model/range.ts';
import { validateBlock } from '../../ipam/model/validate-block.ts';
import { BLOCKS, blockKey, nodeKey, rangeKey } from '../../ipam/records/keys.ts';
import { drainKey } from '../../ipam/records/node-record.ts';
import { decodeRange } from '../../ipam/records/range-record.ts';
import { changesOf, type BlockReader, type ChangedAllocation, type Changes } from './changes.ts';
import type { Keys } from './etcd-keys.ts';
import { misfits } from './edits.ts';
import type { EndedContainers } from './ended.ts';
import type { Commit } from './etcd.ts';
import { indexDisagreement } from './index-check.ts';
import type { Carrier, Living } from './living.ts';
import { keptGiven, keptKeysDisagree } from './keeps.ts';
import { againstOwner, OwnedAddresses } from './own.ts';
import { againstRule } from './rules.ts';

/** What must hold, and how it is called when it does not. */
export const VIOLATIONS = [
  /** An address has two living owners. */
  'double',
  /** A program released an address that a living attachment carries. */
  'freed-living',
  /** A program took away the link of a pod that runs. */
  'cut-off',
  /** Index and blocks disagree after a transaction. */
  'index',
  /** A program wrote a block that contradicts itself or its range. */
  'unsound',
  /** An address stays given out although the calls of its container have ended. */
  'forgotten',
  /** A program wrote a record that it could not read. */
  'overwrote',
  /** A record that cannot be read stops work that does not need it. */
  'spread',
  /** One attachment has two addresses of a family. */
  'two-addresses',
  /** A node or a range that is draining gave out an address. */
  'drained',
  /** An address was given out against a rule of that moment. */
  'against-rule',
  /** An address that is kept for a pod was given to another one. */
  'kept-given',
  /** The keys of kept addresses and the blocks disagree after a transaction. */
  'kept-keys',
  'against-owner',
  /** An address was given out again before it had rested. */
  'unrested',
  /** A call took longer than its deadline. */
  'deadline',
  /** A program failed in a way that it does not explain: an internal error, or an unhandled one. */
  'internal',
  /** Something is left of pods that are gone, when all faults are over. */
  'left-over',
  /** etcd does not know of an address that a pod uses, when all faults are over. */
  'lost',
  /** A pod cannot run although all faults are over. */
  'stuck',
  /** A pod runs without its port although all faults are over, and its node has an agent. */
  'no-port',
] as const;
export type ViolationKind = (typeof VIOLATIONS)[number];

export interface Violation {
  readonly kind: ViolationKind;
  readonly text: string;
  /** The addresses, pods and containers concerned. */
  readonly about: readonly string[];
}

/** Judges each transaction of a program at the moment when etcd carries it out. */
export class CommitCheck {
  readonly #reader: BlockReader;
  readonly #living: Living;
  readonly #ended: EndedContainers;
  readonly #damaged: ReadonlyMap<string, string>;
  readonly #now: () => number | undefined;
  readonly #owned = new OwnedAddresses();
  readonly #ranges = new Map<string, Range>();
  /** When each address was last released, by the clock of the program that did it. */
  readonly #releasedAt = new Map<string, number>();

  /**
   * @param damaged records that cannot be read, with the values that they had
   * @param now the time by all wall clocks; undefined when they do not agree
   */
  constructor(
    reader: BlockReader,
    living: Living,
    ended: EndedContainers,
    damaged: ReadonlyMap<string, string>,
    now: () => number | undefined,
  ) {
    this.#ended = ended;
    this.#damaged = damaged;
    this.#reader = reader;
    this.#living = living;
    this.#now = now;
  }

  /** @param isSenderAlive false when the program was killed while the transaction was on its way */
  check(commit: Commit, isSenderAlive: boolean): Violation | undefined {
    const changes = changesOf(commit, this.#reader);
    // What a pod has already is written back, whatever its node and its range may give out.
    const given = changes.given.filter((each) => !this.#lives(each));
    return (
      this.#overwrote(commit) ??
      this.#freedLiving(changes) ??
      // Nobody can know of what a killed program has sent.
      (isSenderAlive ? this.#ended.givenTo(given) : undefined) ??
      this.#drained(commit.before, given) ??
      againstRule(commit.before, given) ??
      keptGiven(commit, given, this.#reader) ??
      againstOwner(commit, given) ??
      this.#owned.lost(commit, changes.given, this.#reader) ??
      this.#unrested(commit, given, changes.freed) ??
      this.#unsound(commit) ??
      (this.#damaged.size === 0 ? misfits(commit, this.#reader) : undefined) ??
      indexDisagreement(commit, this.#reader) ??
      (this.#damaged.size === 0 ? keptKeysDisagree(commit, this.#reader) : undefined) ??
      this.#twoAddresses(commit.after, changes)
    );
  }

  #overwrote({ writes }: Commit): Violation | undefined {
    const found = writes.find(({ key }) => this.#damaged.has(key));
    const text = `${found?.key ?? ''} could not be read, and was written all the same`;
    return found && { kind: 'overwrote', text, about: [] };
  }

  #freedLiving({ freed }: Changes): Violation | undefined {
    for (const each of freed) {
      const lives = this.#lives(each);
      if (!lives) continue;
      const { address, slot } = each;
      const { containerId } = slot.owner;
      return {
        kind: 'freed-living',
        text: `${address} was released, and container ${containerId} on ${lives.machine} still has it`,
        about: [address, containerId],
      };
    }
    return undefined;
  }

  /** Returns the interface of the allocation's own pod, if it carries the address. */
  #lives({ address, slot: { owner } }: ChangedAllocation): Carrier | undefined {
    return this.#living
      .carriersOf(address)
      .find(({ containerId, ifname }) => containerId === owner.containerId && ifname === owner.ifname);
  }

  #drained(before: Keys, given: readonly ChangedAllocation[]): Violation | undefined {
    for (const { address, slot, block } of given) {
      const node = nodeOf(block, slot);
      const drains = before.has(drainKey(node))
        ? `node ${node}`
        : this.#rangeOf(before, block)?.state === 'draining' && `range ${block.range}`;
      if (!drains) continue;
      const { containerId } = slot.owner;
      return {
        kind: 'drained',
        text: `${address} was given to ${containerId}, although ${drains} is draining`,
        about: [address, containerId],
      };
    }
    return undefined;
  }

  /** What a range reserved while it rested is forgotten with its block, once that is returned. */
  #forgetReserved(before: Keys, writes: Commit['writes']): void {
    for (const write of writes) {
      const gone = write.kind === 'delete' && write.key.startsWith(BLOCKS) ? write.key : undefined;
      const block = gone === undefined ? undefined : this.#reader.read(before, gone);
      block?.slots.forEach(({ state }, i) => {
        if (state === 'reserved') this.#releasedAt.delete(formatAddress(slotAddress(block, i)));
      });
    }
  }

  #unrested(
    { before, after, writes }: Commit,
    given: readonly ChangedAllocation[],
    freed: readonly ChangedAllocation[],
  ): Violation | undefined {
    const now = this.#now();
    const early = given.find(({ address, block }) => {
      const releasedAt = this.#releasedAt.get(address) ?? -Infinity;
      const { cooldownMs = 0 } = this.#rangeOf(before, block) ?? {};
      return now !== undefined && now - releasedAt < cooldownMs;
    });
    for (const { address, block } of freed) {
      const is = this.#reader.read(after, blockKey(block.range, block.cidr));
      const slot = is?.slots[slotIndex(is, parseAddress(address))];
      if (slot?.state !== 'released') continue;
      // A time from a clock that is wrong proves nothing once the clock is right again.
      if (now === undefined) this.#releasedAt.delete(address);
      else this.#releasedAt.set(address, slot.releasedAt);
    }
    this.#forgetReserved(before, writes);
    if (!early) return undefined;
    const { address, slot } = early;
    const { containerId } = slot.owner;
    return {
      kind: 'unrested',
      text: `${address} was given to ${containerId} before it had rested`,
      about: [address, containerId],
    };
  }

  /** etcd has other data than before: what was released, and when, is not known to it any more. */
  restart(): void {
    this.#releasedAt.clear();
  }

  #unsound({ after, writes }: Commit): Violation | undefined {
    for (const { key } of writes) {
      const block = key.startsWith(BLOCKS) ? this.#reader.read(after, key) : undefined;
      const range = block && this.#rangeOf(after, block);
      const [problem] = block && range ? validateBlock(block, range) : [];
      if (problem !== undefined) return { kind: 'unsound', text: problem, about: addressesIn(block) };
    }
    return undefined;
  }

  #rangeOf(keys: Keys, { range }: Block): Range | undefined {
    const entry = keys.get(rangeKey(range));
    if (!entry) return undefined;
    const known = this.#ranges.get(entry.value) ?? decodeRange(entry.key, entry.value);
    this.#ranges.set(entry.value, known);
    return known;
  }

  #twoAddresses(keys: Keys, { given }: Changes): Violation | undefined {
    if (given.length === 0) return undefined;
    // The node cannot see what an entry of its index hides that somebody damaged. The DEL can.
    const blocks = this.#reader.all(keys).filter(({ node, cidr }) => !this.#damaged.has(nodeKey(node, cidr)));
    for (const { address, slot } of given) {
      const { containerId, ifname } = slot.owner;
      const all = blocks
        .flatMap((block) =>
          usedSlots(block, ({ owner }) => owner.containerId === containerId && owner.ifname === ifname),
        )
        .map((each) => formatAddress(each.address));
      const two = all.filter((each) => each.includes(':') === address.includes(':'));
      if (two.length < 2) continue;
      return {
        kind: 'two-addresses',
        text: `container ${containerId} has ${two.join(' and ')}`,
        about: [containerId, ...two],
      };
    }
    return undefined;
  }
}

export const addressesIn = (block: Block | undefined): string[] =>
  block ? [formatCidr(block.cidr), ...usedSlots(block).map(({ address }) => formatAddress(address))] : [];
