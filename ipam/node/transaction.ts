import { tallyOf, type Tally } from '../model/block-counts.ts';
import { hasSlotsOf, type Block } from '../model/block.ts';
import type { Machine } from '../model/machine.ts';
import { encodeBlock } from '../records/block-record.ts';
import { historyThatFits, MAX_OPERATIONS } from '../records/history-record.ts';
import { keptWrites, type BlockChange } from '../records/kept-record.ts';
import { blockKey, nodeKey, nodePrefix, rangeKey } from '../records/keys.ts';
import { lostKey } from '../records/lost-record.ts';
import { encodeMachineRecord, machineKey, type MachineRecord } from '../records/machine-record.ts';
import { encodeNodeEntry } from '../records/node-record.ts';
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

/** A block to claim, with its range as it was read: not draining and not removed. */
export interface Claim extends HeldBlock {
  readonly rangeEntry: Entry;
  /** The block as another node holds it, when the claim takes it over; absent: no node holds it. */
  readonly former?: { readonly node: string; readonly entry: Entry };
}

/** A block of another node of which an attachment gets its kept or requested address. */
export interface Join {
  /** As it was read. */
  readonly read: ReadBlock;
  readonly rangeEntry: Entry;
}

/** A block of another node of which this one has no address, before and after. */
interface Other {
  readonly entry: Entry;
  readonly before: Block;
  readonly block: Block;
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
const MOST_OF_REQUEST = 12;

/** Changes of node blocks, applied in memory one by one and written in one transaction. */
export class NodeTransaction {
  readonly #node: string;
  readonly #before: NodeBlocks;
  readonly #changed = new Map<string, Block>();
  readonly #claims = new Map<string, Claim>();
  readonly #joins = new Map<string, Join & { readonly block: Block }>();
  readonly #guards: Guard[] = [];
  readonly #returned = new Map<string, Block>();
  readonly #others = new Map<string, Other>();
  readonly #history: Put[] = [];
  #setBack: SetBack | undefined;
  #lost: Write | undefined;
  #touched = false;
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

  /** The node's blocks with the changes so far. */
  get blocks(): readonly HeldBlock[] {
    const held = this.#before.blocks.filter(({ entry }) => !this.#returned.has(entry.key));
    const now = held.map(({ block, range, entry }) => ({
      block: this.#changed.get(entry.key) ?? block,
      range,
    }));
    return [...now, ...this.#claims.values()];
  }

  /** Blocks of other nodes of which this one has addresses, with the changes so far. */
  get guests(): readonly HeldBlock[] {
    const now = this.#before.guests.map(({ block, range, entry }) => ({
      block: this.#changed.get(entry.key) ?? block,
      range,
    }));
    const joined = [...this.#joins.values()].map(({ read, block }) => ({ block, range: read.range }));
    return [...now, ...joined];
  }

  /** All blocks of which attachments of the node may have addresses, with the changes so far. */
  get held(): readonly HeldBlock[] {
    return [...this.blocks, ...this.guests];
  }

