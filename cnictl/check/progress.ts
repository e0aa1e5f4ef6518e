/** Told of long work: how far it is. @param total 0 where nobody knows yet */
export type Progress = (what: string, done: number, total: number) => void;

/** What a look needs beside its servers. */
export interface Looking {
  readonly progress: Progress;
  /** Ends it early; what was read by then is thrown away. */
  readonly signal?: AbortSignal | undefined;
  readonly warn: (text: string) => void;
}
