/* The ways in which an API server, or a proxy in front of it, can fail or give false answers. */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { status } from './kube-api-objects.ts';

export interface RequestInfo {
  /** Counts from 1 over the server's life. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Page number of a list, from 1. A further page is one requested with `continue`. */
  readonly page: number;
}

/** A list as sent to the client. A fault of kind 'lie' changes it. */
export interface ListBody {
  kind: string;
  metadata: { resourceVersion?: string; continue?: string; remainingItemCount?: number };
  items: unknown[] | null;
}

export type Fault =
  /** Answers with a Status of this code. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly reason?: string;
      readonly retryAfter?: number | string;
    }
  /** Answers with any text, as a proxy or a login page would. */
  | {
      readonly kind: 'raw';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body: string;
    }
  /** Sends the right answer but closes the connection after `afterBytes` bytes. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Does as 'cut', without framing that would reveal it, as an HTTP/1.0 proxy does. */
  | { readonly kind: 'cut-unnoticed'; readonly afterBytes: number }
  /** Closes the connection instead of answering. */
  | { readonly kind: 'reset' }
  /**
   * Sends nothing, or nothing more after `afterBytes` bytes. Of a watch, any `afterBytes` means the
   * head of the response.
   */
  | { readonly kind: 'hang'; readonly afterBytes?: number }
  /** Sends the right answer after `delayMs`. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Sends the right answer, changed. */
  | { readonly kind: 'lie'; readonly change: (body: ListBody, request: RequestInfo) => unknown };

export class Faults {
  readonly #queue: (Fault | undefined)[] = [];
  #choose: (request: RequestInfo) => Fault | undefined = () => undefined;

  /** Queues one fault for each of the next requests. Undefined lets a request through. */
  push(...faults: (Fault | undefined)[]): void {
    this.#queue.push(...faults);
  }

  /**
   * Sets a function that chooses the fault of each request that finds the queue empty. The function
   * may also change the cluster.
   */
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

/**
 * Ways to falsify paging. Each one changes the request that it is assigned to, if that request is
 * for the given page.
 */
export const lies = {
  /** Answers with the token of the request. */
  repeatToken: (page: number) =>
    onlyPage(page, ({ metadata }, { query }) => {
      metadata.continue = query.get('continue') ?? '';
    }),
  /** Omits the last `count` items of the page and claims that no page follows. */
  dropTail: (page: number, count: number) =>
    onlyPage(page, (body) => {
      body.items?.splice(body.items.length - count, count);
      delete body.metadata.continue;
      delete body.metadata.remainingItemCount;
    }),
  /** Omits one item in the middle. */
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

/** Sends a JSON body, or the answer that the fault prescribes. */
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
      // The delay lets the kernel send the bytes first.
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
