/** The test's own namespace, and what is in it. */
import { KubeError } from '../../cni/kube/errors.ts';
import { ENDPOINT_SLICE, NAMESPACE, POD, SERVICE, type ObjectType } from '../../cni/kube/object-types.ts';
import type { KubeWriter, NewObject } from '../../cni/kube/writer.ts';
import type { Json } from '../../cni/kube/decode.ts';
import { formatAge } from '../context/durations.ts';
import { CommandError } from '../context/errors.ts';
import type { Task } from './ask.ts';
import {
  CONTAINER,
  KEPT,
  keptMark,
  LASTS,
  MANAGED_BY,
  namespaceObject,
  OURS,
  podObject,
  RUN,
  serviceObject,
  type PodSettings,
} from './manifests.ts';
import { createdAt, isEnding, labelOf, podStateOf, uidOf, type PodState } from './objects.ts';
import type { PodPlan, ServicePlan } from './plan.ts';
import { waitFor, type Waiting } from './waiting.ts';

/** How long a new namespace may take to have its service account. */
const ACCOUNT_MS = 15_000;
/** How long the end of the namespace is waited for, when the test is over. */
const CLEAN_UP_MS = 90_000;

export interface StageOptions {
  readonly namespace: string;
  readonly settings: PodSettings;
  readonly waiting: Waiting;
}

export class Stage {
  readonly #kube: KubeWriter;
  readonly #options: StageOptions;
  /** Of the namespace that this run made. */
  #uid: string | undefined;
  /** Whether this run may have made its namespace. */
  #hasTried = false;
  /** The UIDs of the pods that this run made, by their names. */
  readonly #pods = new Map<string, string>();

  constructor(kube: KubeWriter, options: StageOptions) {
    this.#kube = kube;
    this.#options = options;
  }

  /**
   * Makes the namespace, after the end of one that an earlier run left.
   * @throws CommandError for a namespace that is not the test's, or that another run works in
   */
  async open(): Promise<void> {
    const { namespace, settings, waiting } = this.#options;
    const found = await this.#find();
    if (found !== undefined) {
      await this.#throwUnlessLeft(found);
      waiting.note(`namespace '${namespace}' is left from an earlier run: it is deleted first`);
      if (!(await this.#remove(found, waiting))) throw this.#notGone();
    }
    this.#hasTried = true;
    try {
      const made = await this.#kube.create(NAMESPACE, undefined, namespaceObject(namespace, settings));
      this.#uid = uidOf(made);
    } catch (error) {
      if (error instanceof KubeError && error.status === 409) throw this.#taken();
      throw error;
    }
  }

  /** A run is over that says so, or after the longest time that it told. */
  async #throwUnlessLeft(found: Json): Promise<void> {
    const { namespace, waiting } = this.#options;
    if (labelOf(found, MANAGED_BY) !== OURS)
      throw new CommandError(
        `namespace '${namespace}' exists and is not of this test: it lacks the label ${MANAGED_BY}=${OURS}`,
        'Name another one, which must not exist: --namespace NAME',
      );
    const age = waiting.world.now() - createdAt(found);
    if (isEnding(found) || age > longestOf(found)) return;
    if ((await this.#kube.get(SERVICE, { namespace, name: KEPT })) !== undefined) return;
    throw new CommandError(
      `another test works in namespace '${namespace}': run ${labelOf(found, RUN) ?? '?'}, begun ${formatAge(age)} ago`,
      `Name another namespace: --namespace NAME. If that test is no more: kubectl delete namespace ${namespace}`,
    );
  }

  /** Tells later runs that this one is over. Returns whether there is anything to keep. */
  async keep(): Promise<boolean> {
    if (this.#uid === undefined) return false;
    await this.#throwIfLost();
    await this.#create(SERVICE, keptMark(this.#options.settings.run));
    return true;
  }

  /**
   * Deletes the namespace if it is of this run, and waits until it is gone.
   * @throws CommandError when it does not go
   */
  async close(): Promise<void> {
    const { settings, waiting } = this.#options;
    if (!this.#hasTried) return;
    const found = await this.#find();
    // By the label: after an unclear failure of its creation the UID is not known.
    if (found === undefined || labelOf(found, RUN) !== settings.run) return;
    // The operator may have stopped the test, not the end of it.
    const signal = new AbortController().signal;
    const isGone = await this.#remove(found, { ...waiting, signal, timeoutMs: CLEAN_UP_MS });
    if (!isGone) throw this.#notGone();
  }

  #find(): Promise<Json | undefined> {
    return this.#kube.get(NAMESPACE, { name: this.#options.namespace });
  }

  /** Returns whether this very namespace is gone in the end. Another may have its name by then. */
  async #remove(found: Json, waiting: Waiting): Promise<boolean> {
    const { namespace } = this.#options;
    const uid = uidOf(found);
    await this.#kube.remove(NAMESPACE, { name: namespace }, uid);
    const { done } = await waitFor(waiting, async () => {
      const now = await this.#find();
      return {
        done: now === undefined || uidOf(now) !== uid,
        told: `the end of namespace ${namespace}`,
      };
    });
    return done;
  }

  #notGone(): CommandError {
    const { namespace } = this.#options;
    return new CommandError(
      `namespace '${namespace}' is being deleted, and is still there`,
      `Look at what is left in it: kubectl get all -n ${namespace}`,
    );
  }

  #taken(): CommandError {
    return new CommandError(
      `another test took namespace '${this.#options.namespace}'`,
      'Name another one: --namespace NAME',
    );
  }

  /** @throws CommandError when the namespace is no longer that of this run */
  async #throwIfLost(): Promise<void> {
    const { namespace } = this.#options;
    const found = await this.#find();
    if (found !== undefined && uidOf(found) !== this.#uid) throw this.#taken();
    if (found === undefined || isEnding(found))
      throw new CommandError(
        `somebody deleted namespace '${namespace}' during the test`,
        'Run it again, or in another one: --namespace NAME',
      );
  }

  /** @throws CommandError when the namespace is lost, KubeError for another failure */
  async #create(type: ObjectType, object: NewObject): Promise<Json> {
    try {
      return await this.#kube.create(type, this.#options.namespace, object);
    } catch (error) {
      await this.#throwIfLost();
      throw error;
    }
  }

