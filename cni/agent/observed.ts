import type { Store } from '../../ipam/store/store.ts';
import type { Switch } from '../platform/switch.ts';

/** Receives the outcome of one use: undefined for success, else the error it rejected with. */
export type Told = (error: unknown) => void;

/** Passes on the outcome of the work after reporting it to `told`. */
export async function observed<T>(work: Promise<T>, told: Told): Promise<T> {
  try {
    const result = await work;
    told(undefined);
    return result;
  } catch (error) {
    told(error);
    throw error;
  }
}

/**
 * Wraps the store so that it reports the outcome of each request to `told`.
 * @param wrote receives also the outcome of each transaction that puts a key. etcd takes deletes
 *   even when it is full
 */
export function observedStore(store: Store, told: Told, wrote: Told): Store {
  return {
    get: (keys, options) => observed(store.get(keys, options), told),
    scan: (prefix, options) => observedPages(store.scan(prefix, options), told),
    count: (prefixes) => observed(store.count(prefixes), told),
    commit: (guards, writes) => {
      const commit = observed(store.commit(guards, writes), told);
      return writes.some(({ kind }) => kind === 'put') ? observed(commit, wrote) : commit;
    },
    close: () => store.close(),
  };
}

async function* observedPages<T>(pages: AsyncIterable<T>, told: Told): AsyncIterable<T> {
  try {
    yield* pages;
  } catch (error) {
    told(error);
    throw error;
  }
  told(undefined);
}

/**
 * Wraps the switch so that it reports the outcome of each request to `told`.
 * @param forwards receives whether ovs-vswitchd carried out a change
 */
export function observedSwitch(ovs: Switch, told: Told, forwards: (does: boolean) => void): Switch {
  return {
    inspectBridge: (bridge) => observed(ovs.inspectBridge(bridge), told),
    isServed: async () => {
      const served = await observed(ovs.isServed(), told);
      forwards(served);
      return served;
    },
    ...(ovs.readFlows && { readFlows: ovs.readFlows.bind(ovs) }),
    createBridge: (bridge, datapathType) => observed(ovs.createBridge(bridge, datapathType), told),
    addPort: async (port) => {
      await observed(ovs.addPort(port), told);
      forwards(true);
    },
    markPort: (port) => observed(ovs.markPort(port), told),
    removePort: (containerId, ifname) => observed(ovs.removePort(containerId, ifname), told),
    findPorts: (containerId, ifname) => observed(ovs.findPorts(containerId, ifname), told),
    close: () => ovs.close(),
  };
}
