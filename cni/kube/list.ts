import { FingerprintSet } from '../../ipam/audit/fingerprint.ts';
import type { ListOptions } from './api.ts';
import type { Client } from './client.ts';
import { DecodeError } from './decode.ts';
import { KubeError } from './errors.ts';
import type { Limit } from './limit.ts';
import { decodePage, Snapshot, type Page } from './page.ts';
import { LONGEST_PAGE } from './request.ts';
import type { Purpose } from './status.ts';

export interface Listing<T> {
  /** The path below the server's address, such as `/api/v1/pods`. */
  readonly path: string;
  /** The kind of one item, such as `Pod`. */
  readonly kind: string;
  /** Default: `v1`, the core API group. */
  readonly apiVersion?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resource: Purpose['resource'];
  /** What messages say of a list of one namespace, or of another right than the usual one. */
  readonly scope?: Pick<Purpose, 'namespace' | 'grant'>;
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

/** kubectl and client-go use the same page size. */
const PAGE_SIZE = 500;
const MAX_SNAPSHOTS = 3;

/** Receives the items page by page. */
export interface Sink<T> {
  /** The list starts or starts over. The sink discards all earlier items. */
  readonly restart: () => void;
  readonly add: (items: readonly T[]) => void;
}

/** Returns all items in one array. @throws KubeError */
export async function listAll<T>(
  client: Client,
  listing: Listing<T>,
  limit: Limit,
  onProgress?: ListOptions['onProgress'],
): Promise<Complete<T>> {
  const items: T[] = [];
  const sink: Sink<T> = { restart: () => void (items.length = 0), add: (page) => void items.push(...page) };
  const resourceVersion = await walkAll(client, listing, sink, limit, onProgress);
  return { items, resourceVersion };
}

/**
 * Lists all items of one snapshot. The request names no `resourceVersion`, so the first page is a
 * quorum read of etcd, and the further pages continue that snapshot. When the server no longer has
 * the snapshot (410), this function restarts the list: the server's offer to continue from a newer
 * snapshot could skip items that moved in between.
 * @returns the resourceVersion of the snapshot
 * @throws KubeError
 */
export async function walkAll<T>(
  client: Client,
  listing: Listing<T>,
  sink: Sink<T>,
  limit: Limit,
  onProgress?: ListOptions['onProgress'],
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    sink.restart();
    const result = await walkSnapshot(client, listing, sink, limit, onProgress);
    if (!('expired' in result)) return result.resourceVersion;
    if (attempt === MAX_SNAPSHOTS) {
      throw new KubeError('expired', `${result.expired.message} (gave up after beginning ${attempt} times)`, {
        cause: result.expired,
        status: 410,
      });
    }
  }
}

/** Returns the selectors as the rest of a query. */
export const selectorQuery = (selectors: Pick<Listing<never>, 'labelSelector' | 'fieldSelector'>): string =>
  (['labelSelector', 'fieldSelector'] as const)
    .map((name) => {
      const text = selectors[name];
      return text === undefined ? '' : `&${name}=${encodeURIComponent(text)}`;
    })
    .join('');

async function walkSnapshot<T>(
  client: Client,
  listing: Listing<T>,
  sink: Sink<T>,
  limit: Limit,
  onProgress: ListOptions['onProgress'],
): Promise<{ readonly resourceVersion: string } | { readonly expired: KubeError }> {
  const snapshot = new Snapshot();
  const once = new Once(listing);
  const selector = selectorQuery(listing);
  let token: string | undefined;
  do {
    const query = token === undefined ? '' : `&continue=${encodeURIComponent(token)}`;
    const purpose: Purpose = { verb: 'list', resource: listing.resource, ...listing.scope };
    const reply = await client.get(
      `${listing.path}?limit=${PAGE_SIZE}${selector}${query}`,
      purpose,
      limit,
      LONGEST_PAGE,
    );
    if (reply.kind === 'other') {
      if (reply.error.code === 'expired') return { expired: reply.error };
      throw reply.error;
    }
    const [items, next] = decoding(client.server, `list ${listing.resource}`, () => {
      const page: Page = decodePage(reply.value, listing.kind, listing.apiVersion);
      return [once.decode(page.items), snapshot.add(page)] as const;
    });
    sink.add(items);
    token = next;
    onProgress?.(snapshot.count, snapshot.announced);
  } while (token !== undefined);
  return { resourceVersion: snapshot.resourceVersion };
}

/** Decodes items. Throws DecodeError when a UID or a namespace/name occurs twice. */
class Once<T> {
  readonly #listing: Listing<T>;
  readonly #uids = new FingerprintSet();
  readonly #names = new FingerprintSet();

  constructor(listing: Listing<T>) {
    this.#listing = listing;
  }

  decode(items: readonly unknown[]): T[] {
    return items.map((raw, i) => {
      const item = this.#decode(raw, `items[${i}]`);
      this.#refuseSecond(this.#listing.identify(item), `items[${i}].metadata`);
      return item;
    });
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
    if (!this.#uids.add(uid)) throw new DecodeError(`${path}.uid`, 'each item once', uid);
    if (!this.#names.add(`${namespace}/${name}`))
      throw new DecodeError(`${path}.name`, 'each item once', name);
  }
}

/** Converts a decoder's Error into KubeError `malformed`, which names the server. */
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
