import { castGrpcError, castGrpcErrorMessage, type Etcd3, type IWatchResponse } from 'etcd3';
import { IpamError } from '../../model/errors.ts';
import { isDenied } from './errors.ts';
import { poolOf, type Duplex } from './pool.ts';

/** Longest wait for an answer of a member, in milliseconds. */
const SILENT_MS = 10_000;
/** How often a silent member is asked for a sign of life, in milliseconds. */
const ASK_EVERY_MS = 3_000;

/** The keys of a watch, and the revision where it begins. */
export interface WatchedKeys {
  readonly key: Buffer;
  readonly range_end: Buffer;
  readonly start_revision: string;
}

/**
 * One watch over one connection to one member. It does not use the client's own `Watcher`, which
 * begins after the newest revision again when it is cut off before it has told what is older.
 */
export class WatchStream {
  readonly #stream: Duplex;
  readonly #messages: AsyncIterator<IWatchResponse>;

  private constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('error', () => undefined);
    this.#messages = stream[Symbol.asyncIterator]();
  }

  /**
   * Begins a watch at the endpoint of this number. Returns once the member has accepted it, with
   * its answer. A login that etcd refuses is renewed once.
   * @throws the error of etcd3
   */
  static async open(
    client: Etcd3,
    endpoint: number,
    keys: WatchedKeys,
  ): Promise<{ readonly stream: WatchStream; readonly accepted: IWatchResponse }> {
    const { authenticator } = poolOf(client);
    const login = authenticator.awaitingMetadata;
    try {
      return await WatchStream.#openOnce(client, endpoint, keys);
    } catch (error) {
      // etcd 3.4 calls an outdated token a lack of permission.
      if (login === null || !isDenied(error)) throw error;
      if (authenticator.awaitingMetadata === login) authenticator.invalidateMetadata();
      return await WatchStream.#openOnce(client, endpoint, keys);
    }
  }

  static async #openOnce(
    client: Etcd3,
    endpoint: number,
    keys: WatchedKeys,
  ): Promise<{ readonly stream: WatchStream; readonly accepted: IWatchResponse }> {
    const { hosts, authenticator } = poolOf(client);
    const host = hosts[endpoint % hosts.length];
    if (!host) throw new Error('the client of etcd has no endpoint');
    const metadata = (await authenticator.getMetadata()).clone();
    // The member ends the stream when it is cut off from the others.
    metadata.set('hasleader', 'true');
    const stream = new WatchStream(host.getServiceClient('Watch').watch(metadata, {}));
    try {
      stream.#stream.write({
        create_request: { ...keys, fragment: true, progress_notify: true },
      });
      return { stream, accepted: await stream.next() };
    } catch (error) {
      stream.close();
      host.resetAllServices();
      throw error;
    }
  }

  /**
   * Returns the next message; one without events is a sign of life.
   * @throws the error of etcd3, also where etcd ends the watch for another cause than a compaction
   */
  async next(): Promise<IWatchResponse> {
    const asking = setInterval(() => this.#stream.write({ progress_request: {} }), ASK_EVERY_MS);
    const silence = setTimeout(() => this.#stream.destroy(silent()), SILENT_MS);
    try {
      const next = await this.#messages.next();
      if (next.done === true) throw ended();
      const { value } = next;
      if (value.canceled && value.compact_revision === '0') throw castGrpcErrorMessage(value.cancel_reason);
      return value;
    } catch (error) {
      throw error instanceof Error ? castGrpcError(error) : error;
    } finally {
      clearInterval(asking);
      clearTimeout(silence);
    }
  }

  close(): void {
    this.#stream.cancel();
    this.#stream.destroy();
  }
}

const silent = (): IpamError =>
  new IpamError('store-unreachable', `etcd did not answer a watch within ${SILENT_MS / 1000} s`);
const ended = (): IpamError => new IpamError('store-unreachable', 'etcd ended the watch');
