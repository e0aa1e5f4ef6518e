import type { Effects } from '../../ipam/model/effects.ts';
import { batchingIpam, type Ipam } from '../../ipam/node/ipam.ts';
import type { Observer } from '../../ipam/node/observer.ts';
import type { NodeBlocksCache } from '../../ipam/node/runner.ts';
import type { Store } from '../../ipam/store/store.ts';
import { ETCD_DEADLINE_MS } from '../platform/connections.ts';
import type { Log } from '../platform/platform.ts';
import { WarmBlocksKeeper } from './warm-blocks-keeper.ts';

/** IPAM of one etcd cluster, for a process that serves many calls. */
export interface WarmIpam {
  readonly ipam: Ipam;
  readonly keeper: WarmBlocksKeeper;
  /** Also closes the store. */
  close(): void;
}

/**
 * Makes an IPAM that caches the node blocks, batches the requests of concurrent calls, and keeps
 * blocks warm.
 * @param observer learns of everything except the demand of allocations, which the keeper notes
 */
export function warmIpam(
  store: Store,
  effects: Effects,
  observer: Omit<Observer, 'allocated'>,
  log: Log,
): WarmIpam {
  const cache: NodeBlocksCache = new Map();
  const observed: Observer = { ...observer, allocated: (demand) => keeper.noted(demand) };
  const ipam = batchingIpam({ store, effects, observer: observed, cache }, ETCD_DEADLINE_MS);
  const keeper = new WarmBlocksKeeper(ipam, cache, log);
  return {
    ipam,
    keeper,
    close: () => {
      keeper.stop();
      store.close();
    },
  };
}
