import { DecodeError } from './decode.ts';
import { KubeError } from './errors.ts';
import type { Client } from './client.ts';
import type { Limit } from './limit.ts';
import { decodePage, Snapshot, type Page } from './page.ts';
import type { Purpose } from './status.ts';

export interface Listing<T> {
  /** Below the server's address, as `/api/v1/pods`. */
  readonly path: string;
  /** Of one item, as `Pod`. */
  readonly kind: string;
  readonly resource: Purpose['resource'];
  /** @throws DecodeError */
  readonly decode: (item: unknown) => T;
  readonly identify: (item: T) => Identity;
}

interface Identity {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Complete<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

/** What kubectl and client-go ask for. */
const PAGE_SIZE = 500;
const MAX_SNAPSHOTS = 3;

/**
 * Lists all items as they were at one moment. No `resourceVersion` is asked for, so the first page is a quorum read
 * of etcd; the further pages continue just that snapshot. When the server has forgotten it (410), all is
 * thrown away and begun anew: its offer to continue at a newer moment could lose what moved meanwhile.
 * @throws KubeError
 */
export async function listAll<T>(
  client: Client,
  listing: Listing<T>,
  limit: Limit,
  onProgress?: (n: number) => void,
): Promise<Complete<T>> {
  for (let attempt = 1; ; attempt++) {
    const result = await listSnapshot(client, listing, limit, onProgress);
    if (!('expired' in result)) return result;
    if (attempt === MAX_SNAPSHOTS) {
      throw new KubeError('expired', `${result.expired.message} (gave up after beginning ${attempt} times)`, {
        cause: result.expired,
        status: 410,
      });
    }
  }
}

async function listSnapshot<T>(
  client: Client,
  listing: Listing<T>,
  limit: Limit,
  onProgress: ((n: number) => void) | undefined,
): Promise<Complete<T> | { readonly expired: KubeError }> {
  const snapshot = new Snapshot();
  const gathered = new Gathered(listing);
  let token: string | undefined;
  do {
    const query = token === undefined ? '' : `&continue=${encodeURIComponent(token)}`;
    const purpose = { verb: 'list', resource: listing.resource } as const;
    const reply = await client.get(`${listing.path}?limit=${PAGE_SIZE}${query}`, purpose, limit);
    if (reply.kind === 'other') {
      if (reply.error.code === 'expired') return { expired: reply.error };
      throw reply.error;
    }
    token = decoding(client.server, `list ${listing.resource}`, () => {
      const page: Page = decodePage(reply.value, listing.kind);
      gathered.add(page.items);
      return snapshot.add(page);
    });
    onProgress?.(snapshot.count);
  } while (token !== undefined);
  return { items: gathered.items, resourceVersion: snapshot.resourceVersion };
}

/** The items so far, of which no two are the same one. */
class Gathered<T> {
  readonly items: T[] = [];
  readonly #listing: Listing<T>;
  readonly #uids = new Set<string>();
  /** By namespace, so that the names are the items' own strings. */
  readonly #names = new Map<string, Set<string>>();

  constructor(listing: Listing<T>) {
    this.#listing = listing;
  }

  add(items: readonly unknown[]): void {
    for (const [i, raw] of items.entries()) {
      const item = this.#decode(raw, `items[${i}]`);
      this.#refuseSecond(this.#listing.identify(item), `items[${i}].metadata`);
      this.items.push(item);
    }
  }

  #decode(raw: unknown, path: string): T {
    const { kind } = (raw ?? {}) as { readonly kind?: unknown };
    if (kind !== undefined && kind !== this.#listing.kind)
      throw new DecodeError(`${path}.kind`, `"${this.#listing.kind}"`, kind);
    try {
      return this.#listing.decode(raw);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const { namespace, name } = ((raw as { metadata?: unknown } | null)?.metadata ?? {}) as Record<
        string,
        unknown
      >;
      const which =
        typeof name === 'string' ? ` (${typeof namespace === 'string' ? `${namespace}/` : ''}${name})` : '';
      throw new Error(`${path}${which}.${error.message}`, { cause: error });
    }
  }

  #refuseSecond({ uid, namespace, name }: Identity, path: string): void {
    let names = this.#names.get(namespace);
    if (names === undefined) this.#names.set(namespace, (names = new Set()));
    if (this.#uids.has(uid)) throw new DecodeError(`${path}.uid`, 'each item once', uid);
    if (names.has(name)) throw new DecodeError(`${path}.name`, 'each item once', name);
    this.#uids.add(uid);
    names.add(name);
  }
}

/** Whatever a decoder finds amiss becomes one typed error that names the server. */
export function decoding<T>(server: string, what: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof KubeError || !(error instanceof Error)) throw error;
    throw new KubeError(
      'malformed',
      `${server} answered ${what} with what cannot be relied on: ${error.message}`,
      { cause: error },
    );
  }
}
