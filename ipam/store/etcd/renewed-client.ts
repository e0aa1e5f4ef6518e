import type { Etcd3 } from 'etcd3';
import { stampOf } from '../../files/stamp.ts';
import { openClient } from './client.ts';
import { NONE_KNOWN_SILENT, type SilentEndpoints } from './endpoints.ts';
import { isDenied, isUnconnected } from './errors.ts';
import { withLogin } from './login.ts';
import type { EtcdSettings } from './settings.ts';

/** How often it looks whether the files were replaced, in milliseconds. */
const LOOK_EVERY_MS = 1_000;

interface Opened {
  readonly client: Etcd3;
  /** What the files were like. */
  readonly stamp: string;
  /** Requests under way. */
  uses: number;
}

/**
 * A client of etcd that has the certificates and the password which its files hold now. When a file
 * was replaced, new requests get a new client; the old one is closed when its last request ends. It
 * looks every second, and at once when etcd refuses the login or no connection comes about.
 */
export class RenewedClient {
  readonly #settings: EtcdSettings;
  readonly #patience: () => number;
  readonly #silent: SilentEndpoints;
  #current: Opened;
  #lookAt = performance.now() + LOOK_EVERY_MS;

  /**
   * @param patience returns how long to wait for the next request, in milliseconds
   * @throws IpamError `invalid` if a file of the settings cannot be read
   */
  constructor(settings: EtcdSettings, patience: () => number, silent: SilentEndpoints = NONE_KNOWN_SILENT) {
    this.#settings = settings;
    this.#patience = patience;
    this.#silent = silent;
    this.#current = this.#open(stampOfFiles(settings));
  }

  /** Sends the request. After a refusal that a replaced file explains, sends it once again. */
  async use<T>(request: (client: Etcd3) => Promise<T>): Promise<T> {
    if (performance.now() >= this.#lookAt) this.#renew();
    try {
      return await this.#send(request);
    } catch (error) {
      if (!(isDenied(error) || isUnconnected(error)) || !this.#renew()) throw error;
      return await this.#send(request);
    }
  }

  close(): void {
    this.#current.client.close();
  }

  async #send<T>(request: (client: Etcd3) => Promise<T>): Promise<T> {
    const own = this.#current;
    own.uses++;
    try {
      return await withLogin(own.client, () => request(own.client));
    } finally {
      own.uses--;
      if (own !== this.#current) closeUnused(own);
    }
  }

  /** Returns whether there is a new client. While a file cannot be read, the old one serves. */
  #renew(): boolean {
    this.#lookAt = performance.now() + LOOK_EVERY_MS;
    const stamp = stampOfFiles(this.#settings);
    const old = this.#current;
    if (stamp === old.stamp) return false;
    try {
      this.#current = this.#open(stamp);
    } catch {
      return false;
    }
    closeUnused(old);
    return true;
  }

  #open(stamp: string): Opened {
    return { client: openClient(this.#settings, this.#patience, this.#silent), stamp, uses: 0 };
  }
}

function closeUnused({ client, uses }: Opened): void {
  if (uses === 0) client.close();
}

const stampOfFiles = ({ caFile, certFile, keyFile, passwordFile }: EtcdSettings): string =>
  stampOf([caFile, certFile, keyFile, passwordFile]);
