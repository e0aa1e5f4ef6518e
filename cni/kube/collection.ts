import type { Effects } from '../../ipam/model/effects.ts';
import type { Client } from './client.ts';
import { interner, type Intern } from './decode.ts';
import { decodeEndpointSlice, type EndpointSlice } from './endpoint-slice.ts';
import { JsonLines } from './json-lines.ts';
import type { Limit } from './limit.ts';
import { decoding, listAll, selectorQuery } from './list.ts';
import { decodeService, PROXY_NAME_LABEL, type KubeService } from './service.ts';
import type { Source } from './source.ts';
import { statusError, type Purpose } from './status.ts';
import { decodeEntry, decodeEvent, type Entry } from './watch-event.ts';

/** The objects of one resource that cellnet keeps a copy of. */
export interface Collection<T> {
  readonly path: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly resource: Purpose['resource'];
  /** Those of kube-proxy, for what it reads too. */
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** @throws DecodeError */
  readonly decode: (value: unknown, intern: Intern) => T;
}

export const services: Collection<KubeService> = {
  path: '/api/v1/services',
  apiVersion: 'v1',
  kind: 'Service',
  resource: 'services',
  labelSelector: `!${PROXY_NAME_LABEL}`,
  decode: decodeService,
};

export const endpointSlices: Collection<EndpointSlice> = {
  path: '/apis/discovery.k8s.io/v1/endpointslices',
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  resource: 'endpointslices',
  labelSelector: `!service.kubernetes.io/headless,!${PROXY_NAME_LABEL}`,
  decode: decodeEndpointSlice,
};

export interface Reading {
  /** Runs a list with its deadline. */
  readonly within: <T>(what: string, work: (limit: Limit) => Promise<T>, signal: AbortSignal) => Promise<T>;
  readonly silenceMs: number;
  readonly schedule: Effects['schedule'];
}

/** Namespaces, nodes, zones and ports have few distinct names, but they come and go for years. */
const MAX_INTERNED = 20_000;

/** Reads a collection from the API server. */
export function sourceOf<T>(client: Client, collection: Collection<T>, reading: Reading): Source<T> {
  const { path, apiVersion, kind, resource, labelSelector, fieldSelector } = collection;
  const intern = interner(MAX_INTERNED);
  const decode = (value: unknown): Entry<T> =>
    decodeEntry(value, kind, (object) => collection.decode(object, intern));
  const listing = {
    path,
    apiVersion,
    kind,
    resource,
    ...(labelSelector !== undefined && { labelSelector }),
    ...(fieldSelector !== undefined && { fieldSelector }),
    decode,
    identify: ({ uid, key }: Entry<T>) => ({ uid: uid ?? key, namespace: '', name: key }),
  };
  const watchQuery = `watch=true&allowWatchBookmarks=true${selectorQuery(collection)}`;
  const purpose: Purpose = { verb: 'watch', resource };
  return {
    name: resource,
    list: async (signal) => {
      const work = (limit: Limit) => listAll(client, listing, limit);
      const { items, resourceVersion } = await reading.within(`list ${resource}`, work, signal);
      return { version: resourceVersion, entries: items };
    },
    watch: ({ version, lifeMs, signal, onOpen, onHeard, onEvent }) => {
      const lines = new JsonLines();
      const { silenceMs, schedule } = reading;
      const understand = <R>(work: () => R): R => decoding(client.server, `watch ${resource}`, work);
      const onBytes = (chunk: Buffer): void => {
        onHeard();
        const parts = lines.add(chunk);
        for (;;) {
          const next = understand(() => parts.next());
          if (next.done === true) return;
          const event = understand(() => decodeEvent(next.value, decode));
          if (event.kind === 'error') throw statusError(client.server, purpose, event.code, event.status);
          onEvent(event);
        }
      };
      return client.watch(`${path}?${watchQuery}&resourceVersion=${encodeURIComponent(version)}`, purpose, {
        lifeMs,
        silenceMs,
        schedule,
        signal,
        onOpen,
        onBytes,
      });
    },
  };
}
