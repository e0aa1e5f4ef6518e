import { batchingIpam, type SharedIpam } from '../../ipam/node/ipam.ts';
import type { LocalNode } from '../../ipam/node/local-node.ts';
import type { Observer } from '../../ipam/node/observer.ts';
import type { NodeBlocksCache } from '../../ipam/node/runner.ts';
import type { EtcdSettings } from '../../ipam/store/etcd/settings.ts';
import { openEtcdStore } from '../../ipam/store/etcd/store.ts';
import { hostEffects } from '../host/effects.ts';
import { ETCD_DEADLINE_MS } from '../platform/connections.ts';
import { WriteBackLog } from '../platform/log-write-back.ts';
import type { Log } from '../platform/platform.ts';
import { observedStore } from './observed.ts';
import { Presence } from './presence.ts';
import { WarmBlocksKeeper } from './warm-blocks-keeper.ts';
import type { Watch } from './watch.ts';

/** The IPAM of one etcd cluster, with what the agent does there between calls. */
export interface WarmIpam {
  readonly ipam: SharedIpam;
  readonly keeper: WarmBlocksKeeper;
  readonly presence: Presence;
  close(): void;
}

export interface WarmIpamPieces {
  readonly local: LocalNode;
  readonly watch: Watch;
  readonly log: Log;
  /** When the agent began, in milliseconds since 1970. */
  readonly since: number;
}

/**
 * Opens an Ipam that caches the node blocks. It connects on its first request.
 * @param cluster any text that is unique to the cluster
 * @throws IpamError `invalid` if the settings or their files are not usable
 */
export function openWarmIpam(
  settings: EtcdSettings,
  cluster: string,
  { local, watch, log, since }: WarmIpamPieces,
): WarmIpam {
  const endpoints = settings.endpoints.join(',');
  const etcd = openEtcdStore(settings, { deadlineMs: ETCD_DEADLINE_MS });
  const store = observedStore(etcd, (error) => watch.usedEtcd(endpoints, error));
  const cache: NodeBlocksCache = new Map();
  const told = new WriteBackLog(log);
  const observer: Observer = {
    ...watch.observer(cluster),
    allocated: (demand) => {
      keeper.noted(demand);
      presence.announce(demand.node);
    },
    wroteBack: (_, result) => {
      told.tell(result);
      watch.metrics.countWriteBack(result);
    },
  };
  const ipam = batchingIpam({ store, effects: hostEffects, observer, cache, local }, ETCD_DEADLINE_MS);
  const keeper = new WarmBlocksKeeper(ipam, cache, log);
  // Not the observed store: health and metrics tell of the calls.
  const presence = new Presence({ store: etcd, effects: hostEffects, local, log, since });
  return {
    ipam,
    keeper,
    presence,
    close: () => {
      keeper.stop();
      presence.stop();
      store.close();
    },
  };
}
