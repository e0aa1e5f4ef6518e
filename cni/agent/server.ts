import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { peerUid } from '../netlink/peer.ts';
import type { Log } from '../platform/platform.ts';
import type { Output } from '../protocol/invocation.ts';
import { decodeRequest, encodeReply, type AgentRequest } from './protocol.ts';
import { listenForRoot } from './unix-socket.ts';

/** A plugin sends its request at once: a connection that is silent this long, in milliseconds, is none of ours. */
const REQUEST_WITHIN_MS = 10_000;

/** The agent's socket: for root alone, one request a connection. */
export class AgentServer {
  readonly #path: string;
  readonly #serve: (request: AgentRequest) => Promise<Output>;
  readonly #log: Log;
  readonly #server: Server;
  readonly #working = new Set<Promise<void>>();

  private constructor(path: string, serve: (request: AgentRequest) => Promise<Output>, log: Log) {
    this.#path = path;
    this.#serve = serve;
    this.#log = log;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @throws Error where another agent answers at the path, or its folder is open to others */
  static async listen(
    path: string,
    serve: (request: AgentRequest) => Promise<Output>,
    log: Log,
  ): Promise<AgentServer> {
    const agent = new AgentServer(path, serve, log);
    await listenForRoot(agent.#server, path);
    return agent;
  }

  /** How many calls are under way. */
  get working(): number {
    return this.#working.size;
  }

  /** Takes no more calls, and resolves when those that are under way have been answered. */
  async drain(): Promise<void> {
    rmSync(this.#path, { force: true });
    this.#server.close();
    await Promise.all(this.#working);
  }

  #accept(socket: Socket): void {
    const uid = peerUid(socket);
    if (uid !== 0 && uid !== process.geteuid?.()) {
      this.#log.warn('a caller that is not root was turned away', { uid: uid ?? -1 });
      socket.destroy();
      return;
    }
    let received = Buffer.alloc(0);
    socket.setTimeout(REQUEST_WITHIN_MS, () => socket.destroy());
    // Who went away in between is answered by nobody; the call is finished all the same, as in a process of its own.
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const request = decodeRequest(received);
        if (!request) return;
        socket.setTimeout(0);
        socket.pause();
        this.#track(this.#answer(socket, request));
      } catch (error) {
        this.#log.warn('a request could not be read', { reason: String(error) });
        socket.destroy();
      }
    });
  }

  async #answer(socket: Socket, request: AgentRequest): Promise<void> {
    const output = await this.#serve(request);
    if (!socket.destroyed) socket.end(encodeReply(output));
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#working.delete(tracked));
    this.#working.add(tracked);
  }
}
