import { networkInterfaces } from 'node:os';
import { parseAddress, type Address } from '../../../ipam/model/address.ts';
import type { Effects } from '../../../ipam/model/effects.ts';
import { messageOf } from '../../../ipam/model/errors.ts';
import type { PartialSettings } from '../../../ipam/settings/settings.ts';
import { limitsOfRecord } from '../../attach/recorded-port.ts';
import type { KubeClient } from '../../kube/connect.ts';
import type { NodeRecords } from '../../platform/node-records.ts';
import { managementSocket } from '../../openflow/management.ts';
import type { Log } from '../../platform/platform.ts';
import type { PortSpec } from '../../platform/switch.ts';
import { CniError } from '../../protocol/errors.ts';
import { hostLinkName } from '../../protocol/identity.ts';
import type { SwitchAddress } from '../../protocol/settings.ts';
import type { OwnPlace } from '../../reconcile/places.ts';
import { whySpecial } from '../../services/forbidden.ts';
import { ServiceTable } from '../../services/service-table.ts';
import type { ServiceAnswer } from '../metrics-server.ts';
import type { WarmPlatform } from '../warm-platform.ts';
import { clearBridge } from './clear-bridge.ts';
import { connectBridge } from './connect.ts';
import type { DataplaneMetrics } from './metrics.ts';
import { NodeDataplane } from './node-dataplane.ts';
import { listServices, showService, unknownService } from './service-report.ts';

export interface NodeServicesOptions {
  readonly platform: WarmPlatform;
  readonly metrics: DataplaneMetrics;
  readonly log: Log;
  readonly effects: Effects;
  readonly env: NodeJS.ProcessEnv;
}

/** The node's own place, with what programming needs of it. */
interface Place extends OwnPlace {
  readonly ovs: SwitchAddress;
  /** The node's name in Kubernetes. */
  readonly name: string;
}

/** Deadlines of requests to the API server, in milliseconds. */
const REQUEST_MS = 10_000;
const LIST_MS = 60_000;
/** Longest time that an ADD waits until the bridge does what it is to do, in milliseconds. */
const PROGRAMMED_WITHIN_MS = 1_000;

/**
 * Programs the bridges of this node: they serve the cluster's Services, as key `services` of the
 * shared file says (by default where the agent has a kubeconfig or a service account), and hold
 * pods to their limits.
 */
export class NodeServices {
  readonly #options: NodeServicesOptions;
  #dataplane: NodeDataplane | undefined;
  #place: Place | undefined;
  #settings = '';
  #closed = false;
  /** Why no Services are served. */
  #reason: string | undefined = 'the agent has not read its settings yet';

  constructor(options: NodeServicesOptions) {
    this.#options = options;
    const { platform } = options;
    platform.programmed = (at, port) => this.#programmed(at, port);
    platform.released = async (at, attachment) => {
      if (at.ovsdb === this.#place?.ovs.ovsdb) await this.#dataplane?.release(hostLinkName(attachment));
    };
  }

  /** Does as the settings say from now on. */
  apply(settings: PartialSettings, own: OwnPlace, hostname: string): void {
    const now = JSON.stringify([settings.services, settings.kubeconfig, settings.node, own]);
    if (now === this.#settings) return;
    this.#settings = now;
    this.#dataplane?.close();
    this.#dataplane = undefined;
    this.#reason = settings.services === false ? 'they are off: "services": false' : undefined;
    const { ovs } = own;
    if (!ovs?.ovsdb.startsWith('unix:/')) {
      this.#reason ??= 'Open vSwitch is not on this node';
      if (settings.services) this.#off(this.#reason, true);
      return;
    }
    const place = { ...own, ovs, name: (settings.node ?? hostname).toLowerCase() };
    this.#place = place;
    void this.#begin(settings, place);
  }

  async #begin(settings: PartialSettings, place: Place): Promise<void> {
    const kube = settings.services === false ? undefined : await this.#connectKube(settings);
    if (this.#place !== place || this.#closed) {
      kube?.close();
      return;
    }
    const { ovs, bridge } = place;
    if (kube) this.#log.info('Services are served', { server: kube.server, bridge });
    if (kube || this.#hasLimits(place)) {
      // An ADD with limits may have begun without Services meanwhile.
      this.#dataplane?.close();
      this.#start(place, kube);
    } else if (settings.services === false) await this.#clear(ovs, bridge);
  }

  /** The next `apply` begins again, with the kubeconfig as it is then. */
  forget(): void {
    this.#settings = '';
  }

  get dataplane(): NodeDataplane | undefined {
    return this.#dataplane;
  }

  /**
   * Tells of all Services, or of one.
   * @param name `namespace/name`; undefined: all
   */
  report(name: string | undefined): ServiceAnswer {
    const dataplane = this.#dataplane;
    const serving = {
      served: dataplane?.servesServices ?? false,
      reason: this.#reason ?? null,
      known: dataplane?.state().servicesKnown ?? false,
      bridges: dataplane?.bridges() ?? [],
    };
    const node = this.#place?.name ?? '';
    const table = dataplane?.table ?? new ServiceTable();
    if (name === undefined) return { found: true, body: listServices(serving, table, node) };
    const view = table.find(name);
    if (view) return { found: true, body: showService(serving, view, node) };
    return { found: false, body: { ...serving, ...unknownService(name, table) } };
  }

  /** The bridges keep what they do. */
  close(): void {
    this.#closed = true;
    this.#dataplane?.close();
    this.#dataplane = undefined;
  }

  get #log(): Log {
    return this.#options.log;
  }

