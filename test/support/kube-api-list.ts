/* Answers paged lists as k8s.io/apiserver does over etcd. */
import type { RequestInfo } from './kube-api-faults.ts';
import { status, type KubeObject } from './kube-api-objects.ts';
import { parseSelectors, type Selector } from './kube-api-selectors.ts';
import { lowerBound, type Clock, type Collection } from './kube-api-store.ts';

export interface Listed {
  readonly collection: Collection;
  readonly clock: Clock;
  /** The kind of one item. */
  readonly kind: string;
  readonly apiVersion: KubeObject['apiVersion'];
  readonly namespace?: string;
}

/** A token's revision that stands for the newest revision at the time of the request. */
const NOW = -1;

interface Token {
  readonly revision: number;
  /** The first key of the next page. */
  readonly start: string;
  readonly page: number;
}

const encodeToken = (token: Token): string => Buffer.from(JSON.stringify(token)).toString('base64url');

/** Returns the status code and the body. */
export function answerList(request: RequestInfo, listed: Listed): [number, unknown] {
  const { query } = request;
  const limit = Number(query.get('limit') ?? 0);
  if (!Number.isInteger(limit) || limit < 0)
    return [400, badRequest(`limit: Invalid value: "${query.get('limit') ?? ''}"`)];
  const given = query.get('continue') ?? '';
  const version = query.get('resourceVersion') ?? '';
  if (given !== '' && version !== '') {
    return [400, badRequest('specifying resource version is not allowed when using continue')];
  }
  const token = given === '' ? { revision: NOW, start: '', page: 1 } : decodeToken(given);
  if (token === undefined) return [400, badRequest('continue key is not valid')];
  if (token.revision !== NOW && token.revision < listed.clock.compacted) return [410, expired(token)];
  const selector = parseSelectors(query);
  if (selector === 'unsupported') return [400, badRequest('field or label selector not supported')];
  // The real server answers resourceVersion=0 from the watch cache, which ignores the limit.
  return [200, page(token, version === '0' ? 0 : limit, selector, listed)];
}

function page(
  { revision: at, start, page: number }: Token,
  limit: number,
  selector: Selector | undefined,
  listed: Listed,
): unknown {
  const { collection, kind, apiVersion, namespace } = listed;
  const revision = at === NOW ? listed.clock.revision : at;
  const all = collection.keysAt(revision);
  const keys = namespace === undefined ? all : all.filter((key) => key.startsWith(`${namespace}/`));
  const items: unknown[] = [];
  let i = lowerBound(keys, start);
  for (; i < keys.length && (limit === 0 || items.length < limit); i++) {
    const object = collection.get(keys[i] as string, revision);
    if (object !== undefined && (selector?.(object) ?? true)) items.push(asItem(object));
  }
  const next = keys[i];
  const metadata = {
    resourceVersion: String(revision),
    ...(next === undefined ? {} : { continue: encodeToken({ revision, start: next, page: number + 1 }) }),
    // The real server does not know this number when a selector filters items, and omits it.
    ...(next === undefined || selector !== undefined ? {} : { remainingItemCount: keys.length - i }),
  };
  return { kind: `${kind}List`, apiVersion, metadata, items };
}

/** Returns the object without kind and apiVersion, which items of a typed list do not carry. */
function asItem({ kind, apiVersion, ...item }: KubeObject): unknown {
  return item;
}

function decodeToken(text: string): Token | undefined {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString()) as Token;
  } catch {
    return undefined;
  }
}

const badRequest = (message: string): unknown => status(400, 'BadRequest', message);

/**
 * Returns a 410 with the same token that the real server offers: the list continues at a newer
 * revision, so it mixes two moments.
 */
function expired({ start, page: number }: Token): unknown {
  const message =
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.';
  const inconsistent = encodeToken({ revision: NOW, start, page: number });
  return status(410, 'Expired', message, { metadata: { continue: inconsistent } });
}
