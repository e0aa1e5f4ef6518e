import type { Client } from './client.ts';
import { sourceOf, type Collection } from './collection.ts';
import { asObject, type Json } from './decode.ts';
import { within } from './limit.ts';
import { describePod, isOf, type AskedPod, type DescribedPod } from './described-pod.ts';
import { reflect, type ReflectorEffects } from './reflector.ts';
import type { Reflection } from './watches.ts';

/**
 * Longest time without a byte from the server after which the copy counts no more, in milliseconds.
 * The server sends a bookmark each minute.
 */
const FRESH_MS = 75_000;
const LIST_MS = 30_000;
/** As for other watches: three bookmarks. */
const SILENCE_MS = 180_000;

/** Follows the pods of this node, so that nobody has to ask for each that comes. */
export class NodePods {
  readonly #client: Client;
  readonly #effects: ReflectorEffects;
  #pods = new Map<string, DescribedPod>();
  #reflection: Reflection | undefined;
  #isWell = false;

  constructor(client: Client, effects: ReflectorEffects) {
    this.#client = client;
    this.#effects = effects;
  }

  /** Begins to follow, unless it does already. @param node its name as pods have it */
  follow(node: string): void {
    if (this.#reflection) return;
    const { schedule } = this.#effects;
    const source = sourceOf(this.#client, podsOf(node), {
      within: (what, work, signal) =>
        within({ deadlineMs: LIST_MS, what: `${this.#client.server}: ${what}`, signal }, work),
      silenceMs: SILENCE_MS,
      schedule,
    });
    this.#reflection = reflect(
      source,
      {
        replaceAll: (pods) => (this.#pods = new Map(pods)),
        put: (key, pod) => void this.#pods.set(key, pod),
        remove: (key) => void this.#pods.delete(key),
      },
      {
        // Pods are asked for one by one then, as they are where the role does not grant a watch.
        onTrouble: () => (this.#isWell = false),
        onWell: () => (this.#isWell = true),
        // What an object had before does not tell what it has now.
        onBad: (key) => void this.#pods.delete(key),
      },
      this.#effects,
    );
  }

  /**
   * Returns what the server has told of this very pod; undefined where it must be asked: also for a
   * pod whose UID the runtime does not tell, for another one may have had its name.
   */
  find(pod: AskedPod): DescribedPod | undefined {
    const heardAt = this.#reflection?.lastHeardAt();
    if (pod.uid === undefined || !this.#isWell || heardAt === undefined) return undefined;
    if (this.#effects.monotonic() - heardAt > FRESH_MS) return undefined;
    const found = this.#pods.get(`${pod.namespace}/${pod.name}`);
    return found && isOf(found, pod) ? found : undefined;
  }

  close(): void {
    this.#reflection?.close();
  }
}

const podsOf = (node: string): Collection<DescribedPod & { readonly uid: string }> => ({
  path: '/api/v1/pods',
  apiVersion: 'v1',
  kind: 'Pod',
  resource: 'pods',
  fieldSelector: `spec.nodeName=${node}`,
  decode: (value) => {
    const { metadata, spec } = asObject(value, 'pod');
    return describePod(asObject(metadata, 'metadata'), specOf(spec));
  },
});

const specOf = (spec: unknown): Json => asObject(spec ?? {}, 'spec');
