import type { Effects } from '../model/effects.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import { noLocalNode, type LocalNode } from './local-node.ts';
import { silentObserver, type Observer } from './observer.ts';
import { DirectRunner, noCache, type RunContext, type Runner } from './runner.ts';

/** The dependencies of every IPAM operation. */
export interface Ipam {
  readonly store: Store;
  readonly effects: Effects;
  /** Runs the changes of a node's blocks. */
  readonly runner: Runner;
  readonly observer: Observer;
  readonly local: LocalNode;
}

/** For a process with one caller: each request reads for itself and runs in its own transaction. */
export function directIpam(
  store: Store,
  effects: Effects,
  local: LocalNode = noLocalNode,
  observer: Observer = silentObserver,
): Ipam {
  const context = { store, effects, observer, cache: noCache, local };
  return { store, effects, observer, local, runner: new DirectRunner(context) };
}

/**
 * For a process with several concurrent callers: it caches the node blocks and batches requests
 * into shared transactions.
 */
export function batchingIpam(context: RunContext, patienceMs: number): Ipam {
  const { store, effects, observer, local } = context;
  return { store, effects, observer, local, runner: new Batcher(context, patienceMs) };
}
