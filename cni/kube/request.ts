import http from 'node:http';
import https from 'node:https';
import { KubeError, reasonOf } from './errors.ts';
import type { Session } from './session.ts';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** What is asked of the server. A body is JSON. */
export interface Message {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly body?: string;
}

export interface RequestOptions {
  readonly session: Session;
  readonly userAgent: string;
  /** The attempt fails after this many milliseconds without a byte. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
  /** Longest body, in bytes. */
  readonly maxBytes: number;
}

/** In bytes. etcd takes requests of 1.5 MB, or a few times that where it is set so. */
export const LONGEST_OBJECT = 16_000_000;
/** In bytes. A page of 500 large pods has about 10 MB. */
export const LONGEST_PAGE = 100_000_000;

/**
 * Sends one request and reads the whole response. Follows no redirect.
 * @throws KubeError `tls` or `malformed` (the body is too long), which a retry cannot fix, or
 *   `unreachable`, which a retry may fix
 */
export function send(url: URL, { method, body }: Message, options: RequestOptions): Promise<Answer> {
  const { idleMs, maxBytes } = options;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(connectionError(url, error));
    const req = request(url, options, { timeout: idleMs, method });
    if (body !== undefined) {
      req.setHeader('content-type', 'application/json');
      req.setHeader('content-length', Buffer.byteLength(body));
    }
    req.on('timeout', () => req.destroy(new Error(`silent for ${idleMs} ms`)));
    req.on('error', fail);
    req.on('response', (res) => {
      const { statusCode = 0, headers } = res;
      readWhole(res, maxBytes, (body) => resolve({ status: statusCode, headers, body }), fail);
    });
    req.end(body);
  });
}

/** Builds a request, a GET by default. The caller adds its listeners and ends it. */
export function request(
  url: URL,
  { session, userAgent, signal }: Pick<RequestOptions, 'session' | 'userAgent' | 'signal'>,
  more: http.RequestOptions = {},
): http.ClientRequest {
  const { request } = url.protocol === 'https:' ? https : http;
  return request(url, {
    ...session.options,
    // Within a cluster's network, compression costs the server more than it saves.
    headers: {
      ...session.options.headers,
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': userAgent,
    },
    ...more,
    signal,
  });
}

/** Calls `succeed` only with a body that is complete by its HTTP framing, and not too long. */
export function readWhole(
  res: http.IncomingMessage,
  maxBytes: number,
  succeed: (body: string) => void,
  fail: (error: unknown) => void,
): void {
  const chunks: Buffer[] = [];
  let length = 0;
  const cut = (): void => fail(new Error(`cut after ${length} bytes`));
  res.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= maxBytes) return void chunks.push(chunk);
    fail(new BodyTooLong(maxBytes));
    res.destroy();
  });
  res.on('aborted', cut);
  res.on('error', fail);
  res.on('end', () => {
    if (res.complete) succeed(Buffer.concat(chunks, length).toString('utf8'));
    else cut();
  });
}

/** A retry would read as much again. */
class BodyTooLong extends Error {
  constructor(maxBytes: number) {
    super(`more than ${maxBytes} bytes`);
  }
}

const TLS_CODES = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'EPROTO',
]);

/**
 * Node.js reports TLS failures as OpenSSL's verify results, ERR_TLS_* or ERR_SSL_*, and bad key
 * files as ERR_OSSL_*.
 */
function isTls(code: string): boolean {
  return TLS_CODES.has(code) || /^ERR_(TLS|SSL|OSSL)_/.test(code);
}

/** Returns the KubeError `tls`, `malformed` or `unreachable` for a failed request. */
export function connectionError(url: URL, error: unknown): KubeError {
  if (error instanceof BodyTooLong)
    return new KubeError('malformed', `${url.origin} answers without an end: ${error.message}`);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = reasonOf(error) === '' ? code : reasonOf(error).trim();
  if (isTls(code)) {
    return new KubeError('tls', `the TLS connection to ${url.origin} failed: ${reason} (${code})`, {
      cause: error,
    });
  }
  return new KubeError('unreachable', `${url.origin} did not answer in full: ${reason}`, { cause: error });
}
