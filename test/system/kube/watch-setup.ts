import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CollectionSink, Reflection, WatchObserver } from '../../../cni/kube/watches.ts';
import type { ConnectOptions, KubeClient } from '../../../cni/kube/connect.ts';
import type { KubeService } from '../../../cni/kube/service.ts';
import { service, type KubeApiOptions, type RequestInfo } from '../../support/kube-api.ts';
import { start, type Started } from './setup.ts';

/** Keeps the collection, and writes down each call. */
export class Recorder<T> implements CollectionSink<T>, WatchObserver {
  readonly log: string[] = [];
  items = new Map<string, T>();

  replaceAll(items: ReadonlyMap<string, T>): void {
    this.items = new Map(items);
    this.log.push(`= ${items.size}`);
  }

  put(key: string, item: T): void {
    this.items.set(key, item);
    this.log.push(`+ ${key}`);
  }

  remove(key: string): void {
    this.items.delete(key);
    this.log.push(`- ${key}`);
  }

  onTrouble(problem: string): void {
    this.log.push(`trouble: ${problem}`);
  }

  onWell(): void {
    this.log.push('well');
  }

  onBad(key: string, reason: string): void {
    this.log.push(`bad ${key}: ${reason}`);
  }

  /** Returns the names of the items, in order. */
  get keys(): readonly string[] {
    return [...this.items.keys()].sort();
  }
}

/** Timers run this many times faster than the code asks for. */
const SPEED = 100;

export interface Watched extends Started {
  readonly kube: KubeClient;
  readonly recorder: Recorder<KubeService>;
  /** Begins to watch the Services. */
  readonly watch: () => Reflection;
  /** The durations of all timers so far, in milliseconds. */
  readonly timers: readonly number[];
  readonly lists: () => readonly RequestInfo[];
  readonly watches: () => readonly RequestInfo[];
}

/** Starts a server, and a client whose timers are fast. */
export async function startWatched(
  t: TestContext,
  options: KubeApiOptions = {},
  more: Partial<ConnectOptions> = {},
  user?: Record<string, unknown>,
): Promise<Watched> {
  const started = await start(t, options);
  const timers: number[] = [];
  const kube = started.connect(
    {
      schedule: (ms, work) => {
        timers.push(ms);
        const timer = setTimeout(work, ms / SPEED);
        return {
          cancel: () => {
            clearTimeout(timer);
          },
        };
      },
      ...more,
    },
    user,
  );
  const recorder = new Recorder<KubeService>();
  const requests = (watching: boolean): readonly RequestInfo[] =>
    started.api.requests.filter(({ query }) => query.has('watch') === watching);
  return {
    ...started,
    kube,
    recorder,
    timers,
    watch: () => kube.watchServices(recorder, recorder),
    lists: () => requests(false),
    watches: () => requests(true),
  };
}

/** Waits until the condition holds. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await sleep(5);
  }
}

/** Adds Services with addresses, from svc-0000 on. */
export function fillServices({ api }: Started, count: number): void {
  for (let i = 0; i < count; i++) {
    const name = `svc-${String(i).padStart(4, '0')}`;
    const clusterIPs = [`10.96.${i >> 8}.${i & 255}`];
    api.putService(service({ namespace: 'shop', name, uid: `uid-${i}`, clusterIPs }));
  }
}

export const numbered = (i: number): string => `shop/svc-${String(i).padStart(4, '0')}`;