  /** Blocks that the changes so far claim, with the changes so far. */
  get claims(): readonly HeldBlock[] {
    return [...this.#claims.values()];
  }

  /** True if IPAM makes no new allocation on the node. */
  get draining(): boolean {
    return this.#before.draining;
  }

  /** @param claim given if the block is newly claimed */
  put(block: Block, claim?: Claim): void {
    const key = blockKey(block.range, block.cidr);
    const earlier = claim ?? this.#claims.get(key);
    const joined = this.#joins.get(key);
    if (earlier) this.#claims.set(key, { ...earlier, block });
    else if (joined) this.#joins.set(key, { ...joined, block });
    else this.#changed.set(key, block);
  }

  /** Changes a block of another node, of which the node has no address so far. */
  join(block: Block, join: Join): void {
    this.#joins.set(join.read.entry.key, { ...join, block });
  }

  /** What the transaction compares besides. */
  require(guard: Guard): void {
    this.#guards.push(guard);
  }

  /** Returns a block to its range. The block was read with the others and has no used address. */
  giveBack(block: Block): void {
    this.#returned.set(blockKey(block.range, block.cidr), block);
  }

  /** Changes a block that another node holds. */
  putOther(entry: Entry, before: Block, block: Block): void {
    this.#others.set(entry.key, { entry, before, block });
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
    this.#touched = true;
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
    const changes = [this.#changed, this.#claims, this.#joins, this.#returned, this.#others];
    return !this.#touched && !this.#setBack && !this.#lost && changes.every(({ size }) => size === 0);
  }

  /** The blocks that the changes so far write or delete, before and after. */
  #blockChanges(): BlockChange[] {
    const { blocks, guests } = this.#before;
    const joined = [...this.#joins.values()].map(({ read }) => read);
    const before = new Map([...blocks, ...guests, ...joined].map(({ block, entry }) => [entry.key, block]));
    const after: [string, Block | undefined][] = [
      ...this.#changed,
      ...[...this.#claims, ...this.#joins].map(([key, { block }]): [string, Block] => [key, block]),
      ...[...this.#returned.keys()].map((key): [string, undefined] => [key, undefined]),
    ];
    return [
      ...after.map(([key, block]) => ({ before: before.get(key), after: block })),
      ...[...this.#others.values()].map(({ before: was, block }) => ({ before: was, after: block })),
    ];
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
    const claims = [...this.#claims];
    const joins = [...this.#joins.values()];
    const touched = [...before.blocks, ...before.guests].filter(
      ({ entry }) => this.#changed.has(entry.key) || this.#returned.has(entry.key),
    );
    const inUse = new Set(touched.map(({ block }) => rangeKey(block.range)));
    const ranges = [
      ...before.rangeEntries.filter(({ key }) => inUse.has(key)),
      ...[...claims.map(([, each]) => each), ...joins].map(({ rangeEntry }) => rangeEntry),
    ];
    const guards: Guard[] = [
      asRead(machineKey(this.#node), before.machine?.entry),
      { kind: 'nothing-newer', prefix: nodePrefix(this.#node), revision: before.indexRevision },
      // A range as two requests have read it: where they differ, one of them chose by what was.
      ...new Map(ranges.map((entry) => [`${entry.key} ${entry.value}`, same(entry)])).values(),
      ...[...touched, ...joins.map(({ read }) => read)].map(({ entry }) => same(entry)),
      ...this.#guards,
      ...[...this.#others.values()].map(({ entry }) => same(entry)),
      ...claims.map(([key, { former }]) => asRead(key, former?.entry)),
      ...(this.#reliesOnRules ? [asRead(RULES_CHANGED, before.rulesChanged)] : []),
      // A claim must not miss a set-back that another node has just found.
      ...(claims.length > 0 || this.#setBack ? [asRead(SET_BACK, before.setBack?.entry)] : []),
    ];
    this.#machine = this.#nextMachine(writer);
    const writes = [
      put(machineKey(this.#node), encodeMachineRecord(this.#machine)),
      ...[...this.#returned].flatMap(([key, { cidr }]) => [del(key), del(nodeKey(this.#node, cidr))]),
      ...[...this.#changed].map(([key, block]) => put(key, encodeBlock(block))),
      ...[...this.#others].map(([key, { block }]) => put(key, encodeBlock(block))),
      ...claims.flatMap(([key, { block, former }]) => [
        put(key, encodeBlock(block)),
        put(nodeKey(this.#node, block.cidr), encodeNodeEntry(block)),
        ...(former && former.node !== this.#node ? [del(nodeKey(former.node, block.cidr))] : []),
      ]),
      ...joins.map(({ read, block }) => put(read.entry.key, encodeBlock(block))),
      ...joins
        .filter(({ block }) => hasSlotsOf(block, this.#node))
        .map(({ block }) => put(nodeKey(this.#node, block.cidr), encodeNodeEntry(block))),
      ...this.#left().map(({ block }) => del(nodeKey(this.#node, block.cidr))),
      ...keptWrites(this.#blockChanges()),
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
    const { guards, writes } = this.#counts();
    return Math.max(guards, writes) + MOST_OF_REQUEST > MAX_OPERATIONS;
  }

  /** Returns how many keys the transaction compares and writes at most, without history. */
  #counts(): { readonly guards: number; readonly writes: number } {
    const [changed, claims, joins] = [this.#changed.size, this.#claims.size, this.#joins.size];
    const [returned, others] = [this.#returned.size, this.#others.size];
    const blocks = changed + claims + joins + returned + others;
    return {
      // With their ranges; machine, index, rules, set-back.
      guards: 2 * blocks + this.#guards.length + 4,
      // With their index entries; machine, lost, set-back.
      writes:
        changed +
        3 * claims +
        2 * joins +
        2 * returned +
        others +
        this.#left().length +
        keptWrites(this.#blockChanges()).length +
        3,
    };
  }

  /** Returns the blocks of other nodes of which this one has no address after the transaction. */
  #left(): ReadBlock[] {
    return this.#before.guests.filter(({ entry }) => {
      const block = this.#changed.get(entry.key);
      return block && !hasSlotsOf(block, this.#node);
    });
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
    const claims = [...this.#claims];
    const claimed = claims.map(([key, { block, range }]) => ({ block, range, entry: entryOf(key) }));
    const ranges = new Map(before.rangeEntries.map((entry) => [entry.key, entry]));
    const joins = [...this.#joins.values()].map(({ read, block, rangeEntry }) => ({
      ...{ block, range: read.range, rangeEntry, entry: entryOf(read.entry.key) },
    }));
    // They read their range later than the rest was read: both its entry and what it says count.
    for (const { rangeEntry } of [...claims.map(([, each]) => each), ...joins])
      ranges.set(rangeEntry.key, rangeEntry);
    const newer = new Map(
      [...claims.map(([, each]) => each), ...joins].map(({ range }) => [range.name, range]),
    );
    const kept = before.blocks.filter(({ entry }) => !this.#returned.has(entry.key));
    const left = new Set(this.#left().map(({ entry }) => entry.key));
    const guests = before.guests.filter(({ entry }) => !left.has(entry.key));
    const now = ({ block, range, entry }: ReadBlock): ReadBlock => ({
      range: newer.get(range.name) ?? range,
      block: this.#changed.get(entry.key) ?? block,
      entry: this.#changed.has(entry.key) ? entryOf(entry.key) : entry,
    });
    const machine = entryOf(machineKey(this.#node));
    return {
      ...before,
      blocks: [...kept.map(now), ...claimed],
      guests: [
        ...guests.map(now),
        ...joins
          .filter(({ block }) => hasSlotsOf(block, this.#node))
          .map(({ block, range, entry }) => ({ block, range, entry })),
      ],
      rangeEntries: [...ranges.values()],
      indexRevision: claimed.length + joins.length > 0 ? revision : before.indexRevision,
      machine: this.#machine && { entry: machine, record: this.#machine },
      setBack: this.#setBack ? { entry: entryOf(SET_BACK), record: this.#setBack } : before.setBack,
      state: { ...before.state, revision },
    };
  }
}
