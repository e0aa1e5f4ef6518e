import type { Effects } from '../../ipam/model/effects.ts';
import { Turns } from '../host/turns.ts';
import type { Log, Platform } from '../platform/platform.ts';
import { CniError } from '../protocol/errors.ts';
import type { Input, Output } from '../protocol/invocation.ts';
import { podOf, type Environment } from '../protocol/request.ts';
import { dispatch, failure } from '../verbs/dispatch.ts';
import type { Metrics } from './metrics.ts';
import { namedAgent } from './path.ts';
import { PLUGIN_VERSION, type AgentRequest } from './protocol.ts';

/** What the agent's calls work with. */
export interface AgentPlatform {
  /** Returns the platform for one call with this environment. */
  forCall(env: Environment): Platform;
  /** Reads the shared configuration file. */
  readShared(env: Environment): Input['sharedConfig'];
}

/** Most calls under way at once: four for each of the 250 pods that a node is planned for. */
const MAX_CALLS = 1_000;
/**
 * Limits of the calls of one attachment that wait for each other. The wait is below the time that
 * the plugin waits for the agent, and a runtime sends one call at a time.
 */
const TURN_LIMITS = { waitMs: 30_000, most: 10 };

/** The call's configuration names another agent, or none. The plugin then serves the call. */
export class CallDeclined extends Error {
  override readonly name = 'CallDeclined';
}

/** Serves calls like the plugins, on warm connections. Runs the calls of one attachment in turn. */
export class Agent {
  readonly #platform: AgentPlatform;
  readonly #metrics: Pick<Metrics, 'beginCall'>;
  readonly #log: Log;
  readonly #effects: Effects;
  readonly #isOwnSocket: (path: string) => boolean;
  /** The calls under way and waiting, by attachment. */
  readonly #turns = new Map<string, Turns>();
  #underWay = 0;

  /** @param isOwnSocket tells whether the path of a socket is that of this agent */
  constructor(
    platform: AgentPlatform,
    metrics: Pick<Metrics, 'beginCall'>,
    log: Log,
    effects: Effects,
    isOwnSocket: (path: string) => boolean = () => true,
  ) {
    this.#isOwnSocket = isOwnSocket;
    this.#effects = effects;
    this.#platform = platform;
    this.#metrics = metrics;
    this.#log = log;
  }

  /** @throws CallDeclined */
  async serve({ plugin, env, stdin }: AgentRequest): Promise<Output> {
    const started = this.#effects.monotonic();
    const end = this.#metrics.beginCall(env['CNI_COMMAND'] ?? '', env[PLUGIN_VERSION]);
    const output = await this.#admit({ plugin, env, stdin }).catch((error: unknown) => {
      end(undefined);
      throw error;
    });
    const failed = output.exitCode !== 0;
    end(failed);
    // Probes ask for the versions every few seconds.
    if (env['CNI_COMMAND'] === 'VERSION') return output;
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

  /**
   * Refuses a call, with the reply for that, when too many are under way or wait.
   * @throws CallDeclined
   */
  async #admit(request: AgentRequest): Promise<Output> {
    if (this.#underWay >= MAX_CALLS)
      return failure(request.stdin, tryLater(`the agent is busy: ${MAX_CALLS} calls are under way already`));
    this.#underWay++;
    try {
      return await this.#inTurn(attachmentOf(request.env), () => this.#dispatch(request));
    } catch (error) {
      if (error instanceof CallDeclined) throw error;
      return failure(request.stdin, error);
    } finally {
      this.#underWay--;
    }
  }

  async #dispatch({ plugin, env, stdin }: AgentRequest): Promise<Output> {
    const input = { env, stdin, sharedConfig: this.#platform.readShared(env) };
    const named = namedAgent(input);
    if (named === false || (named !== undefined && !this.#isOwnSocket(named)))
      throw new CallDeclined(`the call is for ${named === false ? 'no agent' : `the agent at ${named}`}`);
    return await dispatch(plugin, input, () => Promise.resolve(this.#platform.forCall(env)));
  }

  async #inTurn<T>(attachment: string | undefined, work: () => Promise<T>): Promise<T> {
    if (attachment === undefined) return await work();
    const turns =
      this.#turns.get(attachment) ??
      new Turns(TURN_LIMITS, this.#effects, (why) =>
        tryLater(`other calls for ${attachment} are under way, and this one got no turn: ${why}`),
      );
    this.#turns.set(attachment, turns);
    try {
      return await turns.run(work);
    } finally {
      if (turns.idle) this.#turns.delete(attachment);
    }
  }
}

const tryLater = (why: string): CniError => new CniError('try-again-later', why);

function attachmentOf(env: Environment): string | undefined {
  const { CNI_CONTAINERID: containerId, CNI_IFNAME: ifname } = env;
  return containerId && ifname ? `${containerId}/${ifname}` : undefined;
}
