import type { Block } from '../model/block.ts';
import type { RevisionChanges, Watches } from '../store/watches.ts';
import { withMacs } from './block-events.ts';
import { happening, type CellEvent, type Happening } from './event.ts';
import { eventsOf, isTold, readKnown, TOLD_PREFIXES, type Known } from './known.ts';
import { noteOf, Notes, objectOf } from './notes.ts';
import { after, formatPosition } from './position.ts';
import { MACHINES } from '../records/machine-record.ts';
import { NODES } from '../records/keys.ts';

/** What is known of one key. */
export interface KnownRecord {
  /** Revision of its last change. */
  readonly revision: number;
  /** As it was last readable; undefined: never. */
  readonly known: Known | undefined;
}

/** Something that etcd must still have if its history is the one that was followed. */
export interface Witness {
  readonly key: string;
  /** Undefined: it was deleted. */
  readonly value: string | undefined;
  readonly revision: number;
}

/** The records of etcd as of one revision, as far as events tell of them. */
export class KnownState {
  #revision: number;
  #witness: Witness | undefined;
  #records: Map<string, KnownRecord>;

  constructor(revision: number, records: ReadonlyMap<string, KnownRecord> = new Map(), witness?: Witness) {
    this.#revision = revision;
    this.#records = new Map(records);
    this.#witness = witness;
  }

  get revision(): number {
    return this.#revision;
  }

  get witness(): Witness | undefined {
    return this.#witness;
  }

  get records(): ReadonlyMap<string, KnownRecord> {
    return this.#records;
  }

  blocks(): Block[] {
    return [...this.#records.values()].flatMap(({ known }) => (known?.kind === 'block' ? [known.block] : []));
  }

  /** Takes the next revision in, and returns what happened in it, in order. */
  apply({ revision, changes }: RevisionChanges): CellEvent[] {
    const notes = new Notes(changes.flatMap(({ key, value }) => noteOf(key, value ?? '') ?? []));
    const happened: Happening[] = [];
    for (const { key, value } of changes) {
      if (!isTold(key)) continue;
      happened.push(...this.#change(key, value, revision, notes));
      if (value !== undefined || key === this.#witness?.key) this.#witness = { key, value, revision };
    }
    this.#revision = revision;
    const when = happened.some(({ at }) => at === null) ? timeOf(changes) : null;
    return placed(withMacs(happened), revision, when);
  }

  /** Goes on from another state, of which the caller has told what happened in between. */
  become(state: KnownState): void {
    this.#revision = state.#revision;
    this.#records = new Map(state.#records);
    this.#witness = state.#witness;
  }

  /** Whether these are the revisions of all records: then nothing that is told happened since. */
  isAsOf(revisions: ReadonlyMap<string, number>): boolean {
    if (revisions.size !== this.#records.size) return false;
    for (const [key, { revision }] of this.#records) if (revisions.get(key) !== revision) return false;
    return true;
  }

  /** Nothing that is told happened up to this revision. */
  passed(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  #change(key: string, value: string | undefined, revision: number, notes: Notes): Happening[] {
    const before = this.#records.get(key)?.known;
    if (value === undefined) {
      this.#records.delete(key);
      return eventsOf(before, undefined, notes);
    }
    const read = readKnown(key, value);
    // Until the record is mended, what was known of it counts: it tells what happens then.
    const known = 'value' in read ? read.value : before;
    this.#records.set(key, { revision, known });
    if ('value' in read) return eventsOf(before, known, notes);
    return [happening('unreadable', undefined, { key, reason: read.unreadable.reason })];
  }
}

/**
 * Numbers the events of a revision. The last one's position is behind the whole revision.
 * @param when for events of which no record tells the time
 */
export function placed(events: readonly Happening[], revision: number, when: string | null): CellEvent[] {
  return events.map((event, i) => {
    const isLast = i === events.length - 1;
    const position = isLast ? after(revision) : { revision: revision - 1, further: i + 1 };
    const at = event.at ?? when;
    return { revision, position: formatPosition(position), ...event, at };
  });
}

/** A node's change replaces its machine record, which tells the time. */
function timeOf(changes: RevisionChanges['changes']): string | null {
  for (const { key, value } of changes) {
    const at = value !== undefined && key.startsWith(MACHINES) && objectOf(value)?.['at'];
    if (typeof at === 'string') return at;
  }
  return null;
}

/** Takes notice of what has been read so far. It grows while the reading goes on. */
export type OnPage = (records: ReadonlyMap<string, KnownRecord>) => void;

/**
 * Reads the state as of a revision.
 * @param onPage called after each page, ranges first
 * @throws IpamError `store-…`: `store-compacted` if etcd has forgotten that revision
 */
export async function readState(watches: Watches, revision: number, onPage?: OnPage): Promise<KnownState> {
  const records = new Map<string, KnownRecord>();
  let witness: Witness | undefined;
  for (const prefix of TOLD_PREFIXES) {
    // The index of nodes is as long as the list of blocks, and of it only the marks are told.
    const keysOnly = prefix === NODES;
    for await (const page of watches.scanAt(prefix, revision, { keysOnly })) {
      for (const entry of page.filter(({ key }) => isTold(key))) {
        const { key, revision: at } = entry;
        const value = keysOnly ? ((await watches.getAt(key, revision))?.value ?? '') : entry.value;
        const read = readKnown(key, value);
        records.set(key, { revision: Number(at), known: 'value' in read ? read.value : undefined });
        if (Number(at) > (witness?.revision ?? 0)) witness = { key, value, revision: Number(at) };
      }
      onPage?.(records);
    }
  }
  return new KnownState(revision, records, witness);
}

/** Returns the revision of the last change of each key of which events tell, as of a revision. */
export async function readRevisions(watches: Watches, revision: number): Promise<Map<string, number>> {
  const revisions = new Map<string, number>();
  for (const prefix of TOLD_PREFIXES)
    for await (const page of watches.scanAt(prefix, revision, { keysOnly: true }))
      for (const { key, revision: at } of page) if (isTold(key)) revisions.set(key, Number(at));
  return revisions;
}
