import type { Entry, WatchEvent } from './watch-event.ts';

/** A collection of the API server, as the reflector reads it. */
export interface Source<T> {
  /** Such as `services`, for messages. */
  readonly name: string;
  /** Lists one snapshot. @throws KubeError */
  readonly list: (signal: AbortSignal) => Promise<Snapshot<T>>;
  /**
   * Follows the changes after a version.
   * @returns whether the server ended the watch, or was silent for too long
   * @throws KubeError, and what `onEvent` throws
   */
  readonly watch: (request: WatchRequest<T>) => Promise<'ended' | 'silent'>;
}

export interface Snapshot<T> {
  readonly version: string;
  readonly entries: readonly Entry<T>[];
}

export interface WatchRequest<T> {
  readonly version: string;
  /** After this many milliseconds the server ends the watch. */
  readonly lifeMs: number;
  readonly signal: AbortSignal;
  readonly onOpen: () => void;
  /** The server sent bytes, perhaps not yet a whole event. */
  readonly onHeard: () => void;
  readonly onEvent: (event: Change<T>) => void;
}

/** An event that brings the copy of the collection forward. */
export type Change<T> = Exclude<WatchEvent<T>, { kind: 'error' }>;
