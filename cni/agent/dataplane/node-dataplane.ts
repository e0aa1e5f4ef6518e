import { messageOf } from '../../../ipam/model/errors.ts';
import type { Effects, Timer } from '../../../ipam/model/effects.ts';
import type { KubeApi } from '../../kube/api.ts';
import type { KubeWatches, Reflection, WatchObserver } from '../../kube/watches.ts';
import type { Log } from '../../platform/platform.ts';
import type { PortSpec } from '../../platform/switch.ts';
import { ServiceTable } from '../../services/service-table.ts';
import type { BridgeEvents } from './bridge-keeper.ts';
import { Dataplane, type DataplaneOptions } from './dataplane.ts';
import type { DataplaneMetrics, DataplaneState } from './metrics.ts';
import type { BridgeReport } from './service-report.ts';

export interface NodeDataplaneOptions extends Pick<
  DataplaneOptions,
  'ovs' | 'bridge' | 'connect' | 'recorded' | 'ranges' | 'nodeAddresses'
> {
  /** Absent: the bridges serve no Services, and only limit pods. */
  readonly kube?: KubeApi & KubeWatches;
  /** The node's name in Kubernetes. */
  readonly node: string;
  readonly metrics: DataplaneMetrics;
  readonly log: Log;
  readonly effects: Effects;
}

/** How often the node's zone is looked up until it is known, and afterwards, in milliseconds. */
const ZONE_RETRY_MS = 10_000;
const ZONE_EVERY_MS = 600_000;
/** How long after a change the agent logs what it refuses of it, in milliseconds. */
const TELL_AFTER_MS = 1_000;

/**
 * Makes the bridges of this node serve the cluster's Services: watches Services and EndpointSlices,
 * and programs the bridges with them.
 */
export class NodeDataplane {
  readonly #options: NodeDataplaneOptions;
  readonly #table = new ServiceTable();
  readonly #dataplane: Dataplane;
  #watches: readonly Reflection[] = [];
  #zoneTimer: Timer | undefined;
  #refusals: Timer | undefined;
  #servicesKnown = false;
  readonly #listed = new Set<'services' | 'slices'>();
  #told = new Set<string>();
  #closed = false;
  /** Why the last update of a bridge failed, and how often its flows were changed by others. */
  readonly #failing = new Map<string, string>();
  readonly #differences = new Map<string, number>();
  /** When the API server's oldest event came that is not in the bridges yet. */
  #since: number | undefined;

  constructor(options: NodeDataplaneOptions) {
    this.#options = options;
    const { metrics, log } = options;
    const events = (bridge: string): BridgeEvents => ({
      sent: (changes, ms) => {
        if (this.#failing.delete(bridge) || changes > 1_000)
          log.info('bridge programmed', { bridge, changes, ms });
        metrics.sent(ms);
        this.#reached();
      },
      failed: (reason) => {
        metrics.failed();
        if (this.#failing.get(bridge) === reason) return;
        this.#failing.set(bridge, reason);
        log.warn('the bridge cannot be programmed now', { bridge, reason });
      },
      differed: (found, expected) => {
        metrics.differed();
        this.#differences.set(bridge, (this.#differences.get(bridge) ?? 0) + 1);
        log.warn('flows of the bridge were changed by somebody else; all are sent again', {
          bridge,
          found,
          expected,
        });
      },
    });
    this.#dataplane = new Dataplane({ ...options, table: options.kube && this.#table, events });
    metrics.state = () => this.state();
  }

  start(): void {
    const { kube, node } = this.#options;
    this.#table.setNode({ nodeName: node, zone: undefined });
    this.#dataplane.start();
    if (!kube) return;
    this.#watches = [
      kube.watchServices(
        {
          replaceAll: (items) => {
            this.#listed.add('services');
            this.#apply(() => this.#table.replaceServices(items));
          },
          put: (key, item) => this.#apply(() => this.#table.putService(key, item)),
          remove: (key) => this.#apply(() => this.#table.removeService(key)),
        },
        this.#observer('Services'),
      ),
      kube.watchEndpointSlices(
        {
          replaceAll: (items) => {
            this.#listed.add('slices');
            this.#apply(() => this.#table.replaceSlices(items));
          },
          put: (key, item) => this.#apply(() => this.#table.putSlice(key, item)),
          remove: (key) => this.#apply(() => this.#table.removeSlice(key)),
        },
        this.#observer('EndpointSlices'),
      ),
    ];
    void this.#readZone(kube);
  }

  /** The bridges keep what they do. */
  close(): void {
    this.#closed = true;
    this.#zoneTimer?.cancel();
    this.#refusals?.cancel();
    for (const watch of this.#watches) watch.close();
    this.#options.kube?.close();
    this.#dataplane.close();
    this.#options.metrics.state = () => undefined;
  }

  /** Resolves once the bridge does what it is to do for the port; false if not within the time. */
  programmed(port: PortSpec, withinMs: number): Promise<boolean> {
    return this.#dataplane.programmed(port, withinMs);
  }

  /** Takes away the flows of a port that is about to be removed. */
  release(port: string): Promise<void> {
    return this.#dataplane.release(port);
  }

  get table(): ServiceTable {
    return this.#table;
  }

  state(): DataplaneState {
    const { services, frontends, endpoints } = this.#table.counts();
    return {
      servicesKnown: this.#servicesKnown,
      services,
      frontends,
      endpoints,
      refused: this.#table.refused().length,
      bridges: [...this.#dataplane.keepers].map(([bridge, keeper]) => ({
        bridge,
        flows: keeper.flows,
        inPlace: keeper.isInPlace,
      })),
    };
  }

