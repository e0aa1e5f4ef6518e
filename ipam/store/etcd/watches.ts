import type { Etcd3, IKeyValue, IRangeResponse, IWatchResponse } from 'etcd3';
import type { Entry } from '../../records/transaction.ts';
import { CompactedError, type Watches, type WatchNews } from '../watches.ts';
import { Revisions } from './revisions.ts';
import { WatchStream } from './watch-stream.ts';

/** The parts of the store that its watches use. */
export interface WatchedEtcd {
  /** Sends a request, and translates its errors. */
  readonly call: <T>(request: (client: Etcd3) => Promise<T>) => Promise<T>;
  readonly translate: (error: unknown) => Error;
  readonly keyOf: (key: string) => Buffer;
  readonly nameOf: (key: Buffer) => string;
  readonly entryOf: (kv: IKeyValue) => Entry;
  readonly endOf: (prefix: Buffer) => Buffer;
}

const PAGE_SIZE = 1_000;

export function watchesOn(etcd: WatchedEtcd): Watches {
  /** Each watch begins at the endpoint after the one before, which may be dead. */
  let endpoint = Math.floor(Math.random() * 1_000);
  return {
    newest: async () => {
      const key = etcd.keyOf('ranges/');
      const { header } = await etcd.call(({ kv }) => kv.range({ key, count_only: true }));
      return Number(header.revision);
    },
    getAt: async (key, revision) => {
      const request = { key: etcd.keyOf(key), revision: String(revision) };
      const { kvs } = await etcd.call(({ kv }) => kv.range(request));
      return kvs[0] && etcd.entryOf(kvs[0]);
    },
    scanAt: async function* (prefix, revision, { keysOnly = false, changedAfter } = {}) {
      const first = etcd.keyOf(prefix);
      const request = {
        range_end: etcd.endOf(first),
        keys_only: keysOnly,
        revision: String(revision),
        limit: PAGE_SIZE,
        ...(changedAfter !== undefined && { min_mod_revision: String(changedAfter + 1) }),
      };
      const ask = (key: Buffer): Promise<IRangeResponse> =>
        etcd.call(({ kv }) => kv.range({ ...request, key }));
      let next: Promise<IRangeResponse> | undefined = ask(first);
      while (next) {
        const page: IRangeResponse = await next;
        const last = page.kvs.at(-1);
        // etcd reads the next page while the caller works on this one.
        next = page.more && last ? ask(Buffer.concat([last.key, Buffer.of(0)])) : undefined;
        // A caller that stops here does not ask for its failure.
        next?.catch(() => undefined);
        if (page.kvs.length > 0) yield page.kvs.map(etcd.entryOf);
      }
    },
    watch: (from, signal) => watch(etcd, () => endpoint++, from, signal),
  };
}

async function* watch(
  etcd: WatchedEtcd,
  nextEndpoint: () => number,
  from: number,
  signal: AbortSignal,
): AsyncIterable<WatchNews> {
  const key = etcd.keyOf('');
  const keys = { key, range_end: etcd.endOf(key), start_revision: String(from) };
  const { stream, accepted } = await etcd.call((client) => WatchStream.open(client, nextEndpoint(), keys));
  const stop = (): void => stream.close();
  signal.addEventListener('abort', stop);
  const revisions = new Revisions(etcd.nameOf);
  try {
    for (let message = accepted; !signal.aborted; message = await stream.next()) {
      if (message.compact_revision !== '0') throw new CompactedError(Number(message.compact_revision));
      yield newsOf(message, accepted, revisions.take(message));
    }
  } catch (error) {
    if (!signal.aborted) throw etcd.translate(error);
  } finally {
    signal.removeEventListener('abort', stop);
    stream.close();
  }
}

/**
 * The member tells its progress in the order of the changes where it does so unasked: then the
 * message is of this watch. Before etcd 3.4.25 and 3.5.8, its answer to the question for a sign of
 * life may overtake changes.
 */
function newsOf(
  message: IWatchResponse,
  accepted: IWatchResponse,
  revisions: WatchNews['revisions'],
): WatchNews {
  const newest = Number(message.header.revision);
  const { events, fragment } = message;
  const isProgress = events.length === 0 && !fragment && message.watch_id === accepted.watch_id;
  return { revisions, newest, ...(isProgress && message !== accepted && { upTo: newest }) };
}
