import { IpamError, messageOf } from '../../ipam/model/errors.ts';
import type { Facts, FactSource } from '../../ipam/model/rule.ts';
import type { AskedPod, FactsReader } from '../kube/facts.ts';
import type { ReflectorEffects } from '../kube/reflector.ts';
import type { Environment } from '../protocol/request.ts';

/** Longest time that the API server may take, in milliseconds: etcd has 5 s with it, in an ADD. */
const DEADLINE_MS = 3_000;

/** Asks API servers about the pods of this node, over connections that stay open. */
export class PodFacts {
  readonly #env: Environment;
  readonly #userAgent: string;
  readonly #follow: ReflectorEffects | undefined;
  /** By kubeconfig. */
  readonly #readers = new Map<string, Promise<FactsReader>>();

  /** @param follow present in a process that lives on: it follows the pods of its node */
  constructor(env: Environment, userAgent: string, follow?: ReflectorEffects) {
    this.#env = env;
    this.#userAgent = userAgent;
    this.#follow = follow;
  }

  /**
   * @param kubeconfig absent: as the environment says
   * @throws IpamError `unknown-pod`
   */
  async ask(kubeconfig: string | undefined, pod: AskedPod, sources: readonly FactSource[]): Promise<Facts> {
    const key = kubeconfig ?? '';
    try {
      const known = this.#readers.get(key) ?? this.#open(kubeconfig);
      this.#readers.set(key, known);
      return await (await known).ask(pod, sources);
    } catch (cause) {
      // The next pod begins again, unless the server has answered: the files may be others by then.
      if (!isAnswer(cause)) await this.#close(key);
      const what = `a rule for pod ${pod.namespace}/${pod.name} asks for ${sources.join(' and ')} in Kubernetes`;
      throw new IpamError('unknown-pod', `${what}: ${messageOf(cause)}`, {
        cause,
        // Those of the others speak of cnictl's options.
        ...(hasRemedy(cause) && !OF_CNICTL.includes(cause.code) && { remedy: cause.remedy }),
      });
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#readers.keys()].map((key) => this.#close(key)));
  }

  async #close(key: string): Promise<void> {
    const known = this.#readers.get(key);
    this.#readers.delete(key);
    await known?.then((reader) => reader.close()).catch(() => undefined);
  }

  async #open(kubeconfig: string | undefined): Promise<FactsReader> {
    // Few ADDs need its packages, which take their time to load.
    const { readFacts } = await import('../kube/facts.ts');
    // A person's own kubeconfig is not the node's.
    const { HOME: _, ...env } = this.#env;
    const options = {
      env,
      ...(kubeconfig !== undefined && { configuredKubeconfig: kubeconfig }),
      deadlineMs: DEADLINE_MS,
      userAgent: this.#userAgent,
    };
    return readFacts(options, this.#follow);
  }
}

const OF_CNICTL = ['config', 'timeout', 'unavailable'];

/** Whether the server tells that there is no such pod, or another one of its name. */
const isAnswer = (error: unknown): boolean =>
  hasRemedy(error) && (error.code === 'malformed' || ('status' in error && error.status === 404));

const hasRemedy = (error: unknown): error is { readonly remedy: string; readonly code: string } =>
  error instanceof Error && 'remedy' in error && 'code' in error && typeof error.remedy === 'string';
