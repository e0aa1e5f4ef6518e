/** A socket to the kernel's network configuration: rtnetlink(7), RFC 3549. */
import { RawNetlinkSocket } from 'netlink/dist/raw.js';
import { hasCode } from '../../ipam/model/errors.ts';
import { errnoOf, NetlinkError } from './errors.ts';
import { Exchange, type Outcome } from './exchange.ts';
import { askForExplanations, openWithExplanations, type OpenedSocket } from './extended-ack.ts';
import { AF_NETLINK, NETLINK_ROUTE, SOCK_NONBLOCK, SOCK_RAW } from './kernel.ts';
import { closeSocket, openSocket, receive, send, sendAside } from './libc.ts';
import { hostNamespace, inNamespace, type NetworkNamespace } from './netns.ts';
import type { Request } from './request.ts';

export interface RequestOptions {
  /**
   * Milliseconds for all requests of the call together, including the wait for earlier calls.
   * Default: 5,000.
   */
  readonly deadlineMs?: number;
}

type Answers<Requests extends readonly Request<unknown>[]> = {
  -readonly [Index in keyof Requests]: Requests[Index] extends Request<infer Answer> ? Answer : never;
};
export type Outcomes<Requests extends readonly Request<unknown>[]> = {
  -readonly [Index in keyof Requests]: Requests[Index] extends Request<infer Answer>
    ? Outcome<Answer>
    : never;
};

const netlinkError = (error: unknown, operation: string): unknown => {
  const errno = errnoOf(error);
  return errno === undefined ? error : new NetlinkError(errno, operation, { cause: error });
};

const READ_ATTEMPTS = 5;

/** The kernel answers within the send call, so the exchange needs no turn of the event loop. */
const exchangeAtOnce = (fd: number, exchange: Exchange): void => {
  send(fd, exchange.message, 'write to the netlink socket');
  readAnswers(fd, exchange);
};

const readAnswers = (fd: number, exchange: Exchange): void => {
  while (!exchange.settled) {
    // The kernel makes no answer larger than 32 KiB: `netlink_dump` of net/netlink/af_netlink.c.
    const received = receive(fd, 'read from the netlink socket');
    if (!received) return;
    exchange.receive(received);
  }
};

/**
 * Returns a socket of the namespace. The caller owns it until the caller returns it with
 * `NetworkNamespace.leaveSocket`.
 */
export const borrowSocket = (namespace: NetworkNamespace): number =>
  namespace.takeSocket() ?? openAsking(namespace);

const openAsking = (namespace: NetworkNamespace): number => {
  const fd = inNamespace(namespace, () =>
    openSocket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE, 'open a netlink socket'),
  );
  askForExplanations(fd);
  return fd;
};

/** Uses a socket of its own, then leaves that socket with the namespace. */
const attemptBy = async <const Requests extends readonly Request<unknown>[]>(
  namespace: NetworkNamespace,
  requests: Requests,
  carryOut: (fd: number, exchange: Exchange) => Promise<void> | void,
): Promise<Outcomes<Requests>> => {
  const fd = borrowSocket(namespace);
  let answered = false;
  try {
    // The kernel answers within the call, and no deadline can interrupt that call.
    const exchange = new Exchange(requests, 0);
    await carryOut(fd, exchange);
    // The kernel has answered by now: an answer that is still missing does not come.
    if (!exchange.settled) exchange.cancel();
    const outcomes = (await exchange.finished) as Outcomes<Requests>;
    answered = true;
    return outcomes;
  } finally {
    // The next caller would take a late answer for its own.
    if (answered) namespace.leaveSocket(fd);
    else closeSocket(fd);
  }
};

/**
 * Does the same as `Rtnetlink.attempt`, for a single exchange in a namespace.
 * @throws NamespaceError, NetlinkError
 */
export const attemptOnce = <const Requests extends readonly Request<unknown>[]>(
  namespace: NetworkNamespace,
  requests: Requests,
): Promise<Outcomes<Requests>> => attemptBy(namespace, requests, exchangeAtOnce);

/**
 * Does the same as `attemptOnce`, but the kernel works on another thread while this one continues.
 * For a process that serves several callers.
 * @throws NamespaceError, NetlinkError
 */
export const attemptAside = <const Requests extends readonly Request<unknown>[]>(
  namespace: NetworkNamespace,
  requests: Requests,
): Promise<Outcomes<Requests>> =>
  attemptBy(namespace, requests, async (fd, exchange) => {
    await sendAside(fd, exchange.message, 'write to the netlink socket');
    readAnswers(fd, exchange);
  });

export class Rtnetlink {
  /** The namespace in which the socket was opened and stays. */
  readonly namespace: NetworkNamespace;
  readonly #socket: RawNetlinkSocket;
  readonly #fd: number | undefined;
  #current: Exchange | undefined;
  #last: Promise<void> = Promise.resolve();
  #sequence = 0;
  #closed = false;

