import { tallyOf, type Tally } from '../model/block-counts.ts';
import { hasSlotsOf, type Block } from '../model/block.ts';
import type { Machine } from '../model/machine.ts';
import type { Range } from '../model/range.ts';
import { blockWrites, followingWrites } from '../records/block-writes.ts';
import { historyThatFits, MAX_OPERATIONS } from '../records/history-record.ts';
import type { BlockChange } from '../records/kept-record.ts';
import { blockKey, nodePrefix, rangeKey } from '../records/keys.ts';
import { lostKey } from '../records/lost-record.ts';
import { encodeMachineRecord, machineKey, type MachineRecord } from '../records/machine-record.ts';
import { RULES_CHANGED } from '../records/rule-record.ts';
import { encodeSetBack, SET_BACK, type SetBack } from '../records/set-back-record.ts';
import {
  asRead,
  del,
  put,
  same,
  type Change,
  type Entry,
  type Guard,
  type Put,
  type Write,
} from '../records/transaction.ts';
import type { UnreadableRecord } from '../records/unreadable.ts';
import type { HeldBlock, NodeBlocks, ReadBlock } from './node-blocks.ts';

/** A block that the node has nothing of so far, as it was read. */
export interface Foreign {
  readonly range: Range;
  /** Compared: the range is not draining and not removed. */
  readonly rangeEntry: Entry;
  /** Absent: nobody holds it, and the change claims it. */
  readonly read?: { readonly entry: Entry; readonly block: Block };
}

/** A block that the transaction changes. */
interface Touched {
  readonly range: Range;
  /** As it was read; absent: nobody holds it. */
  readonly before?: { readonly entry: Entry; readonly block: Block };
  /** Absent: it is returned to its range. */
  readonly after?: Block;
  /** Present for a block of which the node had nothing: read later than the others. */
  readonly rangeEntry?: Entry;
}

/** What the writer of a transaction enters into the node's machine record. */
export interface Writer {
  readonly machine: Machine | undefined;
  readonly bootId: string | undefined;
  /** Random, and used for this transaction only. */
  readonly mark: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /**
   * The newest generation that the machine has seen. Where etcd has no record, because the node was
   * removed, the count goes on from here: a count that began again would look like a set-back.
   */
  readonly generation: number;
}

/** Most keys that one request compares or writes: both families, each of a block of its own. */
const MOST_OF_REQUEST = 32;

/** Changes of node blocks, applied in memory one by one and written in one transaction. */
export class NodeTransaction {
  readonly #node: string;
  #before: NodeBlocks;
  readonly #touched = new Map<string, Touched>();
  readonly #guards: Guard[] = [];
  /** Keys of guests that were read for this transaction. */
  readonly #fresh = new Set<string>();
  readonly #history: Put[] = [];
  #setBack: SetBack | undefined;
  #lost: Write | undefined;
  #isTouched = false;
  #reliesOnRules = false;
  /** As the latest change writes it. */
  #machine: MachineRecord | undefined;
  /**
   * True if the transaction builds on cached data. A write may rely on that, because etcd compares
   * the guards. An answer without a write may not.
   */
  readonly cached: boolean;

  constructor(node: string, before: NodeBlocks, cached: boolean) {
    this.#node = node;
    this.#before = before;
    this.cached = cached;
  }

  /** All blocks of which attachments of the node may have addresses, with the changes so far. */
  get held(): readonly HeldBlock[] {
    const before = this.#before;
    const known = [...before.blocks, ...before.guests].flatMap(({ block, range, entry }) => {
      const touched = this.#touched.get(entry.key);
      if (!touched) return [{ block, range }];
      return touched.after ? [{ block: touched.after, range }] : [];
    });
    const foreign = [...this.#touched.values()].flatMap(({ rangeEntry, after, range }) =>
      rangeEntry && after ? [{ block: after, range }] : [],
    );
    return [...known, ...foreign];
  }

