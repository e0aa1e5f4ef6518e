import type { Entry, Guard, Write } from '../../ipam/records/transaction.ts';
import {
  CompactedError,
  type RevisionChanges,
  type WatchedStore,
  type Watches,
  type WatchNews,
} from '../../ipam/store/watches.ts';
import { IpamError } from '../../ipam/model/errors.ts';
import { MemoryStore } from './memory-store.ts';

/**
 * A store in memory that remembers all revisions, as etcd does until it is compacted. A test cuts
 * its watches off, compacts it, and sets it back. The etcd store's tests hold the same expectations
 * against a real etcd.
 */
export class WatchedMemory extends MemoryStore implements WatchedStore {
  #log: RevisionChanges[] = [];
  #states = new Map<number, ReadonlyMap<string, Entry>>([[1, new Map()]]);
  #compacted = 0;
  #cut = new AbortController();
  #wake: () => void = () => undefined;
  #woken = this.#sleep();
  /** How many revisions a watch tells at once. */
  batch = 3;

  override async commit(guards: readonly Guard[], writes: readonly Write[]): Promise<string | undefined> {
    const before = new Map(this.entries);
    const revision = await super.commit(guards, writes);
    if (revision === undefined) return undefined;
    const isReal = (write: Write): boolean => write.kind === 'put' || before.has(write.key);
    const changes = writes
      .filter(isReal)
      .map((write) => ({ key: write.key, value: write.kind === 'put' ? write.value : undefined }));
    this.#log.push({ revision: Number(revision), changes });
    this.#states.set(Number(revision), new Map(this.entries));
    this.#stir();
    return revision;
  }

  /** Ends all watches, as a lost connection does. */
  cut(): void {
    this.#cut.abort();
    this.#cut = new AbortController();
    this.#stir();
  }

  /** Forgets what was before the newest revision; of that one, the deletions. */
  compact(): void {
    this.#compacted = Number(this.revision);
    this.#log = this.#log
      .filter(({ revision }) => revision >= this.#compacted)
      .map(({ revision, changes }) => ({
        revision,
        changes: changes.filter(({ value }) => value !== undefined),
      }));
    for (const revision of this.#states.keys()) if (revision < this.#compacted) this.#states.delete(revision);
  }

  /** Goes back to an earlier revision, as etcd does that is restored from a snapshot. */
  setBack(revision: number): void {
    this.entries.clear();
    for (const [key, entry] of this.#states.get(revision) ?? []) this.entries.set(key, entry);
    this.revision = BigInt(revision);
    this.#log = this.#log.filter((each) => each.revision <= revision);
    for (const each of this.#states.keys()) if (each > revision) this.#states.delete(each);
    this.cut();
  }

  /**
   * Does so with revisions that go on far ahead, and all before them compacted: etcdctl snapshot
   * restore --bump-revision --mark-compacted.
   */
  setBackBumped(revision: number, by: number): void {
    const state = this.#states.get(revision) ?? new Map<string, Entry>();
    this.setBack(revision);
    this.#compacted = revision + by;
    this.revision = BigInt(this.#compacted);
    this.#log = [];
    this.#states = new Map([[this.#compacted, new Map(state)]]);
  }

  readonly watches: Watches = {
    newest: () => Promise.resolve(Number(this.revision)),
    getAt: (key, revision) => this.#at(revision).then((state) => state.get(key)),
    scanAt: (prefix, revision, options) => this.#scanAt(prefix, revision, options ?? {}),
    watch: (from, signal) => this.#watch(from, signal),
  };

  #at(revision: number): Promise<ReadonlyMap<string, Entry>> {
    if (revision < this.#compacted) return Promise.reject(new CompactedError(this.#compacted));
    const state = this.#states.get(revision);
    return state
      ? Promise.resolve(state)
      : Promise.reject(new IpamError('store-failed', 'required revision is a future revision'));
  }

  async *#scanAt(
    prefix: string,
    revision: number,
    { keysOnly = false, changedAfter = 0 }: NonNullable<Parameters<Watches['scanAt']>[2]>,
  ): AsyncIterable<Entry[]> {
    const found = [...(await this.#at(revision)).values()]
      .filter((entry) => entry.key.startsWith(prefix) && Number(entry.revision) > changedAfter)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    if (found.length > 0) yield keysOnly ? found.map((entry) => ({ ...entry, value: '' })) : found;
  }

  async *#watch(from: number, signal: AbortSignal): AsyncIterable<WatchNews> {
    const cut = this.#cut.signal;
    let next = from;
    await Promise.resolve();
    yield { revisions: [], newest: Number(this.revision) };
    for (;;) {
      if (signal.aborted) return;
      if (cut.aborted) throw new IpamError('store-unreachable', 'the test has cut the watch');
      if (next < this.#compacted) throw new CompactedError(this.#compacted);
      const revisions = this.#log.filter(({ revision }) => revision >= next).slice(0, this.batch);
      const newest = Number(this.revision);
      if (revisions.length > 0) {
        next = (revisions.at(-1)?.revision ?? 0) + 1;
        yield { revisions, newest };
      } else {
        const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        await Promise.race([this.#woken, ended]);
      }
    }
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #stir(): void {
    const wake = this.#wake;
    this.#woken = this.#sleep();
    wake();
  }
}
