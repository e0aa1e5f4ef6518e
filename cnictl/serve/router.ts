import type { IncomingMessage, ServerResponse } from 'node:http';

/** What the server answers at one path. */
export interface Route {
  readonly path: string;
  /** The server answers requests without a token too: the route tells nothing confidential. */
  readonly isOpen?: boolean;
  readonly answer: (asked: Asked, response: ServerResponse) => void | Promise<void>;
}

/** A request that may be answered. */
export interface Asked {
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** Whether it may see everything: it has the token, or none is asked for. */
  readonly isAuthorized: boolean;
}

export interface RouterOptions {
  readonly routes: readonly Route[];
  /** Whether the header `Authorization` is as expected. */
  readonly isAuthorized: (header: string | undefined) => boolean;
  /** Whether the header `Host` may be what it is. */
  readonly isHost: (header: string | undefined) => boolean;
}

/** Finds the route of a request, and refuses what no route answers. */
export async function route(
  { routes, isAuthorized, isHost }: RouterOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method, headers } = request;
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const found = routes.find((each) => each.path === path);
  const authorized = isAuthorized(headers.authorization);
  if (method !== 'GET') refuse(response, 405, 'expected GET', { allow: 'GET' });
  else if (!isHost(headers.host))
    refuse(response, 421, `the header Host is '${headers.host ?? ''}': expected an IP address or localhost`);
  else if (!authorized && !found?.isOpen)
    refuse(response, 401, 'expected the header Authorization: Bearer TOKEN', {
      'www-authenticate': 'Bearer',
    });
  else if (!found) refuse(response, 404, `expected ${routes.map((each) => each.path).join(' or ')}`);
  else await found.answer({ query: new URLSearchParams(query), headers, isAuthorized: authorized }, response);
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

export function answerJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}
