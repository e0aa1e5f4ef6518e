import type { EndpointSlice } from './endpoint-slice.ts';
import type { KubeService } from './service.ts';

/** Receives a collection and its changes. Keys have the form `namespace/name`. */
export interface CollectionSink<T> {
  /** The whole collection, after each list. It replaces everything that the sink has. */
  replaceAll(items: ReadonlyMap<string, T>): void;
  /** An item is new or changed. */
  put(key: string, item: T): void;
  remove(key: string): void;
}

/** Gets told how a watch fares. */
export interface WatchObserver {
  /**
   * An attempt to list or watch failed. Further attempts follow. The same problem again is not
   * reported before the watch works.
   */
  onTrouble(problem: string): void;
  /** The watch works: for the first time, or again after trouble. */
  onWell(): void;
  /**
   * An object violates the API's schema, and is left out. Where the sink has its former state, that
   * stays.
   */
  onBad(key: string, reason: string): void;
}

/** A copy of a collection of the API server that follows its changes. */
export interface Reflection {
  /** Ends the watch and closes its connection. The sink gets no more calls. */
  readonly close: () => void;
  /** Whether the sink has had the whole collection. */
  readonly synced: () => boolean;
  /** When the server last sent anything, by the monotonic clock. A quiet watch has bookmarks. */
  readonly lastHeardAt: () => number | undefined;
}

/** The collections that an API server lets its clients follow. */
export interface KubeWatches {
  /** The Services that the cluster's own proxy is to serve. */
  readonly watchServices: (sink: CollectionSink<KubeService>, observer: WatchObserver) => Reflection;
  /** The EndpointSlices of those Services, without headless ones. */
  readonly watchEndpointSlices: (sink: CollectionSink<EndpointSlice>, observer: WatchObserver) => Reflection;
}