  /** Whether the bridges serve Services, and do not only limit pods. */
  get servesServices(): boolean {
    return this.#options.kube !== undefined;
  }

  bridges(): BridgeReport[] {
    return [...this.#dataplane.keepers].map(([bridge, keeper]) => ({
      bridge,
      inPlace: keeper.isInPlace,
      flows: keeper.flows ?? null,
      differences: this.#differences.get(bridge) ?? 0,
      failure: this.#failing.get(bridge) ?? null,
    }));
  }

  #apply(change: () => void): void {
    change();
    this.#since ??= this.#options.effects.monotonic();
    if (this.#servicesKnown) {
      this.#dataplane.tableChanged();
    } else if (this.#listed.size === 2) {
      this.#servicesKnown = true;
      this.#dataplane.tableKnown();
    }
    this.#refusals ??= this.#options.effects.schedule(TELL_AFTER_MS, () => {
      this.#refusals = undefined;
      this.#tellRefused();
    });
  }

  /** Counts the time until the bridges had what the API server told. */
  #reached(): void {
    if (this.#since === undefined) return;
    if (![...this.#dataplane.keepers.values()].every((keeper) => keeper.isInPlace)) return;
    this.#options.metrics.reached(this.#options.effects.monotonic() - this.#since);
    this.#since = undefined;
  }

  /** Logs each refusal once. */
  #tellRefused(): void {
    const now = new Set<string>();
    for (const { service, what, reason } of this.#table.refused()) {
      const key = `${service} ${what} ${reason}`;
      now.add(key);
      if (!this.#told.has(key))
        this.#options.log.warn('part of a Service is not served', { service, what, reason });
    }
    this.#told = now;
  }

  #observer(what: string): WatchObserver {
    const { log } = this.#options;
    return {
      onTrouble: (reason) => log.warn(`the ${what} cannot be followed now`, { reason }),
      onWell: () => log.info(`the ${what} are followed`),
      onBad: (object, reason) => log.warn(`one of the ${what} cannot be read`, { object, reason }),
    };
  }

  async #readZone(kube: KubeApi): Promise<void> {
    const { node, effects, log } = this.#options;
    let pauseMs = ZONE_EVERY_MS;
    try {
      const found = await kube.getNode(node);
      if (this.#closed) return;
      this.#table.setNode({ nodeName: node, zone: found?.zone });
      this.#dataplane.tableChanged();
    } catch (error) {
      pauseMs = ZONE_RETRY_MS;
      log.info("the node's zone is not known yet", { reason: messageOf(error) });
    }
    if (!this.#closed) this.#zoneTimer = effects.schedule(pauseMs, () => void this.#readZone(kube));
  }
}
