import type { IncomingMessage, ServerResponse } from 'node:http';

/** What the server answers at one path. */
export interface Route {
  readonly path: string;
  /** Default: GET. */
  readonly method?: 'POST';
  /** The server answers requests without a token too: the route tells nothing confidential. */
  readonly isOpen?: boolean;
  readonly answer: (asked: Asked, response: ServerResponse) => void | Promise<void>;
}

/** A request that may be answered. */
export interface Asked {
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** The client's IP address. */
  readonly from: string;
  /** Whether it may see everything: it has the token, or none is asked for. */
  readonly isAuthorized: boolean;
  /** Returns the body of the request. @throws Error for one that is longer */
  readonly body: (mostBytes: number) => Promise<string>;
}

export interface RouterOptions {
  readonly routes: readonly Route[];
  /** Whether the headers have the token, or the cookie of somebody who signed in with it. */
  readonly isAuthorized: (headers: IncomingMessage['headers']) => boolean;
  /** Whether the header `Host` may be what it is. */
  readonly isHost: (header: string | undefined) => boolean;
}

/**
 * Headers of every answer. The page takes nothing from elsewhere and runs nothing that stands in
 * its own text; no other page may hold it in a frame, or take in what the server answers.
 */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    ...["script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"],
    ...["form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"],
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

/** Finds the route of a request, and refuses what no route answers. */
export async function route(
  { routes, isAuthorized, isHost }: RouterOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  for (const [name, value] of Object.entries(SAFE_HEADERS)) response.setHeader(name, value);
  const { headers } = request;
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const found = routes.find((each) => each.path === path);
  const method = found?.method ?? 'GET';
  const authorized = isAuthorized(headers);
  if (request.method !== method) refuse(response, 405, `expected ${method}`, { allow: method });
  else if (!isHost(headers.host))
    refuse(response, 421, `the header Host is '${headers.host ?? ''}': expected an IP address or localhost`);
  else if (!authorized && !found?.isOpen)
    refuse(response, 401, 'expected the header Authorization: Bearer TOKEN', {
      'www-authenticate': 'Bearer',
    });
  else if (!found) refuse(response, 404, `expected ${routes.map((each) => each.path).join(' or ')}`);
  else {
    const body = (mostBytes: number): Promise<string> => readBody(request, mostBytes);
    const from = request.socket.remoteAddress ?? '';
    const asked = { query: new URLSearchParams(query), headers, from, isAuthorized: authorized, body };
    await found.answer(asked, response);
  }
}

async function readBody(request: IncomingMessage, mostBytes: number): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > mostBytes) throw new Error(`the body is longer than ${mostBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

export function refuse(
  response: ServerResponse,
  status: number,
  reason: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    ...headers,
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.end(`${reason}\n`);
}

/** Refuses a client whose address sent too many wrong tokens. */
export const refuseForNow = (response: ServerResponse, seconds: number): void =>
  refuse(response, 429, `too many wrong tokens from this address: expected none for ${seconds} s`, {
    'retry-after': String(seconds),
  });

export function answerJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}
