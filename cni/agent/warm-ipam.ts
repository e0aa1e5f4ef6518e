import type { Effects } from '../../ipam/model/effects.ts';
import { batchingIpam, type SharedIpam } from '../../ipam/node/ipam.ts';
import type { LocalNode } from '../../ipam/node/local-node.ts';
import type { Observer } from '../../ipam/node/observer.ts';
import type { NodeBlocksCache } from '../../ipam/node/runner.ts';
import type { AgentReport } from '../../ipam/records/agent-report.ts';
import type { LeasedStore } from '../../ipam/store/leases.ts';
import type { Store } from '../../ipam/store/store.ts';
import { ETCD_DEADLINE_MS } from '../platform/connections.ts';
import { WriteBackLog } from '../platform/log-write-back.ts';
import type { Log } from '../platform/platform.ts';
import { InUse } from './in-use.ts';
import { Presence } from './presence.ts';
import { UsageKeeper, type UsageKeeperContext } from './usage-keeper.ts';
import { WarmBlocksKeeper } from './warm-blocks-keeper.ts';

/** The IPAM of one etcd cluster, with what the agent does there between calls. */
export interface WarmIpam {
  readonly ipam: SharedIpam;
  readonly keeper: WarmBlocksKeeper;
  readonly presence: Presence;
  /** Begins a use of `ipam`, and returns what ends it. */
  begin(): () => void;
  /** Ends the work between calls. Closes the store when the last use has ended. */
  retire(): void;
}

export interface WarmIpamPieces {
  readonly etcd: LeasedStore;
  /** The same store, observed: health and metrics tell of the calls. */
  readonly store: Store;
  readonly effects: Effects;
  readonly local: LocalNode;
  readonly observer: Omit<Observer, 'allocated'>;
  readonly log: Log;
  /** When the agent began, in milliseconds since 1970. */
  readonly since: number;
  /** Whether the agent reconciles the node. */
  readonly reconciles: () => boolean;
  /** Returns what the agent tells etcd of itself. Absent: that it lives, and no more. */
  readonly report?: () => AgentReport;
  /** Learns how full the cluster is. Absent: this process samples no usage. */
  readonly usage?: Pick<UsageKeeperContext, 'told' | 'failed'>;
}

/**
 * Makes an Ipam that caches the node blocks, batches the requests of concurrent calls, keeps blocks
 * warm, tells that this agent is alive, and samples the usage of the cluster.
 */
export function warmIpam(pieces: WarmIpamPieces): WarmIpam {
  const { etcd, store, effects, local, log, since, reconciles, report } = pieces;
  const cache: NodeBlocksCache = new Map();
  const told = new WriteBackLog(log);
  const observer: Observer = {
    ...pieces.observer,
    // Also by a reconcile, whatever names the node: the settings or a record of an ADD.
    holds: (node, blocks) => {
      pieces.observer.holds(node, blocks);
      presence.announce(node);
    },
    allocated: (demand) => keeper.noted(demand),
    wroteBack: (node, result) => {
      told.tell(result);
      pieces.observer.wroteBack(node, result);
    },
  };
  const ipam = batchingIpam({ store, effects, observer, cache, local }, ETCD_DEADLINE_MS);
  const keeper = new WarmBlocksKeeper(ipam, cache, log);
  const presence = new Presence({
    ...{ store: etcd, effects, local, log, since, reconciles },
    ...(report && { report }),
  });
  const usage = pieces.usage && new UsageKeeper({ store: etcd, effects, log, ...pieces.usage });
  usage?.start();
  const inUse = new InUse(() => store.close());
  return {
    ipam,
    keeper,
    presence,
    begin: () => inUse.begin(),
    retire: () => {
      keeper.stop();
      presence.stop();
      usage?.stop();
      inUse.retire();
    },
  };
}
