import { createServer, type Server, type Socket } from 'node:net';
import type { Effects } from '../../ipam/model/effects.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { hostEffects } from '../host/effects.ts';
import { hasHungUp, isTrustedPeer, peerUid } from '../netlink/peer.ts';
import type { Log } from '../platform/platform.ts';
import type { Output } from '../protocol/invocation.ts';
import { CallDeclined } from './agent.ts';
import { decodeRequest, encodeReply, type AgentRequest } from './protocol.ts';
import { RootSocket } from './unix-socket.ts';

/**
 * How long the agent waits for a whole request, and for a caller that does not take its reply, in
 * milliseconds. A plugin sends its request at once.
 */
const WITHIN_MS = 10_000;

export interface ServerOptions {
  readonly effects?: Pick<Effects, 'schedule'>;
  readonly withinMs?: number;
}

/** Serves the agent's socket: one request a connection, from root or the agent's own user only. */
export class AgentServer {
  readonly #serve: (request: AgentRequest) => Promise<Output>;
  readonly #log: Log;
  readonly #server: Server;
  readonly #effects: Pick<Effects, 'schedule'>;
  readonly #withinMs: number;
  readonly #working = new Set<Promise<void>>();
  #socket: RootSocket | undefined;

  private constructor(
    serve: (request: AgentRequest) => Promise<Output>,
    log: Log,
    { effects = hostEffects, withinMs = WITHIN_MS }: ServerOptions,
  ) {
    this.#serve = serve;
    this.#log = log;
    this.#effects = effects;
    this.#withinMs = withinMs;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @throws Error when another agent answers at the path, or others can write to its folder */
  static async listen(
    path: string,
    serve: (request: AgentRequest) => Promise<Output>,
    log: Log,
    options: ServerOptions = {},
  ): Promise<AgentServer> {
    const agent = new AgentServer(serve, log, options);
    agent.#socket = await RootSocket.listen(agent.#server, path);
    // Without a listener, a connection for which no file is left would end the process.
    agent.#server.on('error', (error) =>
      log.error('no connection was accepted', { reason: messageOf(error) }),
    );
    return agent;
  }

  /** Number of calls under way. */
  get working(): number {
    return this.#working.size;
  }

  /** Makes the socket again if it is gone. See {@link RootSocket.restore}. */
  async restore(): Promise<boolean> {
    return (await this.#socket?.restore()) ?? false;
  }

  /** Accepts no more calls. Resolves when the agent has answered those under way. */
  async drain(): Promise<void> {
    this.#socket?.close();
    await Promise.all(this.#working);
  }

  #accept(socket: Socket): void {
    if (!isTrustedPeer(socket)) {
      this.#log.warn('a caller that is not root was turned away', { uid: peerUid(socket) ?? -1 });
      socket.destroy();
      return;
    }
    let received = Buffer.alloc(0);
    // One deadline for all bytes, however the caller spreads them.
    const late = this.#effects.schedule(this.#withinMs, () => socket.destroy());
    socket.on('close', () => late.cancel());
    // A caller that disconnects gets no answer. The agent still finishes the call, as a standalone
    // plugin would.
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const request = decodeRequest(received);
        if (!request) return;
        late.cancel();
        socket.pause();
        this.#begin(socket, request);
      } catch (error) {
        this.#log.warn('a request could not be read', { reason: String(error) });
        socket.destroy();
      }
    });
  }

  /**
   * An agent that hung finds calls whose callers have given up: the runtime repeats an ADD, and the
   * plugin has finished a DEL. Carried out late, such a call could meet a newer attachment.
   */
  #begin(socket: Socket, request: AgentRequest): void {
    if (hasHungUp(socket)) {
      const { CNI_COMMAND: verb = '', CNI_CONTAINERID: containerId = '' } = request.env;
      this.#log.warn('a call was dropped: its caller has given up', { verb, containerId });
      socket.destroy();
      return;
    }
    this.#track(this.#answer(socket, request));
  }

  /** A connection that ends without a reply tells the plugin to serve the call itself. */
  async #answer(socket: Socket, request: AgentRequest): Promise<void> {
    try {
      const output = await this.#serve(request);
      if (socket.destroyed) return;
      socket.end(encodeReply(output));
      const late = this.#effects.schedule(this.#withinMs, () => socket.destroy());
      socket.on('close', () => late.cancel());
    } catch (error) {
      if (error instanceof CallDeclined) this.#log.info('declined', { reason: error.message });
      else this.#log.error('a call was not answered', { reason: messageOf(error) });
      socket.destroy();
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#working.delete(tracked));
    this.#working.add(tracked);
  }
}
