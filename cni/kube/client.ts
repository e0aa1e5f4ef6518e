import type { OutgoingHttpHeaders } from 'node:http';
import { KubeError, reasonOf } from './errors.ts';
import type { Limit } from './limit.ts';
import { get, LONGEST_OBJECT, type Answer } from './request.ts';
import type { Sessions } from './session.ts';
import { parseStatus, statusError, type Purpose, type Status } from './status.ts';

export interface ClientOptions {
  readonly server: string;
  readonly sessions: Sessions;
  readonly idleMs: number;
  /** The pause before the first retry, in milliseconds, plus jitter. It doubles with each retry. */
  readonly retryPauseMs: number;
  readonly random: () => number;
}

export type Reply =
  | { readonly kind: 'found'; readonly value: unknown; readonly date: string | undefined }
  /** Any status that is neither 200 nor worth a retry. The caller handles it. */
  | { readonly kind: 'other'; readonly status: Status | undefined; readonly error: KubeError };

const MAX_ATTEMPTS = 5;

/** Sends GETs to the API server, with bounded retries when the connection or the server fails. */
export class Client {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  get server(): string {
    return this.#options.server;
  }

  close(): void {
    this.#options.sessions.drop();
  }

  /**
   * @param path the path below the server's address, which may itself include a path
   * @param maxBytes longest response body
   * @throws KubeError
   */
  async get(path: string, purpose: Purpose, limit: Limit, maxBytes = LONGEST_OBJECT): Promise<Reply> {
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(path, purpose, limit, maxBytes);
      if (outcome.kind !== 'failed') {
        if (outcome.kind === 'found' || outcome.error.code !== 'unauthorized' || renewed) return outcome;
        if (!this.#options.sessions.renewable) return outcome;
        // The token or certificate may have been replaced since this client read it. One retry
        // with a new session is enough to find out.
        renewed = true;
        this.#options.sessions.drop();
        continue;
      }
      if (attempt === MAX_ATTEMPTS) throw giveUp(outcome.error, `${attempt} attempts`);
      const waitMs =
        outcome.retryAfterMs ??
        this.#options.retryPauseMs * 2 ** (attempt - 1) * (1 + this.#options.random());
      if (waitMs > limit.remainingMs())
        throw giveUp(outcome.error, 'the deadline leaves no time for the next attempt');
      await limit.pause(waitMs);
    }
  }

  async #attempt(path: string, purpose: Purpose, limit: Limit, maxBytes: number): Promise<Reply | Failed> {
    const { server, sessions } = this.#options;
    const idleMs = Math.min(this.#options.idleMs, limit.totalMs / 2);
    const session = await sessions.current(limit.signal);
    let answer: Answer;
    try {
      answer = await get(new URL(server + path), { session, idleMs, signal: limit.signal, maxBytes });
    } catch (error) {
      if (limit.signal.aborted) throw limit.signal.reason;
      if (error instanceof KubeError && error.code === 'unreachable') return { kind: 'failed', error };
      // Certificate files may have been replaced since the session read them, so the next request
      // must reread them.
      sessions.drop();
      throw error;
    }
    if (answer.status === 200) return parseBody(server, purpose, answer);
    const status = parseStatus(answer.body);
    const error = statusError(server, purpose, answer.status, status, answer.headers.location);
    if (error.code !== 'unavailable') return { kind: 'other', status, error };
    return { kind: 'failed', error, retryAfterMs: retryAfterMs(answer.headers, status) };
  }
}

interface Failed {
  readonly kind: 'failed';
  readonly error: KubeError;
  readonly retryAfterMs?: number | undefined;
}

function giveUp(error: KubeError, why: string): KubeError {
  const { code, message, cause, status } = error;
  return new KubeError(code, `${message} (gave up: ${why})`, {
    cause,
    ...(status === undefined ? {} : { status }),
  });
}

function parseBody(server: string, { verb, resource }: Purpose, { body, headers }: Answer): Reply | Failed {
  try {
    return { kind: 'found', value: JSON.parse(body) as unknown, date: headers.date };
  } catch (cause) {
    const message = `${server} answered ${verb} ${resource} with what is not JSON (${headers['content-type'] ?? 'no content type'}): ${reasonOf(cause)}`;
    // A response without a byte count or an end marker may have been truncated unnoticed.
    if (!isFramed(headers))
      return { kind: 'failed', error: new KubeError('unreachable', message, { cause }) };
    throw new KubeError('malformed', message, { cause });
  }
}

function isFramed(headers: OutgoingHttpHeaders): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/**
 * Returns the delay from Retry-After (RFC 9110 section 10.2.3: seconds or a date) or from the
 * Status, in milliseconds.
 */
function retryAfterMs(headers: Answer['headers'], status: Status | undefined): number | undefined {
  const header = headers['retry-after'];
  const seconds =
    header !== undefined && /^\d+$/.test(header) ? Number(header) : status?.details.retryAfterSeconds;
  if (typeof seconds === 'number' && seconds >= 0) return seconds * 1000;
  const at = header === undefined ? NaN : Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}
