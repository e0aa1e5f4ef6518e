import { stampOf } from '../../ipam/files/stamp.ts';
import type { Effects } from '../../ipam/model/effects.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import type { PartialMetrics } from '../../ipam/settings/settings.ts';
import type { Log } from '../platform/platform.ts';
import { readAccess } from './metrics-access.ts';
import { formatMetricsAddress } from './metrics-address.ts';
import { metricsPortSettings, type MetricsPortSettings } from './metrics-port-settings.ts';
import { MetricsServer, type MetricsSource } from './metrics-server.ts';

/** How often it looks for changed settings and files, and tries again, in milliseconds. */
const EVERY_MS = 1_000;

export interface MetricsPortParts {
  /** Returns the settings as they are now. Throws while they cannot be read. */
  readonly settings: () => PartialMetrics | undefined;
  readonly source: MetricsSource;
  readonly log: Log;
  readonly effects: Pick<Effects, 'schedule'>;
}

/** For `/healthz` of the agent's own socket, and so for `cnictl doctor`. */
export interface MetricsPortReport {
  readonly listen: string;
  readonly tls: boolean;
  /** Why it is not served, or not by the files as they are now. Absent when all is well. */
  readonly reason?: string;
}

interface Serving {
  readonly server: MetricsServer;
  /** The settings by which it was opened. */
  readonly settings: string;
  /** What the files were like. */
  stamp: string;
}

/**
 * Serves metrics at the port that the settings name, and follows them: it tries a taken port again,
 * and reads replaced files. While a replaced file is bad, the former one counts; with other
 * settings nothing of before counts. A failure is told, and harms nothing else.
 */
export class MetricsPort {
  readonly #parts: MetricsPortParts;
  #serving: Serving | undefined;
  #wanted: Pick<MetricsPortReport, 'listen' | 'tls'> | undefined;
  #reason: string | undefined;
  #timer: { cancel: () => void } | undefined;
  #isStopped = false;

  constructor(parts: MetricsPortParts) {
    this.#parts = parts;
  }

  /** Returns undefined while no port is wanted. */
  get report(): MetricsPortReport | undefined {
    return this.#wanted && { ...this.#wanted, ...(this.#reason !== undefined && { reason: this.#reason }) };
  }

  /** Looks once, and from then on again and again. Never rejects. */
  async start(): Promise<void> {
    await this.look();
    if (this.#isStopped) return;
    this.#timer = this.#parts.effects.schedule(EVERY_MS, () => void this.start());
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#close();
  }

  /** Serves by settings and files as they are now. Never rejects. */
  async look(): Promise<void> {
    let partial: PartialMetrics | undefined;
    try {
      partial = this.#parts.settings();
    } catch {
      // Calls and the reconcile report the error. Until it is mended, the settings of before count.
      return;
    }
    try {
      await this.#follow(partial ?? {});
      this.#tell(undefined);
    } catch (error) {
      this.#tell(messageOf(error));
    }
  }

  async #follow(partial: PartialMetrics): Promise<void> {
    const { listen, certFile } = partial;
    this.#wanted =
      listen === undefined || listen === 'off' ? undefined : { listen, tls: certFile !== undefined };
    const text = JSON.stringify(partial);
    if (this.#serving?.settings !== text) this.#close();
    const settings = metricsPortSettings(partial);
    if (settings) await this.#serve(settings, text);
  }

  async #serve(settings: MetricsPortSettings, text: string): Promise<void> {
    // Before the files are read: a change after this is seen by the next look.
    const stamp = stampOfFiles(settings);
    if (this.#serving?.stamp === stamp) return;
    const access = readAccess(settings);
    if (this.#serving) {
      this.#serving.server.renew(access);
      this.#serving.stamp = stamp;
      this.#parts.log.info('the metrics port has new files');
      return;
    }
    const { source, effects, log } = this.#parts;
    const server = await MetricsServer.listen(settings.address, source, effects, access);
    this.#serving = { server, settings: text, stamp };
    if (this.#isStopped) this.#close();
    log.info('metrics port', {
      listen: formatMetricsAddress(settings.address),
      tls: access.tls !== undefined,
      clientCertificates: access.asksForCertificate,
      token: access.token !== undefined,
    });
  }

  #close(): void {
    this.#serving?.server.close();
    this.#serving = undefined;
  }

  /** Logs a reason once, not at each look. */
  #tell(reason: string | undefined): void {
    if (reason !== undefined && reason !== this.#reason)
      this.#parts.log.error('metrics cannot be served as configured', {
        listen: this.#wanted?.listen ?? 'off',
        reason,
      });
    if (reason === undefined && this.#reason !== undefined)
      this.#parts.log.info('metrics are served as configured again');
    this.#reason = reason;
  }
}

const stampOfFiles = ({ tls, tokenFile }: MetricsPortSettings): string =>
  stampOf([tls?.certFile, tls?.keyFile, tls?.clientCaFile, tokenFile]);
