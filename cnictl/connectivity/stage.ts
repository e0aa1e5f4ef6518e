/** The test's own namespace, and what is in it. */
import { KubeError } from '../../cni/kube/errors.ts';
import { ENDPOINT_SLICE, NAMESPACE, POD, SERVICE, type KubeWriter } from '../../cni/kube/writer.ts';
import type { Json } from '../../cni/kube/decode.ts';
import { CommandError } from '../context/errors.ts';
import type { Task } from './ask.ts';
import {
  MANAGED_BY,
  namespaceObject,
  OURS,
  podObject,
  serviceObject,
  type PodSettings,
} from './manifests.ts';
import { labelOf, podStateOf, uidOf, type PodState } from './objects.ts';
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

  constructor(kube: KubeWriter, options: StageOptions) {
    this.#kube = kube;
    this.#options = options;
  }

  /**
   * Makes the namespace, after the end of one that an earlier run left.
   * @throws CommandError for a namespace that is not the test's
   */
  async open(): Promise<void> {
    const { namespace, settings, waiting } = this.#options;
    const found = await this.#kube.get(NAMESPACE, { name: namespace });
    if (found !== undefined) {
      if (labelOf(found, MANAGED_BY) !== OURS)
        throw new CommandError(
          `namespace '${namespace}' exists and is not of this test: it lacks the label ${MANAGED_BY}=${OURS}`,
          'Name another one, which must not exist: --namespace NAME',
        );
      waiting.note(`namespace '${namespace}' is left from an earlier run: it is deleted first`);
      await this.#kube.remove(NAMESPACE, { name: namespace }, uidOf(found));
      if (!(await this.#isGone(waiting))) throw this.#notGone();
    }
    await this.#kube.create(NAMESPACE, undefined, namespaceObject(namespace, settings.run));
  }

  /**
   * Deletes the namespace if it is of this run, and waits until it is gone.
   * @throws CommandError when it does not go
   */
  async close(): Promise<void> {
    const { namespace, settings, waiting } = this.#options;
    const found = await this.#kube.get(NAMESPACE, { name: namespace });
    const isOurs = found !== undefined && labelOf(found, `${OURS}/run`) === settings.run;
    if (!isOurs) return;
    await this.#kube.remove(NAMESPACE, { name: namespace }, uidOf(found));
    // The operator may have stopped the test, not the end of it.
    const signal = new AbortController().signal;
    if (!(await this.#isGone({ ...waiting, signal, timeoutMs: CLEAN_UP_MS }))) throw this.#notGone();
  }

  async #isGone(waiting: Waiting): Promise<boolean> {
    const { namespace } = this.#options;
    const { done } = await waitFor(waiting, async () => ({
      done: (await this.#kube.get(NAMESPACE, { name: namespace })) === undefined,
      told: `the end of namespace ${namespace}`,
    }));
    return done;
  }

  #notGone(): CommandError {
    const { namespace } = this.#options;
    return new CommandError(
      `namespace '${namespace}' is being deleted, and is still there`,
      `Look at what is left in it: kubectl get all -n ${namespace}`,
    );
  }

  /** @returns the Service as the cluster made it */
  addService(plan: ServicePlan): Promise<Json> {
    const { namespace, settings } = this.#options;
    return this.#kube.create(SERVICE, namespace, serviceObject(plan, settings.run));
  }

  async addPod(plan: PodPlan, services: readonly ServicePlan[], tasks?: readonly Task[]): Promise<void> {
    const { namespace, settings, waiting } = this.#options;
    const object = podObject(plan, services, settings, tasks);
    const create = async (): Promise<boolean> => {
      try {
        await this.#kube.create(POD, namespace, object);
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

  async pods(): Promise<ReadonlyMap<string, PodState>> {
    const pods = await this.#kube.list(POD, { namespace: this.#options.namespace });
    return new Map(pods.map(podStateOf).map((state) => [state.name, state]));
  }

  slices(): Promise<readonly Json[]> {
    return this.#kube.list(ENDPOINT_SLICE, { namespace: this.#options.namespace });
  }

  /** Returns what a pod wrote so far; nothing of a container that has not begun. */
  async log(name: string): Promise<string> {
    try {
      return await this.#kube.log({ namespace: this.#options.namespace, name });
    } catch (error) {
      if (error instanceof KubeError && (error.status === 400 || error.status === 404)) return '';
      throw error;
    }
  }

  async removePod(name: string): Promise<void> {
    const { namespace } = this.#options;
    const pod = await this.#kube.get(POD, { namespace, name });
    if (pod !== undefined) await this.#kube.remove(POD, { namespace, name }, uidOf(pod));
  }
}
