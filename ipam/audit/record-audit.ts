import { blockInspector } from '../model/block-inspector.ts';
import type { Block } from '../model/block.ts';
import type { Range } from '../model/range.ts';
import { cidrTextOf, RANGES, rangeKey } from '../records/keys.ts';
import { decodeBlockQuickly } from '../records/quick-block.ts';
import type { Entry } from '../records/transaction.ts';
import { readRecord, type UnreadableRecord } from '../records/unreadable.ts';
import { rangesIn } from '../store/ranges.ts';
import { scanAll, type Store } from '../store/store.ts';

export type RecordReason =
  /** The value does not have the form that this version reads. */
  | 'unreadable'
  /** The block lies outside its range or off its boundary, or its slots contradict each other. */
  | 'unsound'
  /** The block's range does not exist. */
  | 'no-range';

/** A record that proves nothing, named by its key. Everything in it counts as in use. */
export interface RecordFinding {
  readonly key: string;
  readonly reason: RecordReason;
  readonly message: string;
  /** When the block was claimed, in milliseconds since 1970; undefined if it cannot be read. */
  readonly since?: number;
  readonly node?: string;
}

/** Returns the finding of a record that cannot be decoded. */
export const findingOf = ({ key, reason: message }: UnreadableRecord): RecordFinding => ({
  key,
  reason: 'unreadable',
  message,
});

/** A block as it was read, with a finding if it is not reliable. */
export interface InspectedBlock {
  /** Absent if it is unreadable. */
  readonly block?: Block;
  readonly finding?: RecordFinding;
}

/** All readable ranges, and checks of their blocks. */
export class RecordAudit {
  readonly ranges: readonly Range[];
  /** Findings of ranges that cannot be read. */
  readonly findings: readonly RecordFinding[];
  readonly #inspect: ReadonlyMap<string, (block: Block) => string[]>;

  constructor(entries: readonly Entry[]) {
    const { ranges, unreadable } = rangesIn(entries);
    this.ranges = ranges.map(({ range }) => range);
    this.findings = unreadable.map(findingOf);
    this.#inspect = new Map(this.ranges.map((range) => [range.name, blockInspector(range)]));
  }

  inspect(entry: Entry): InspectedBlock {
    const read = readRecord(entry, decodeBlockQuickly);
    if ('unreadable' in read) return { finding: findingOf(read.unreadable) };
    const block = read.value;
    const { node, claimedAt: since } = block;
    const about = { key: entry.key, node, since };
    const inspect = this.#inspect.get(block.range);
    if (!inspect) return { block, finding: this.#withoutRange(about, block) };
    const problems = inspect(block);
    if (problems.length === 0) return { block };
    return { block, finding: { ...about, reason: 'unsound', message: problems.join('; ') } };
  }

  #withoutRange(about: { key: string; node: string; since: number }, { range }: Block): RecordFinding {
    const isUnreadable = this.findings.some(({ key }) => key === rangeKey(range));
    const message = isUnreadable
      ? `its range '${range}' cannot be read`
      : `its range '${range}' does not exist: expected key '${rangeKey(range)}'`;
    return { ...about, reason: 'no-range', message: `block ${cidrTextOf(about.key)}: ${message}` };
  }
}

/** @throws IpamError `store-…` */
export async function auditRanges(store: Store): Promise<RecordAudit> {
  return new RecordAudit(await scanAll(store, RANGES));
}
