/** Encodes several requests as one message and collects their replies. Opens no socket. */
import { constants } from 'node:os';
import { formatHeader, HEADER_LENGTH, padding, parseMessages, readS32 } from 'netlink/dist/structs.js';
import { readAttributes, readText } from './attributes.ts';
import { NetlinkError } from './errors.ts';
import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSGERR_ATTR_MSG,
} from './kernel.ts';
import type { Reply, Request } from './request.ts';

export type Outcome<Answer> =
  { readonly answer: Answer; readonly error?: undefined } | { readonly error: NetlinkError };

interface Pending {
  readonly request: Request<unknown>;
  readonly replies: Reply[];
  interrupted: boolean;
  outcome: Outcome<unknown> | undefined;
}

type Incoming = ReturnType<typeof parseMessages>[number];

/**
 * Encodes requests as one datagram. Numbers them from `firstSequence` and aligns each to four
 * bytes.
 */
export const encodeRequests = (requests: readonly Request<unknown>[], firstSequence: number): Buffer =>
  Buffer.concat(
    requests.flatMap(({ type, flags, payload }, index) => {
      const length = HEADER_LENGTH + payload.length;
      const seq = firstSequence + index;
      return [formatHeader({ length, type, flags, seq, port: 0 }), payload, Buffer.alloc(padding(length))];
    }),
  );

/**
 * Decodes NLMSG_ERROR: the errno, the header of the request, the rest of the request unless capped,
 * then attributes if any.
 */
export const decodeAcknowledgement = (
  payload: Buffer,
  flags: number,
): { errno: number; kernelMessage: string | undefined } => {
  const errno = -readS32.call(payload, 0);
  if ((flags & NLM_F_ACK_TLVS) === 0) return { errno, kernelMessage: undefined };
  const echoed = (flags & NLM_F_CAPPED) === 0 && errno !== 0 ? payload.readUInt32LE(4) : HEADER_LENGTH;
  const attributes = readAttributes(payload, 4 + echoed + padding(echoed));
  return { errno, kernelMessage: readText(attributes.get(NLMSGERR_ATTR_MSG)) };
};

export class Exchange {
  readonly message: Buffer;
  readonly lastSequence: number;
  /**
   * Resolves with all outcomes in request order. Rejects when they cannot be known: the deadline
   * passed, the socket was closed, or replies were lost.
   */
  readonly finished: Promise<Outcome<unknown>[]>;
  readonly #pending = new Map<number, Pending>();
  readonly #timer: NodeJS.Timeout | undefined;
  #resolve: (outcomes: Outcome<unknown>[]) => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #open: number;
  #settled = false;

  /**
   * `sequence` is the last number used on the socket. The deadline counts from now. Without a
   * deadline, the code that reads the answers must end the exchange.
   */
  constructor(requests: readonly Request<unknown>[], sequence: number, deadlineMs?: number) {
    const first = sequence + requests.length < 2 ** 31 ? sequence + 1 : 1;
    this.message = encodeRequests(requests, first);
    this.lastSequence = first + requests.length - 1;
    requests.forEach((request, index) => {
      this.#pending.set(first + index, { request, replies: [], interrupted: false, outcome: undefined });
    });
    this.#open = requests.length;
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (deadlineMs !== undefined)
      this.#timer = setTimeout(() => this.#abandon(constants.errno.ETIMEDOUT), deadlineMs);
    if (requests.length === 0) this.#finish();
  }

  /** Takes a datagram from the kernel. Ignores replies to requests that were given up earlier. */
  receive(datagram: Buffer): void {
    try {
      for (const message of parseMessages(datagram)) {
        const pending = this.#pending.get(message.seq);
        if (pending?.outcome === undefined && pending !== undefined) this.#take(pending, message);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  #take(pending: Pending, { type, flags, data }: Incoming): void {
    if ((flags & NLM_F_DUMP_INTR) !== 0) pending.interrupted = true;
    if (type !== NLMSG_ERROR && type !== NLMSG_DONE) {
      pending.replies.push({ type, payload: data });
      return;
    }
    pending.outcome = outcomeOf(pending, decodeAcknowledgement(data, type === NLMSG_ERROR ? flags : 0));
    this.#open -= 1;
    if (this.#open === 0) this.#finish();
  }

  #finish(): void {
    this.#settle();
    this.#resolve([...this.#pending.values()].flatMap(({ outcome }) => outcome ?? []));
  }

  fail(error: unknown): void {
    this.#settle();
    this.#reject(error);
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#settled = true;
  }

  /** True once `finished` is settled: nothing is left to send or to wait for. */
  get settled(): boolean {
    return this.#settled;
  }

  cancel(): void {
    this.#abandon(constants.errno.ECANCELED);
  }

  #abandon(errno: number): void {
    const unanswered = [...this.#pending.values()].filter(({ outcome }) => outcome === undefined);
    this.fail(new NetlinkError(errno, unanswered.map(({ request }) => request.operation).join('; ')));
  }
}

/**
 * Decodes one request's outcome. A dump that the kernel marks as interrupted may lack entries that
 * existed throughout, so it counts as the error EINTR.
 */
const outcomeOf = (
  { request, replies, interrupted }: Pending,
  { errno, kernelMessage }: { errno: number; kernelMessage: string | undefined },
): Outcome<unknown> => {
  if (errno !== 0) return { error: new NetlinkError(errno, request.operation, { kernelMessage }) };
  if (interrupted) return { error: new NetlinkError(constants.errno.EINTR, request.operation) };
  return { answer: request.decode(replies) };
};
