import type { Effects } from '../../ipam/model/effects.ts';
import type { Log, Platform } from '../platform/platform.ts';
import type { Input, Output } from '../protocol/invocation.ts';
import { podOf, type Environment } from '../protocol/request.ts';
import { dispatch, failure } from '../verbs/dispatch.ts';
import type { Metrics } from './metrics.ts';
import type { AgentRequest } from './protocol.ts';

/** What the agent's calls work with. */
export interface AgentPlatform {
  /** Returns the platform for one call with this environment. */
  forCall(env: Environment): Platform;
  /** Reads the shared configuration file. @throws Error when it cannot be read */
  readShared(env: Environment): Input['sharedConfig'];
}

/** Serves calls like the plugins, on warm connections. Runs the calls of one attachment in turn. */
export class Agent {
  readonly #platform: AgentPlatform;
  readonly #metrics: Pick<Metrics, 'beginCall'>;
  readonly #log: Log;
  readonly #effects: Effects;
  /** The latest call under way or queued, by attachment. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(platform: AgentPlatform, metrics: Pick<Metrics, 'beginCall'>, log: Log, effects: Effects) {
    this.#effects = effects;
    this.#platform = platform;
    this.#metrics = metrics;
    this.#log = log;
  }

  async serve({ plugin, env, stdin }: AgentRequest): Promise<Output> {
    const started = this.#effects.monotonic();
    const end = this.#metrics.beginCall(env['CNI_COMMAND'] ?? '');
    const output = await this.#inTurn(attachmentOf(env), () => this.#dispatch({ plugin, env, stdin }));
    const failed = output.exitCode !== 0;
    end(failed);
    const pod = podOf(env);
    this.#log.info('served', {
      plugin,
      verb: env['CNI_COMMAND'] ?? '',
      containerId: env['CNI_CONTAINERID'] ?? '',
      ifname: env['CNI_IFNAME'] ?? '',
      ...(pod !== undefined && { pod }),
      failed,
      ms: Math.round((this.#effects.monotonic() - started) * 10) / 10,
    });
    return output;
  }

  async #dispatch({ plugin, env, stdin }: AgentRequest): Promise<Output> {
    try {
      const input = { env, stdin, sharedConfig: this.#platform.readShared(env) };
      return await dispatch(plugin, input, () => Promise.resolve(this.#platform.forCall(env)));
    } catch (error) {
      return failure(stdin, error);
    }
  }

  async #inTurn<T>(attachment: string | undefined, work: () => Promise<T>): Promise<T> {
    if (attachment === undefined) return await work();
    const before = this.#turns.get(attachment) ?? Promise.resolve();
    const turn = before.then(work, work);
    this.#turns.set(attachment, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(attachment) === turn) this.#turns.delete(attachment);
    }
  }
}

function attachmentOf(env: Environment): string | undefined {
  const { CNI_CONTAINERID: containerId, CNI_IFNAME: ifname } = env;
  return containerId && ifname ? `${containerId}/${ifname}` : undefined;
}