  /** @returns the Service as the cluster made it */
  addService(plan: ServicePlan): Promise<Json> {
    return this.#create(SERVICE, serviceObject(plan, this.#options.settings.run));
  }

  async addPod(plan: PodPlan, services: readonly ServicePlan[], tasks?: readonly Task[]): Promise<void> {
    const { namespace, settings, waiting } = this.#options;
    const object = podObject(plan, services, settings, tasks);
    const create = async (): Promise<boolean> => {
      try {
        this.#pods.set(plan.name, uidOf(await this.#create(POD, object)));
        return true;
      } catch (error) {
        // The controller makes it a moment after the namespace.
        if (error instanceof KubeError && /serviceaccount "default" not found/.test(error.message))
          return false;
        throw error;
      }
    };
    const told = `the service account of namespace ${namespace}`;
    const { done } = await waitFor({ ...waiting, timeoutMs: ACCOUNT_MS }, async () => ({
      done: await create(),
      told,
    }));
    if (!done)
      throw new CommandError(
        `${told} is not there after ${ACCOUNT_MS / 1000} s`,
        'Look at kube-controller-manager.',
      );
  }

  /** Returns the pods of this run. @throws CommandError when the namespace is lost */
  async pods(): Promise<ReadonlyMap<string, PodState>> {
    const { namespace, settings } = this.#options;
    await this.#throwIfLost();
    const pods = await this.#kube.list(POD, { namespace, labelSelector: `${RUN}=${settings.run}` });
    return new Map(pods.map(podStateOf).map((state) => [state.name, state]));
  }

  /** @throws CommandError when the namespace is lost */
  async slices(): Promise<readonly Json[]> {
    await this.#throwIfLost();
    return await this.#kube.list(ENDPOINT_SLICE, { namespace: this.#options.namespace });
  }

  /** Returns what a pod wrote so far; nothing of a container that has not begun. */
  async log(name: string): Promise<string> {
    const { namespace } = this.#options;
    try {
      return await this.#kube.log({ namespace, name }, CONTAINER);
    } catch (error) {
      if (error instanceof KubeError && (error.status === 400 || error.status === 404)) return '';
      throw error;
    }
  }

  /** Deletes a pod that this run made. */
  async removePod(name: string): Promise<void> {
    const uid = this.#pods.get(name);
    const { namespace } = this.#options;
    if (uid !== undefined) await this.#kube.remove(POD, { namespace, name }, uid);
  }
}

/** A run without that label is of a version that took less. */
const LONGEST_SECONDS = 900;

const longestOf = (namespace: Json): number =>
  (Number(labelOf(namespace, LASTS) ?? LONGEST_SECONDS) || LONGEST_SECONDS) * 1000;
