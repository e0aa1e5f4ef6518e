import type { IWatchResponse } from 'etcd3';
import type { KeyChange, RevisionChanges } from '../watches.ts';

/**
 * Puts the messages of one watch together: etcd may send the changes of one revision in several
 * messages, all but the last marked as fragments.
 */
export class Revisions {
  readonly #keyOf: (key: Buffer) => string;
  #revision = 0;
  #changes: KeyChange[] = [];

  constructor(keyOf: (key: Buffer) => string) {
    this.#keyOf = keyOf;
  }

  /** Returns the revisions that the message completes. */
  take({ events, fragment }: Pick<IWatchResponse, 'events' | 'fragment'>): RevisionChanges[] {
    const complete: RevisionChanges[] = [];
    for (const { type, kv } of events) {
      const revision = Number(kv.mod_revision);
      if (revision !== this.#revision) this.#end(complete);
      this.#revision = revision;
      const value = type === 'Put' ? kv.value.toString('utf8') : undefined;
      this.#changes.push({ key: this.#keyOf(kv.key), value });
    }
    if (!fragment) this.#end(complete);
    return complete;
  }

  #end(complete: RevisionChanges[]): void {
    if (this.#changes.length > 0) complete.push({ revision: this.#revision, changes: this.#changes });
    this.#changes = [];
  }
}
