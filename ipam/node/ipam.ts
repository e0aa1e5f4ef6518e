import type { Effects } from '../model/effects.ts';
import { RuleBook } from '../store/rules.ts';
import { storeUntil } from '../store/store-until.ts';
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
  readonly rules: RuleBook;
}

/** For a process with one caller: each request reads for itself and runs in its own transaction. */
export function directIpam(
  store: Store,
  effects: Effects,
  local: LocalNode = noLocalNode,
  observer: Observer = silentObserver,
): Ipam {
  const context = { store, effects, observer, cache: noCache, local };
  return { store, effects, observer, local, runner: new DirectRunner(context), rules: new RuleBook() };
}

/** The IPAM of a process with several concurrent callers. */
export interface SharedIpam extends Ipam {
  /**
   * Returns the IPAM for one caller, all of whose requests end by the deadline.
   * @param expiresAt milliseconds of the monotonic clock
   */
  until(expiresAt: number): Ipam;
}

/**
 * For a process with several concurrent callers: it caches the node blocks and batches requests
 * into shared transactions.
 */
export function batchingIpam(context: RunContext, patienceMs: number): SharedIpam {
  const { store, effects, observer, local } = context;
  const batcher = new Batcher(context, patienceMs);
  const rules = new RuleBook();
  return {
    store,
    effects,
    observer,
    local,
    runner: batcher,
    rules,
    until: (expiresAt) => ({
      store: storeUntil(store, expiresAt, effects),
      effects,
      observer,
      local,
      runner: { run: (node, request) => batcher.run(node, request, expiresAt) },
      rules,
    }),
  };
}