  /** The node's blocks with the changes so far. */
  get blocks(): readonly HeldBlock[] {
    return this.held.filter(({ block }) => block.node === this.#node);
  }

  /** Blocks of others of which this node has addresses, with the changes so far. */
  get guests(): readonly HeldBlock[] {
    return this.held.filter(({ block }) => block.node !== this.#node);
  }

  /** {@link guests} that are from the cache, and that the changes so far leave as they are. */
  get oldGuests(): readonly ReadBlock[] {
    if (!this.cached) return [];
    const isOld = ({ key }: Entry): boolean => !this.#touched.has(key) && !this.#fresh.has(key);
    return this.#before.guests.filter(({ entry }) => isOld(entry));
  }

  /** Replaces {@link oldGuests} by what they are now. */
  refresh(guests: readonly ReadBlock[]): void {
    const newer = new Map(guests.map((each) => [each.entry.key, each]));
    for (const key of newer.keys()) this.#fresh.add(key);
    const now = this.#before.guests.map((each) => newer.get(each.entry.key) ?? each);
    this.#before = { ...this.#before, guests: now };
  }

  /** Blocks that the changes so far claim, with the changes so far. */
  get claims(): readonly HeldBlock[] {
    return [...this.#touched.values()].flatMap(({ before, after, range }) =>
      !before && after ? [{ block: after, range }] : [],
    );
  }

  /** True if IPAM makes no new allocation on the node. */
  get draining(): boolean {
    return this.#before.draining;
  }

  /**
   * Changes a block.
   * @param from where it comes from, if the node has nothing of it so far
   */
  put(block: Block, from?: Foreign): void {
    const key = blockKey(block.range, block.cidr);
    const known = this.#touched.get(key) ?? this.#known(key) ?? (from && { ...from, before: from.read });
    if (!known) throw new Error(`block ${key} was not read`);
    const { range, before, rangeEntry } = known;
    this.#touched.set(key, {
      ...{ range, after: block },
      ...(before && { before }),
      ...(rangeEntry && { rangeEntry }),
    });
  }

