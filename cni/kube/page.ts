import { asArray, asObject, asOptionalText, asText, DecodeError, type Json } from './decode.ts';

/** One page of a Kubernetes list: meta/v1 ListMeta and the raw items. */
export interface Page {
  readonly resourceVersion: string;
  /** Absent on the last page. */
  readonly continue?: string;
  /** The server's count of items after this page. Absent on the last page and from old servers. */
  readonly remaining?: number;
  readonly items: readonly unknown[];
}

/**
 * @param kind the kind of one item, such as `Pod`; the list itself has the kind `PodList`
 * @param apiVersion the API group, unless it is the core group, and the version
 * @throws DecodeError
 */
export function decodePage(value: unknown, kind: string, apiVersion = 'v1'): Page {
  const list = asObject(value, 'the answer');
  if (list['kind'] !== `${kind}List`) throw new DecodeError('kind', `"${kind}List"`, list['kind']);
  if (list['apiVersion'] !== apiVersion)
    throw new DecodeError('apiVersion', `"${apiVersion}"`, list['apiVersion']);
  const metadata = asObject(list['metadata'], 'metadata');
  const next = asOptionalText(metadata['continue'], 'metadata.continue');
  const remaining = decodeRemaining(metadata);
  return {
    resourceVersion: decodeResourceVersion(metadata),
    ...(next === undefined ? {} : { continue: next }),
    ...(remaining === undefined ? {} : { remaining }),
    items: asArray(list['items'], 'items'),
  };
}

function decodeResourceVersion(metadata: Json): string {
  const version = asText(metadata['resourceVersion'], 'metadata.resourceVersion');
  if (version === '0')
    throw new DecodeError('metadata.resourceVersion', 'the version of a snapshot', version);
  return version;
}

function decodeRemaining(metadata: Json): number | undefined {
  const remaining = metadata['remainingItemCount'];
  if (remaining === undefined || remaining === null) return undefined;
  if (!Number.isSafeInteger(remaining) || Number(remaining) < 0) {
    throw new DecodeError('metadata.remainingItemCount', 'a whole number', remaining);
  }
  return Number(remaining);
}

/**
 * Checks the pages of one snapshot and throws at the first inconsistency. Every page must have the
 * same resourceVersion. No `continue` token may occur twice. The list must not hold fewer items
 * than a page announced; more are allowed, because the API calls the count an estimate.
 */
export class Snapshot {
  readonly #tokens = new Set<string>();
  #resourceVersion: string | undefined;
  #count = 0;
  #announced = 0;

  get resourceVersion(): string {
    return this.#resourceVersion ?? '';
  }

  get count(): number {
    return this.#count;
  }

  /** The largest size of the whole list that a page has announced so far. */
  get announced(): number {
    return this.#announced;
  }

  /**
   * @returns the token of the next page, or undefined when the list is complete
   * @throws DecodeError
   */
  add(page: Page): string | undefined {
    this.#resourceVersion ??= page.resourceVersion;
    if (page.resourceVersion !== this.#resourceVersion) {
      throw new DecodeError(
        'metadata.resourceVersion',
        `"${this.#resourceVersion}" as on the first page`,
        page.resourceVersion,
      );
    }
    this.#count += page.items.length;
    this.#announced = Math.max(this.#announced, this.#count + (page.remaining ?? 0));
    if (page.continue !== undefined) return this.#proceed(page, page.continue);
    this.#end(page);
    return undefined;
  }

  #proceed(page: Page, token: string): string {
    if (page.items.length === 0)
      throw new DecodeError('items', 'at least one before a further page', page.items);
    if (this.#tokens.has(token))
      throw new DecodeError('metadata.continue', 'a token that was not seen before', token);
    this.#tokens.add(token);
    return token;
  }

  #end(page: Page): void {
    if (page.remaining !== undefined && page.remaining > 0) {
      throw new DecodeError('metadata.continue', `a token, as ${page.remaining} items remain`, undefined);
    }
    if (this.#count < this.#announced) {
      throw new DecodeError('items', `${this.#announced} in all, as an earlier page announced`, this.#count);
    }
  }
}
