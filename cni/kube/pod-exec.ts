/**
 * Runs a program in a container of a pod, as `kubectl exec` does without a terminal, by the
 * protocol v4.channel.k8s.io over a WebSocket: the first byte of each message is its channel, 1
 * stdout, 2 stderr, 3 a meta/v1 Status at the end.
 */
import { WebSocket, type ClientOptions } from 'ws';
import { asArray, asObject, type Json } from './decode.ts';
import { KubeError, reasonOf } from './errors.ts';
import type { Limit } from './limit.ts';
import { connectionError } from './request.ts';
import type { Session } from './session.ts';
import { parseStatus, statusError, type Purpose } from './status.ts';

const PROTOCOL = 'v4.channel.k8s.io';
const [STDOUT, STDERR, STATUS] = [1, 2, 3];
/** Longest refusal that is read, in bytes. */
const LONGEST_REFUSAL = 100_000;

export interface PodExec {
  readonly url: URL;
  readonly session: Session;
  readonly purpose: Purpose;
  readonly server: string;
  /** Longest output of both streams together, in bytes. */
  readonly maxOutput: number;
}

export interface ExecEnded {
  readonly stdout: string;
  readonly stderr: string;
  /** Null when the server does not tell it: the program did not start, or a signal ended it. */
  readonly exitCode: number | null;
  /** What the server says of an end other than by exit status 0. Empty otherwise. */
  readonly message: string;
}

/** @throws KubeError for a refusal, a broken connection, or too much output */
export function execInPod(
  { url, session, purpose, server, maxOutput }: PodExec,
  limit: Limit,
): Promise<ExecEnded> {
  return new Promise((resolve, reject) => {
    const secure = url.protocol === 'https:';
    const address = new URL(url);
    address.protocol = secure ? 'wss:' : 'ws:';
    const socket = new WebSocket(address, [PROTOCOL], optionsOf(session, maxOutput));
    const received = new Received(maxOutput);
    const end = (settle: () => void): void => {
      limit.signal.removeEventListener('abort', onAbort);
      settle();
      socket.terminate();
    };
    const fail = (error: KubeError): void => end(() => reject(error));
    const onAbort = (): void => fail(limit.signal.reason as KubeError);
    limit.signal.addEventListener('abort', onAbort, { once: true });
    if (limit.signal.aborted) onAbort();
    socket.on('unexpected-response', (_, response) => {
      let body = '';
      response.on('data', (chunk) => (body += body.length < LONGEST_REFUSAL ? String(chunk) : ''));
      response.on('error', (error) => fail(connectionError(url, error)));
      response.on('end', () => {
        const { statusCode = 0, headers } = response;
        fail(statusError(server, purpose, statusCode, parseStatus(body), headers.location));
      });
    });
    socket.on('error', (error) => fail(connectionError(url, error)));
    socket.on('message', (data: Buffer) => {
      if (!received.add(data))
        fail(new KubeError('malformed', `${server} sends more than ${maxOutput} bytes of output`));
    });
    socket.on('close', () => {
      const ended = received.ended();
      if (ended) end(() => resolve(ended));
      else fail(new KubeError('unreachable', `${server} ended the connection before the program was done`));
    });
  });
}

/** A session's agent serves four requests at once. Only one that leads to a proxy must be used. */
function optionsOf({ options, isProxied }: Session, maxOutput: number): ClientOptions {
  const { agent, ...own } = options;
  return {
    ...(own as unknown as ClientOptions),
    ...(isProxied && { agent }),
    maxPayload: maxOutput + 1,
    perMessageDeflate: false,
    followRedirects: false,
  };
}

class Received {
  readonly #maxBytes: number;
  readonly #parts = new Map<number, Buffer[]>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns false for more than is taken */
  add(data: Buffer): boolean {
    const channel = data[0];
    if (channel === undefined) return true;
    this.#bytes += data.length - 1;
    this.#parts.set(channel, [...(this.#parts.get(channel) ?? []), data.subarray(1)]);
    return this.#bytes <= this.#maxBytes;
  }

  /** Undefined where the server has not said how the program ended. */
  ended(): ExecEnded | undefined {
    const told = this.#text(STATUS);
    if (told === '') return undefined;
    return { stdout: this.#text(STDOUT), stderr: this.#text(STDERR), ...endOf(told) };
  }

  #text(channel: number | undefined): string {
    return Buffer.concat(this.#parts.get(channel ?? 0) ?? []).toString('utf8');
  }
}

/** Reads the Status: a failure by an exit status names it as a cause. */
function endOf(text: string): Pick<ExecEnded, 'exitCode' | 'message'> {
  try {
    const told = asObject(JSON.parse(text), 'status');
    if (told['status'] === 'Success') return { exitCode: 0, message: '' };
    const message = typeof told['message'] === 'string' ? told['message'] : 'it failed';
    const causes = asArray(asObject(told['details'] ?? {}, 'details')['causes'] ?? [], 'causes');
    const code = causes
      .map((each): Json => asObject(each, 'cause'))
      .find(({ reason }) => reason === 'ExitCode')?.['message'];
    return { exitCode: typeof code === 'string' && /^\d+$/.test(code) ? Number(code) : null, message };
  } catch (error) {
    return { exitCode: null, message: `the server's word about its end cannot be read: ${reasonOf(error)}` };
  }
}