  #records({ stateDir }: Place): NodeRecords {
    const { platform, env } = this.#options;
    return platform.forCall(env).openState(stateDir);
  }

  #hasLimits(place: Place): boolean {
    return this.#records(place)
      .listAttachments()
      .some(({ limits }) => limits !== undefined);
  }

  /** Returns undefined where there is no API server to ask. */
  async #connectKube({ kubeconfig, services }: PartialSettings): Promise<KubeClient | undefined> {
    // A person's own kubeconfig is not the node's.
    const { HOME: _, ...env } = this.#options.env;
    const named = kubeconfig ?? env['KUBECONFIG'] ?? env['KUBERNETES_SERVICE_HOST'];
    if (!named) {
      this.#off('no kubeconfig is known, and no service account of a pod', services === true);
      return undefined;
    }
    try {
      // Its packages take 8 MB, which agents without Services do without.
      const { connectKube } = await import('../../kube/connect.ts');
      return connectKube({
        env,
        ...(kubeconfig !== undefined && { configuredKubeconfig: kubeconfig }),
        deadlineMs: REQUEST_MS,
        listDeadlineMs: LIST_MS,
        schedule: this.#options.effects.schedule,
        userAgent: 'cellnetd',
      });
    } catch (error) {
      this.#off(messageOf(error), services === true);
      return undefined;
    }
  }

  #start(place: Place, kube?: KubeClient): NodeDataplane {
    const { platform, metrics, log, effects } = this.#options;
    const { ipam, ovs, bridge, stateDir, name } = place;
    const records = this.#records(place);
    const dataplane = new NodeDataplane({
      ...{ node: name, ovs, bridge, metrics, log, effects, ...(kube && { kube }) },
      connect: connectBridge,
      recorded: (attachment) => {
        const record = records.readAttachment(attachment);
        return record && { mac: record.mac, limits: record.limits && limitsOfRecord(record.limits) };
      },
      ranges: () => (ipam ? platform.ranges(ipam, stateDir) : Promise.resolve([])),
      nodeAddresses,
    });
    this.#dataplane = dataplane;
    dataplane.start();
    return dataplane;
  }

  /**
   * A pod whose bridge is late works, apart from Services.
   * @throws CniError 11 if the bridge does not hold the pod to its limits
   */
  async #programmed(at: SwitchAddress, port: PortSpec): Promise<void> {
    const { bridge, name, limited } = port;
    const place = this.#place;
    if (place?.ovs.ovsdb !== at.ovsdb) {
      if (limited) throw unlimited(bridge, `its Open vSwitch is not the agent's own`);
      return;
    }
    const dataplane = this.#dataplane ?? (limited ? this.#start(place) : undefined);
    if (!dataplane || (await dataplane.programmed(port, PROGRAMMED_WITHIN_MS))) return;
    if (limited) throw unlimited(bridge, `its flows were not in place within ${PROGRAMMED_WITHIN_MS} ms`);
    this.#log.warn('the pod is attached before its bridge serves Services to it', {
      bridge,
      port: name,
      waitedMs: PROGRAMMED_WITHIN_MS,
    });
  }

  #off(reason: string, isAsked: boolean): void {
    this.#reason = reason;
    if (isAsked) this.#log.error('Services cannot be served', { reason });
    else this.#log.info('Services are not served', { reason });
  }

  async #clear({ ovsdb }: SwitchAddress, bridge: string): Promise<void> {
    const log = this.#log;
    try {
      const connection = await connectBridge(managementSocket(ovsdb, bridge), () => undefined);
      const flows = await clearBridge(connection).finally(() => connection.close());
      if (flows > 0) log.info('Services are not served any more', { bridge, flows });
    } catch (error) {
      log.warn('flows of Services may be left on the bridge', { bridge, reason: messageOf(error) });
    }
  }
}

const unlimited = (bridge: string, why: string): CniError =>
  new CniError('try-again-later', `bridge '${bridge}' does not hold the pod to its limits: ${why}`);

/**
 * Addresses that no Service may have anyway, such as the link-local one of each pod, are left out:
 * they come and go with pods, and each time all Services would be judged again.
 */
function nodeAddresses(): Address[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => parseAddress(address.split('%')[0] ?? ''))
    .filter((address) => whySpecial(address) === undefined);
}
