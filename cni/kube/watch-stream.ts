import type http from 'node:http';
import type { Effects, Timer } from '../../ipam/model/effects.ts';
import {
  connectionError,
  LONGEST_OBJECT,
  readWhole,
  request,
  type Answer,
  type RequestOptions,
} from './request.ts';

export interface Following extends Pick<RequestOptions, 'session' | 'userAgent' | 'signal'> {
  /** The attempt fails after this many milliseconds without a response. */
  readonly answerMs: number;
  /** The watch is broken off after this many milliseconds without a byte. */
  readonly silenceMs: number;
  readonly schedule: Effects['schedule'];
  /** The server accepted the watch. */
  readonly onOpen: () => void;
  /** What it throws breaks the watch off and is what `follow` rejects with. */
  readonly onBytes: (chunk: Buffer) => void;
}

/**
 * The kernel asks a silent peer for a sign of life from this time on, and breaks the connection
 * after ten seconds without one (Node.js sets TCP_KEEPINTVL and TCP_KEEPCNT).
 */
const KEEP_ALIVE_MS = 15_000;

/**
 * Sends the GET of a watch and passes on the body as it comes.
 * @returns `ended` when the server ended the body, `silent` after `silenceMs` without a byte, or
 *   the response when its status is not 200
 * @throws KubeError `tls` or `unreachable`
 */
export function follow(url: URL, following: Following): Promise<'ended' | 'silent' | Answer> {
  const { answerMs, schedule, onOpen } = following;
  return new Promise((resolve, reject) => {
    const req = request(url, following);
    let timer = schedule(answerMs, () => req.destroy(new Error(`no answer within ${answerMs} ms`)));
    const rearm = (next: Timer | undefined): void => {
      timer.cancel();
      if (next !== undefined) timer = next;
    };
    const fail = (error: unknown): void => {
      rearm(undefined);
      reject(connectionError(url, error));
    };
    req.on('socket', (socket) => socket.setKeepAlive(true, KEEP_ALIVE_MS));
    req.on('error', fail);
    req.on('response', (res) => {
      const { statusCode = 0, headers } = res;
      if (statusCode !== 200) {
        const done = (body: string): void => {
          rearm(undefined);
          resolve({ status: statusCode, headers, body });
        };
        readWhole(res, LONGEST_OBJECT, done, fail);
        return;
      }
      onOpen();
      followBody(res, { following, rearm, resolve, reject, fail });
    });
    req.end();
  });
}

interface Body {
  readonly following: Following;
  /** Replaces the request's timer. Undefined: there is no other. */
  readonly rearm: (next: Timer | undefined) => void;
  readonly resolve: (end: 'ended' | 'silent') => void;
  readonly reject: (error: unknown) => void;
  readonly fail: (error: unknown) => void;
}

function followBody(res: http.IncomingMessage, { following, rearm, resolve, reject, fail }: Body): void {
  const { silenceMs, schedule, onBytes } = following;
  const listen = (): void =>
    rearm(
      schedule(silenceMs, () => {
        resolve('silent');
        res.destroy();
      }),
    );
  const cut = (): void => fail(new Error('the watch was cut'));
  listen();
  res.on('data', (chunk: Buffer) => {
    if (following.signal.aborted) return;
    listen();
    try {
      onBytes(chunk);
    } catch (error) {
      rearm(undefined);
      reject(error);
      res.destroy();
    }
  });
  res.on('aborted', cut);
  res.on('error', fail);
  res.on('end', () => {
    rearm(undefined);
    if (res.complete) resolve('ended');
    else cut();
  });
}
