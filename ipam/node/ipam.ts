import type { Effects } from '../model/effects.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import { silentObserver, type Observer } from './observer.ts';
import { DirectRunner, noCache, type RunContext, type Runner } from './runner.ts';

/** The dependencies of every IPAM operation. */
export interface Ipam {
  readonly store: Store;
  readonly effects: Effects;
  /** Runs the changes of a node's blocks. */
  readonly runner: Runner;
  readonly observer: Observer;
}

/** For a process with one caller: each request reads for itself and runs in its own transaction. */
export function directIpam(store: Store, effects: Effects): Ipam {
  const context = { store, effects, observer: silentObserver, cache: noCache };
  return { store, effects, observer: silentObserver, runner: new DirectRunner(context) };
}

/**
 * For a process with several concurrent callers: it caches the node blocks and batches requests
 * into shared transactions.
 */
export function batchingIpam(context: RunContext, patienceMs: number): Ipam {
  const { store, effects, observer } = context;
  return { store, effects, observer, runner: new Batcher(context, patienceMs) };
}