  #known(key: string): Touched | undefined {
    const { blocks, guests } = this.#before;
    const isIt = ({ entry }: ReadBlock): boolean => entry.key === key;
    const read = blocks.find(isIt) ?? guests.find(isIt);
    return read && { range: read.range, before: read };
  }

  /** What the transaction compares besides. */
  require(guard: Guard): void {
    this.#guards.push(guard);
  }

  /** Returns a block of the node to its range. It has no used address. */
  giveBack(block: Block): void {
    const key = blockKey(block.range, block.cidr);
    const { range, before } = this.#known(key) ?? {};
    if (range && before) this.#touched.set(key, { range, before });
  }

  /** Tells the cluster that etcd forgot records. */
  tellSetBack(record: SetBack): void {
    this.#setBack = record;
  }

  /**
   * Tells that etcd has lost ranges of addresses that pods of this node use.
   * @param value of the record; undefined: it has lost none any more
   */
  tellLost(value: string | undefined): void {
    const key = lostKey(this.#node);
    this.#lost = value === undefined ? del(key) : put(key, value);
  }

  /**
   * Makes the transaction write the machine record even if nothing else changes. Afterwards no
   * earlier transaction of the node that is still on its way can take place.
   */
  touch(): void {
    this.#isTouched = true;
  }

  /** The key that changes with each rule, as it was read; undefined before the first rule. */
  get rulesChanged(): Entry | undefined {
    return this.#before.rulesChanged;
  }

  /** The change holds only while no rule has changed since {@link rulesChanged} was read. */
  relyOnRules(): void {
    this.#reliesOnRules = true;
  }

  /** Adds the record of an ended lifetime to the history. */
  tell(record: Put): void {
    this.#history.push(record);
  }

  /** Records of the node that cannot be read. */
  get unreadable(): readonly UnreadableRecord[] {
    return this.#before.unreadable;
  }

  /** The cluster's latest set-back as it was read; undefined if there was none. */
  get setBack(): SetBack | undefined {
    return this.#before.setBack?.record;
  }

  get isEmpty(): boolean {
    return !this.#isTouched && !this.#setBack && !this.#lost && this.#touched.size === 0;
  }

  /** The blocks that the changes so far write or delete, before and after. */
  #blockChanges(): BlockChange[] {
    return [...this.#touched.values()].map(({ before, after }) => ({ before: before?.block, after }));
  }

  /** How many addresses the changes allocate and release. */
  get tally(): Tally {
    const tallies = this.#blockChanges().flatMap(({ before, after }) =>
      after ? tallyOf(before, after) : [],
    );
    return {
      given: tallies.reduce((sum, { given }) => sum + given, 0),
      released: tallies.reduce((sum, { released }) => sum + released, 0),
    };
  }

  /**
   * Returns what the transaction compares and writes. It compares the machine record, which every
   * change of the node's blocks replaces, the index, and what it changes with its ranges: as much
   * for a node of 1,000 blocks as for one of 1. The record keeps two calls for one attachment from
   * both finding room; the index keeps programs out that do not know the record; the ranges keep an
   * address from a range that an operator has just set to draining.
   */
  change(writer: Writer): Change {
    const before = this.#before;
    const touched = [...this.#touched.values()];
    const known = touched.filter(({ rangeEntry }) => !rangeEntry);
    const inUse = new Set(known.map(({ range }) => rangeKey(range.name)));
    const ranges = [
      ...before.rangeEntries.filter(({ key }) => inUse.has(key)),
      ...touched.flatMap(({ rangeEntry }) => rangeEntry ?? []),
    ];
    const isClaim = touched.some(({ before: was, after }) => after && after.node !== was?.block.node);
    const guards: Guard[] = [
      asRead(machineKey(this.#node), before.machine?.entry),
      { kind: 'nothing-newer', prefix: nodePrefix(this.#node), revision: before.indexRevision },
      // A range as two requests have read it: where they differ, one of them chose by what was.
      ...new Map(ranges.map((entry) => [`${entry.key} ${entry.value}`, same(entry)])).values(),
      ...[...this.#touched].map(([key, { before: was }]) => asRead(key, was?.entry)),
      ...this.#guards,
      ...(this.#reliesOnRules ? [asRead(RULES_CHANGED, before.rulesChanged)] : []),
      // A claim must not miss a set-back that another node has just found.
      ...(isClaim || this.#setBack ? [asRead(SET_BACK, before.setBack?.entry)] : []),
    ];
    this.#machine = this.#nextMachine(writer);
    const writes = [
      put(machineKey(this.#node), encodeMachineRecord(this.#machine)),
      ...blockWrites(this.#blockChanges()),
      ...(this.#lost ? [this.#lost] : []),
      ...(this.#setBack ? [put(SET_BACK, encodeSetBack(this.#setBack))] : []),
    ];
    return { guards, writes: [...writes, ...historyThatFits(this.#history, writes)] };
  }

  /**
   * Whether a further request might exceed what etcd takes in one transaction. History that does
   * not fit is left out.
   */
  get isFull(): boolean {
    const { size } = this.#touched;
    // Blocks with their ranges; machine, index, rules, set-back.
    const guards = 2 * size + this.#guards.length + 4;
    // Blocks with what follows from them; machine, lost, set-back.
    const writes = size + followingWrites(this.#blockChanges()).length + 3;
    return Math.max(guards, writes) + MOST_OF_REQUEST > MAX_OPERATIONS;
  }

  /** The machine record after the transaction. */
  #nextMachine({ machine, bootId, mark, at, generation }: Writer): MachineRecord {
    const { adoptedBy, ...kept } = this.#before.machine?.record ?? ({} as Partial<MachineRecord>);
    return {
      ...kept,
      generation: (kept.generation ?? generation) + 1,
      mark,
      at,
      // The machine's own entry ends the adoption. A process that speaks for none does not.
      ...(machine ? { machine } : adoptedBy !== undefined && { adoptedBy }),
      ...(bootId !== undefined && { bootId }),
    };
  }

  /**
   * Returns the node's blocks after the transaction.
   * @param change the latest {@link change}, which was committed
   * @param revision at which it was committed
   */
  after({ writes }: Change, revision: string): NodeBlocks {
    const before = this.#before;
    const values = new Map(writes.flatMap((each) => (each.kind === 'put' ? [[each.key, each.value]] : [])));
    const entryOf = (key: string): Entry => ({ key, value: values.get(key) ?? '', revision });
    const ranges = new Map(before.rangeEntries.map((entry) => [entry.key, entry]));
    const newer = new Map<string, Range>();
    // They read their range later than the rest was read: both its entry and what it says count.
    for (const { range, rangeEntry } of this.#touched.values())
      if (rangeEntry) {
        ranges.set(rangeEntry.key, rangeEntry);
        newer.set(range.name, range);
      }
    const isOwn = ({ node }: Block): boolean => node === this.#node;
    const now = ({ block, range, entry }: ReadBlock): ReadBlock[] => {
      const touched = this.#touched.get(entry.key);
      const as = { range: newer.get(range.name) ?? range };
      if (!touched) return [{ ...as, block, entry }];
      return touched.after ? [{ ...as, block: touched.after, entry: entryOf(entry.key) }] : [];
    };
    const foreign = [...this.#touched].flatMap(([key, { range, rangeEntry, after }]) =>
      rangeEntry && after ? [{ block: after, range, entry: entryOf(key) }] : [],
    );
    const all = [...before.blocks, ...before.guests].flatMap(now).concat(foreign);
    const hasEntered = writes.some(
      ({ kind, key }) => kind === 'put' && key.startsWith(nodePrefix(this.#node)),
    );
    return {
      ...before,
      blocks: all.filter(({ block }) => isOwn(block)),
      guests: all.filter(({ block }) => !isOwn(block) && hasSlotsOf(block, this.#node)),
      rangeEntries: [...ranges.values()],
      indexRevision: hasEntered ? revision : before.indexRevision,
      machine: this.#machine && { entry: entryOf(machineKey(this.#node)), record: this.#machine },
      setBack: this.#setBack ? { entry: entryOf(SET_BACK), record: this.#setBack } : before.setBack,
      state: { ...before.state, revision },
    };
  }
}
