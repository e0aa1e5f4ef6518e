import type { Effects } from '../model/effects.ts';
import type { Store } from '../store/store.ts';
import { Batcher } from './batcher.ts';
import { silentObserver, type Observer } from './observer.ts';
import { DirectRunner, noCache, type RunContext, type Runner } from './runner.ts';

/** What every operation of IPAM works with. */
export interface Ipam {
  readonly store: Store;
  readonly effects: Effects;
  /** Carries out what changes a node's blocks. */
  readonly runner: Runner;
  readonly observer: Observer;
}

/** For a process that serves one caller: each request is a transaction of its own, on what is read for it. */
export function directIpam(store: Store, effects: Effects): Ipam {
  const context = { store, effects, observer: silentObserver, cache: noCache };
  return { store, effects, observer: silentObserver, runner: new DirectRunner(context) };
}

/** For a process that serves several callers at once: it remembers what nodes hold, and writes what they ask for together. */
export function batchingIpam(context: RunContext, patienceMs: number): Ipam {
  const { store, effects, observer } = context;
  return { store, effects, observer, runner: new Batcher(context, patienceMs) };
}
