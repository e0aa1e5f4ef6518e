import type { OutgoingHttpHeaders } from 'node:http';
import { KubeError, reasonOf } from './errors.ts';
import type { Limit } from './limit.ts';
import { LONGEST_OBJECT, send, type Answer, type Message } from './request.ts';
import type { Session, Sessions } from './session.ts';
import { parseStatus, statusError, type Purpose, type Status } from './status.ts';
import { follow, type Following } from './watch-stream.ts';

export interface ClientOptions {
  readonly server: string;
  readonly sessions: Sessions;
  readonly idleMs: number;
  /** The pause before the first retry, in milliseconds, plus jitter. It doubles with each retry. */
  readonly retryPauseMs: number;
  readonly random: () => number;
  /** Default: `cnictl` */
  readonly userAgent?: string | undefined;
}

export type Reply =
  | { readonly kind: 'found'; readonly value: unknown; readonly date: string | undefined }
  /** Any status that is neither 200 nor worth a retry. The caller handles it. */
  | { readonly kind: 'other'; readonly status: Status | undefined; readonly error: KubeError };

const MAX_ATTEMPTS = 5;
const USER_AGENT = 'cnictl';
/** In seconds. For credentials that are about to expire. */
const SHORTEST_WATCH_S = 5;

const GET: Message = { method: 'GET' };
/** OK, Created, Accepted. */
const DONE = new Set([200, 201, 202]);

type ReadBody = (server: string, purpose: Purpose, answer: Answer) => Reply | Failed;

/**
 * Sends requests to the API server: GETs with bounded retries when the connection or the server
 * fails, changes once.
 */
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
  async get(
    path: string,
    purpose: Purpose,
    limit: Limit,
    maxBytes = LONGEST_OBJECT,
    read: ReadBody = parseBody,
  ): Promise<Reply> {
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(GET, path, purpose, limit, maxBytes, read);
      if (outcome.kind !== 'failed') {
        if (outcome.kind === 'found' || outcome.error.code !== 'unauthorized' || renewed) return outcome;
        if (!this.#options.sessions.renewable) return outcome;
        // The token or certificate may have been replaced since this client read it. One retry
        // with a new session is enough to find out.
        renewed = true;
        this.#options.sessions.drop();
        continue;
      }
      await this.pauseAfter(outcome, attempt, limit);
    }
  }

  /** As `get`, of a text such as a pod's log. @throws KubeError */
  async getText(path: string, purpose: Purpose, limit: Limit): Promise<Reply> {
    return await this.get(path, purpose, limit, LONGEST_OBJECT, (_, __, { body, headers }) => ({
      kind: 'found',
      value: body,
      date: headers.date,
    }));
  }

  /**
   * Runs the work with the credentials of this moment, and once more with new ones when the server
   * does not accept them.
   * @throws KubeError
   */
  async withSession<T>(limit: Limit, work: (session: Session) => Promise<T>): Promise<T> {
    const { sessions } = this.#options;
    try {
      return await work(await sessions.current(limit.signal));
    } catch (error) {
      const isRefused = error instanceof KubeError && error.code === 'unauthorized';
      if (!isRefused || !sessions.renewable) throw error;
      sessions.drop();
      return await work(await sessions.current(limit.signal));
    }
  }

  /**
   * Sends a change once. After `failed` it may have been carried out or not: only a look tells.
   * @throws KubeError
   */
  async change(message: Message, path: string, purpose: Purpose, limit: Limit): Promise<Reply | Failed> {
    const first = await this.#attempt(message, path, purpose, limit, LONGEST_OBJECT, parseBody);
    const { sessions } = this.#options;
    const isRefused = first.kind === 'other' && first.error.code === 'unauthorized';
    if (!isRefused || !sessions.renewable) return first;
    sessions.drop();
    return await this.#attempt(message, path, purpose, limit, LONGEST_OBJECT, parseBody);
  }

  /**
   * Waits before the next attempt.
   * @param attempt how many there were
   * @throws KubeError that of the failure when no further attempt is allowed
   */
  async pauseAfter({ error, retryAfterMs }: Failed, attempt: number, limit: Limit): Promise<void> {
    if (attempt === MAX_ATTEMPTS) throw giveUp(error, `${attempt} attempts`);
    const { retryPauseMs, random } = this.#options;
    const waitMs = retryAfterMs ?? retryPauseMs * 2 ** (attempt - 1) * (1 + random());
    if (waitMs > limit.remainingMs()) throw giveUp(error, 'the deadline leaves no time for the next attempt');
    await limit.pause(waitMs);
  }

  /**
   * Opens a watch and follows it to its end, which comes at the latest when the credentials expire.
   * @param path with its query
   * @param lifeMs after this many milliseconds the server ends the watch
   * @returns whether the server ended it, or was silent for too long
   * @throws KubeError, also where the server refuses the watch
   */
  async watch(
    path: string,
    purpose: Purpose,
    { lifeMs, ...following }: Omit<Following, 'session' | 'userAgent' | 'answerMs'> & { lifeMs: number },
  ): Promise<'ended' | 'silent'> {
    const { server, sessions, userAgent = USER_AGENT, idleMs } = this.#options;
    for (let renewed = false; ; renewed = true) {
      const session = await sessions.current(following.signal);
      const seconds = Math.max(SHORTEST_WATCH_S, Math.min(lifeMs, sessions.remainingMs(session)) / 1000);
      const url = new URL(`${server}${path}&timeoutSeconds=${Math.ceil(seconds)}`);
      const end = await follow(url, { ...following, session, userAgent, answerMs: idleMs }).catch(
        (error: unknown) => {
          if (error instanceof KubeError && error.code === 'tls') sessions.drop();
          throw error;
        },
      );
      if (typeof end === 'string') return end;
      const error = refusal(server, purpose, end);
      if (error.code !== 'unauthorized') throw error;
      sessions.drop();
      if (renewed || !sessions.renewable) throw error;
    }
  }

  async #attempt(
    message: Message,
    path: string,
    purpose: Purpose,
    limit: Limit,
    maxBytes: number,
    read: ReadBody,
  ): Promise<Reply | Failed> {
    const { server, sessions, userAgent = USER_AGENT } = this.#options;
    const idleMs = Math.min(this.#options.idleMs, limit.totalMs / 2);
    const session = await sessions.current(limit.signal);
    let answer: Answer;
    try {
      answer = await send(new URL(server + path), message, {
        session,
        userAgent,
        idleMs,
        signal: limit.signal,
        maxBytes,
      });
    } catch (error) {
      if (limit.signal.aborted) throw limit.signal.reason;
      if (error instanceof KubeError && error.code === 'unreachable') return { kind: 'failed', error };
      // Certificate files may have been replaced since the session read them, so the next request
      // must reread them.
      sessions.drop();
      throw error;
    }
    const isDone = message.method === 'GET' ? answer.status === 200 : DONE.has(answer.status);
    if (isDone) return read(server, purpose, answer);
    const status = parseStatus(answer.body);
    const error = statusError(server, purpose, answer.status, status, answer.headers.location);
    if (error.code !== 'unavailable') return { kind: 'other', status, error };
    return { kind: 'failed', error, retryAfterMs: retryAfterMs(answer.headers, status) };
  }
}

function refusal(server: string, purpose: Purpose, { status: code, headers, body }: Answer): KubeError {
  const status = parseStatus(body);
  const error = statusError(server, purpose, code, status, headers.location);
  return new KubeError(error.code, error.message, {
    remedy: error.remedy,
    status: code,
    retryAfterMs: retryAfterMs(headers, status),
  });
}

export interface Failed {
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