  private constructor({ socket, fd }: OpenedSocket, namespace: NetworkNamespace) {
    this.namespace = namespace;
    this.#socket = socket;
    this.#fd = fd;
    socket.unref();
    socket.on('message', (message) => this.#current?.receive(message));
    socket.on('error', (error) => this.#current?.fail(netlinkError(error, 'read from the netlink socket')));
  }

  /**
   * Opens the socket in a namespace (default: the host's). An idle socket does not keep the process
   * alive.
   * @throws NamespaceError, NetlinkError
   */
  static open(namespace: NetworkNamespace = hostNamespace()): Rtnetlink {
    return inNamespace(namespace, () => {
      try {
        return new Rtnetlink(
          openWithExplanations(() => new RawNetlinkSocket(NETLINK_ROUTE)),
          namespace,
        );
      } catch (error) {
        throw netlinkError(error, 'open a netlink socket');
      }
    });
  }

  /**
   * Sends the requests in one message and returns their answers. The kernel carries out all of them
   * in order, even after one fails. This method throws the first failure. Calls on one socket take
   * turns. The kernel works within the send call: this thread waits for it whatever the deadline.
   * @throws NetlinkError of the first request that failed; ETIMEDOUT when the deadline passed,
   *   although the kernel may have carried out the requests; ECANCELED when the socket was closed
   */
  async request<const Requests extends readonly Request<unknown>[]>(
    requests: Requests,
    options?: RequestOptions,
  ): Promise<Answers<Requests>> {
    const outcomes: readonly Outcome<unknown>[] = await this.attempt(requests, options);
    const answers = outcomes.map((outcome) => {
      if (outcome.error !== undefined) throw outcome.error;
      return outcome.answer;
    });
    return answers as Answers<Requests>;
  }

  /**
   * Does the same as `request`, for requests that only read. A list that changed during the read
   * may lack entries that existed throughout, so this method reads it again, up to five times in
   * all.
   * @throws NetlinkError as `request`; EINTR when the list changed every time
   */
  async read<const Requests extends readonly Request<unknown>[]>(
    requests: Requests,
    options?: RequestOptions,
  ): Promise<Answers<Requests>> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.request(requests, options);
      } catch (error) {
        if (attempt === READ_ATTEMPTS || !hasCode(error, 'EINTR')) throw error;
      }
    }
  }

  /**
   * Does the same as `request`, but returns each request's own answer or error. Throws only when
   * the outcomes cannot be known.
   */
  async attempt<const Requests extends readonly Request<unknown>[]>(
    requests: Requests,
    { deadlineMs = 5_000 }: RequestOptions = {},
  ): Promise<Outcomes<Requests>> {
    const exchange = new Exchange(requests, this.#sequence, deadlineMs);
    this.#sequence = exchange.lastSequence;
    this.#last = this.#last.then(() => this.#carryOut(exchange));
    return (await exchange.finished) as Outcomes<Requests>;
  }

  /** Never rejects: `exchange.finished` carries the outcome. */
  async #carryOut(exchange: Exchange): Promise<void> {
    if (this.#closed) exchange.cancel();
    if (exchange.settled) return;
    this.#current = exchange;
    try {
      if (this.#fd === undefined) this.#sendByAddon(exchange);
      else exchangeAtOnce(this.#fd, exchange);
      await this.#waitFor(exchange);
    } catch (error) {
      exchange.fail(error);
    }
    this.#current = undefined;
  }

  /** Keeps the process alive during the wait. */
  async #waitFor(exchange: Exchange): Promise<void> {
    if (exchange.settled) return;
    this.#socket.ref();
    try {
      await exchange.finished;
    } finally {
      this.#rest();
    }
  }

  #sendByAddon(exchange: Exchange): void {
    this.#socket.send(exchange.message, undefined, (error) => {
      if (error) exchange.fail(netlinkError(error, 'write to the netlink socket'));
    });
  }

  #rest(): void {
    if (this.#closed) return;
    try {
      this.#socket.unref();
    } catch {
      this.#closed = true; // The addon closes itself when it can no longer wait for the socket.
    }
  }

  /**
   * True once the socket takes no more requests: the caller closed it, or the addon closed itself
   * because it cannot wait for the socket.
   */
  get closed(): boolean {
    return this.#closed;
  }

  /** Fails pending requests with ECANCELED. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#current?.cancel();
    // The caller's `await` may resume inside the addon's callbacks, where the addon must stay open.
    setImmediate(() => this.#socket.close());
  }
}

/** Opens a socket for `use` and closes it afterwards. */
export const withRtnetlink = async <Value>(
  namespace: NetworkNamespace | undefined,
  use: (socket: Rtnetlink) => Promise<Value>,
): Promise<Value> => {
  const socket = Rtnetlink.open(namespace);
  try {
    return await use(socket);
  } finally {
    socket.close();
  }
};
