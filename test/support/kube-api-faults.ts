/* The ways in which a server, or what stands before it, can fail or lie. */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from './kube-api-objects.ts';

export interface RequestInfo {
  /** From 1, over the server's life. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** For a list: from 1; a further page is one with a `continue`. */
  readonly page: number;
}

/** A list as it goes over the wire, for lies to change. */
export interface ListBody {
  kind: string;
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  items: unknown[] | null;
}

export type Fault =
  /** A Status with this code. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly reason?: string;
      readonly retryAfter?: number | string;
    }
  /** Anything, as a proxy or a login page would answer. */
  | {
      readonly kind: 'raw';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body: string;
    }
  /** The right answer, cut after so many bytes by closing the connection. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** The same, with no framing that would tell: an HTTP/1.0 proxy. */
  | { readonly kind: 'cut-unnoticed'; readonly afterBytes: number }
  /** The connection is closed in place of an answer. */
  | { readonly kind: 'reset' }
  /** Nothing comes, or nothing after so many bytes. */
  | { readonly kind: 'hang'; readonly afterBytes?: number }
  /** The right answer, after a while. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** The right answer, changed. */
  | { readonly kind: 'lie'; readonly change: (body: ListBody, request: RequestInfo) => unknown };

export class Faults {
  readonly #queue: (Fault | undefined)[] = [];
  #choose: (request: RequestInfo) => Fault | undefined = () => undefined;

  /** One each for the requests to come; undefined lets one through. */
  push(...faults: (Fault | undefined)[]): void {
    this.#queue.push(...faults);
  }

  /** Asked for every request that finds the queue empty; it may also change the cluster meanwhile. */
  when(choose: (request: RequestInfo) => Fault | undefined): void {
    this.#choose = choose;
  }

  clear(): void {
    this.#queue.length = 0;
    this.#choose = () => undefined;
  }

  next(request: RequestInfo): Fault | undefined {
    return this.#queue.length > 0 ? this.#queue.shift() : this.#choose(request);
  }
}

const onlyPage = (page: number, change: (body: ListBody, request: RequestInfo) => void): Fault => ({
  kind: 'lie',
  change: (body, request) => {
    if (request.page === page) change(body, request);
    return body;
  },
});

/** Ways to lie about paging; each applies to the request that it is given to, where that is the page named. */
export const lies = {
  /** Answers with the token that was just used. */
  repeatToken: (page: number) =>
    onlyPage(page, ({ metadata }, { query }) => {
      metadata.continue = query.get('continue') ?? '';
    }),
  /** Leaves out the last `count` items of the page, and says that nothing follows. */
  dropTail: (page: number, count: number) =>
    onlyPage(page, (body) => {
      body.items?.splice(body.items.length - count, count);
      delete body.metadata.continue;
      delete body.metadata.remainingItemCount;
    }),
  /** Leaves out one item in the middle. */
  dropItem: (page: number, index: number) => onlyPage(page, (body) => void body.items?.splice(index, 1)),
  resourceVersion: (page: number, version: string) =>
    onlyPage(page, ({ metadata }) => {
      metadata.resourceVersion = version;
    }),
  remaining: (page: number, count: number) =>
    onlyPage(page, ({ metadata }) => {
      metadata.remainingItemCount = count;
    }),
  duplicateItem: (page: number, index: number) =>
    onlyPage(page, ({ items }) => void items?.push(items[index])),
  kind: (page: number, kind: string) =>
    onlyPage(page, (body) => {
      body.kind = kind;
    }),
  items: (page: number, items: unknown) =>
    onlyPage(page, (body) => {
      body.items = items as unknown[];
    }),
  item: (page: number, index: number, change: (item: Record<string, Record<string, unknown>>) => void) =>
    onlyPage(page, ({ items }) => change(items?.[index] as Record<string, Record<string, unknown>>)),
} as const;

/** Sends a JSON body, or what the fault makes of it. */
export async function send(
  res: ServerResponse,
  code: number,
  body: unknown,
  fault: Fault | undefined,
  request: RequestInfo,
): Promise<void> {
  switch (fault?.kind) {
    case 'reset':
      res.socket?.destroy();
      return;
    case 'status':
      if (fault.retryAfter !== undefined) res.setHeader('retry-after', fault.retryAfter);
      sendText(
        res,
        fault.status,
        status(fault.status, fault.reason ?? 'InternalError', `made to fail with ${fault.status}`),
      );
      return;
    case 'raw':
      res.writeHead(fault.status, { 'content-type': 'text/html', ...fault.headers });
      res.end(fault.body);
      return;
    case 'hang':
      if (fault.afterBytes !== undefined) writePart(res, code, body, fault.afterBytes);
      return;
    case 'cut':
      writePart(res, code, body, fault.afterBytes);
      // Later, so that the bytes go out first.
      setTimeout(() => res.socket?.destroy(), 20);
      return;
    case 'cut-unnoticed':
      res.useChunkedEncodingByDefault = false;
      res.setHeader('connection', 'close');
      res.writeHead(code, { 'content-type': 'application/json' });
      res.end(JSON.stringify(body).slice(0, fault.afterBytes));
      return;
    case 'slow':
      await sleep(fault.delayMs);
      break;
    case 'lie':
      sendText(res, code, fault.change(structuredClone(body) as ListBody, request));
      return;
    case undefined:
  }
  sendText(res, code, body);
}

function sendText(res: ServerResponse, code: number, body: unknown): void {
  const text = Buffer.from(JSON.stringify(body));
  res.writeHead(code, { 'content-type': 'application/json', 'content-length': text.length });
  res.end(text);
}

function writePart(res: ServerResponse, code: number, body: unknown, bytes: number): void {
  const text = Buffer.from(JSON.stringify(body));
  res.writeHead(code, { 'content-type': 'application/json', 'content-length': text.length });
  res.write(text.subarray(0, bytes));
}
