import { asObject, asText, DecodeError, type Json } from './decode.ts';
import { statusOf, type Status } from './status.ts';

/** One object of a collection: decoded, or the reason why it could not be. */
export type Entry<T> = {
  /** `namespace/name` */
  readonly key: string;
  readonly uid: string | undefined;
} & ({ readonly item: T } | { readonly bad: string });

/** One line of a watch (meta/v1 WatchEvent). */
export type WatchEvent<T> =
  /** ADDED or MODIFIED. A watch that begins again may call an object new that is known. */
  | { readonly kind: 'put'; readonly version: string; readonly entry: Entry<T> }
  /** The object was deleted, or the selector no longer selects it. */
  | { readonly kind: 'remove'; readonly version: string; readonly key: string }
  /** Everything up to this version has been sent. */
  | { readonly kind: 'bookmark'; readonly version: string }
  /** The server ends the watch. */
  | { readonly kind: 'error'; readonly code: number; readonly status: Status | undefined };

/**
 * Decodes an object whose decoder may refuse it. Only an object without a name has no key; its UID
 * stands for it.
 */
export function decodeEntry<T>(value: unknown, kind: string, decode: (value: unknown) => T): Entry<T> {
  const metadata = metadataOf(value);
  const { uid: given, namespace, name } = metadata;
  const uid = typeof given === 'string' && given !== '' ? given : undefined;
  const key =
    typeof namespace === 'string' && typeof name === 'string'
      ? `${namespace}/${name}`
      : `(an object without a name, UID ${uid ?? 'absent'})`;
  try {
    const found = asObject(value, 'object')['kind'];
    // The items of a list carry no kind.
    if (found !== undefined && found !== kind) throw new DecodeError('kind', `"${kind}"`, found);
    return { key, uid, item: decode(value) };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { key, uid, bad: error.message };
  }
}

function metadataOf(value: unknown): Json {
  const { metadata } = (value ?? {}) as { readonly metadata?: unknown };
  return typeof metadata === 'object' && metadata !== null ? (metadata as Json) : {};
}

/** @throws SyntaxError, or DecodeError when the event does not say which version it is of */
export function decodeEvent<T>(line: string, decode: (object: unknown) => Entry<T>): WatchEvent<T> {
  const event = asObject(JSON.parse(line), 'the event');
  const type = asText(event['type'], 'type');
  const { object } = event;
  if (type === 'ERROR') return decodeError(object);
  const version = asText(
    asObject(asObject(object, 'object')['metadata'], 'object.metadata')['resourceVersion'],
    'object.metadata.resourceVersion',
  );
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
      return { kind: 'put', version, entry: decode(object) };
    case 'DELETED':
      return { kind: 'remove', version, key: decode(object).key };
    case 'BOOKMARK':
      return { kind: 'bookmark', version };
    default:
      throw new DecodeError('type', 'ADDED, MODIFIED, DELETED, BOOKMARK or ERROR', type);
  }
}

const GONE = 410;
const INTERNAL_ERROR = 500;

/** The Status's reason counts before its code, as in k8s.io/apimachinery. */
function decodeError(object: unknown): WatchEvent<never> {
  const status = statusOf(object);
  if (status?.reason === 'Expired' || status?.reason === 'Gone') return { kind: 'error', code: GONE, status };
  const { code } = (object ?? {}) as { readonly code?: unknown };
  return { kind: 'error', code: typeof code === 'number' ? code : INTERNAL_ERROR, status };
}
