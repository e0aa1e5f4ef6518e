import type { Random } from './random.ts';

/** The kernel writes changed files to the disk after about this time, in milliseconds. */
const WRITTEN_BACK_AFTER_MS = 5_000;

/** Files of one folder. What is written counts as durable only after a sync, or after a while. */
export class Folder {
  /** Contents as they were written. Programs only read them. */
  readonly files = new Map<string, unknown>();
  /** Files changed since the last sync: what the disk has of them, and since when. */
  readonly #unsynced = new Map<string, { readonly was: unknown; readonly since: number }>();

  /** @param content undefined removes the file */
  write(name: string, content: unknown, now: number): void {
    if (!this.#unsynced.has(name)) this.#unsynced.set(name, { was: this.files.get(name), since: now });
    if (content === undefined) this.files.delete(name);
    else this.files.set(name, content);
  }

  sync(): void {
    this.#unsynced.clear();
  }

  /** Loses power: of recent changes, some have not reached the disk. */
  losePower(now: number, random: Random): void {
    for (const [name, { was, since }] of this.#unsynced) {
      if (now - since > WRITTEN_BACK_AFTER_MS || random.chance(0.5)) continue;
      if (was === undefined) this.files.delete(name);
      else this.files.set(name, was);
    }
    this.#unsynced.clear();
  }

  copy(): Folder {
    const copy = new Folder();
    for (const [name, content] of this.files) copy.files.set(name, content);
    return copy;
  }
}
