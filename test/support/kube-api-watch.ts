/* Answers watches as k8s.io/apiserver does over etcd. */
import type { ServerResponse } from 'node:http';
import type { RequestInfo } from './kube-api-faults.ts';
import type { Listed } from './kube-api-list.ts';
import { status } from './kube-api-objects.ts';
import { parseSelectors, type Selector } from './kube-api-selectors.ts';
import type { WatchEvent } from './kube-api-store.ts';

/** A watch that a client has open. Tests may interfere with it. */
export interface OpenWatch {
  readonly request: RequestInfo;
  /** Ends it as the server does after `timeoutSeconds`. */
  readonly end: () => void;
  /** Breaks its connection. */
  readonly cut: () => void;
  /** Sends nothing more, and keeps the connection. */
  readonly stall: () => void;
  /** Sends an ERROR event, and ends the watch. */
  readonly fail: (code: number, reason: string) => void;
  /** Sends these bytes in between. */
  readonly write: (bytes: string | Uint8Array) => void;
}

export interface Watching extends Listed {
  readonly bookmarkMs: number;
  /** Sends the head of the response, and nothing more. */
  readonly stalled: boolean;
  readonly open: Set<OpenWatch>;
}

/**
 * Writes one JSON object per line until the client closes the connection or `timeoutSeconds` pass.
 */
export function answerWatch(res: ServerResponse, request: RequestInfo, watching: Watching): Promise<void> {
  const { query } = request;
  const { clock, open } = watching;
  res.writeHead(200, { 'content-type': 'application/json' });
  res.flushHeaders();
  let isStalled = watching.stalled;
  const line = (type: string, object: unknown): void => {
    if (!isStalled && !res.writableEnded) res.write(`${JSON.stringify({ type, object })}\n`);
  };
  const since = Number(query.get('resourceVersion') ?? 0);
  if (since !== 0 && since < clock.compacted) {
    line('ERROR', status(410, 'Expired', `too old resource version: ${since} (${clock.compacted})`));
    res.end();
    return Promise.resolve();
  }
  const stop = follow(since, line, query, watching);
  const timers = startTimers(res, line, query, watching);
  const watch: OpenWatch = {
    request,
    end: () => void res.end(),
    cut: () => void res.socket?.destroy(),
    stall: () => void (isStalled = true),
    fail: (code, reason) => {
      line('ERROR', status(code, reason, `made to fail with ${code}`));
      res.end();
    },
    write: (bytes) => void res.write(bytes),
  };
  open.add(watch);
  return new Promise((resolve) => {
    res.on('close', () => {
      open.delete(watch);
      stop();
      timers.forEach(clearTimeout);
      resolve();
    });
  });
}

type Line = (type: string, object: unknown) => void;

/** Sends the events from a version on. Returns a function that ends it. */
function follow(
  since: number,
  line: Line,
  query: URLSearchParams,
  { collection, clock, namespace }: Watching,
): () => void {
  const selector = parseSelectors(query);
  const selects: Selector = (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) &&
    (typeof selector !== 'function' || selector(object));
  const show = (event: WatchEvent): void => {
    const seen = asSelected(event, selects);
    if (seen !== undefined) line(seen.type, seen.object);
  };
  if (since === 0) {
    for (const key of collection.keysAt(clock.revision)) {
      const object = collection.get(key);
      if (object !== undefined && selects(object)) line('ADDED', object);
    }
  } else collection.eventsAfter(since).forEach(show);
  return collection.watch(show);
}

/**
 * Returns the event as a watch with a selector has it: an object is new once the selector selects
 * it, and deleted, in its former state, once the selector no longer does.
 */
function asSelected(
  { type, object, before }: WatchEvent,
  selects: Selector,
): Pick<WatchEvent, 'type' | 'object'> | undefined {
  const was = before !== undefined && selects(before);
  const is = type !== 'DELETED' && selects(object);
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', object };
  if (!was) return undefined;
  const { resourceVersion } = object.metadata;
  return {
    type: 'DELETED',
    object: { ...before, metadata: { ...before.metadata, ...(resourceVersion && { resourceVersion }) } },
  };
}

function startTimers(
  res: ServerResponse,
  line: Line,
  query: URLSearchParams,
  { kind, apiVersion, clock, bookmarkMs }: Watching,
): readonly NodeJS.Timeout[] {
  const bookmark = (): void =>
    line('BOOKMARK', {
      kind,
      apiVersion,
      metadata: { resourceVersion: String(clock.revision), creationTimestamp: null },
    });
  return [
    ...(query.get('allowWatchBookmarks') === 'true' ? [setInterval(bookmark, bookmarkMs)] : []),
    ...(query.has('timeoutSeconds')
      ? [setTimeout(() => res.end(), Number(query.get('timeoutSeconds')) * 1000)]
      : []),
  ];
}
