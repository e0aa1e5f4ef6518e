import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { peerUid } from '../netlink/peer.ts';
import type { Log } from '../platform/platform.ts';
import type { Output } from '../protocol/invocation.ts';
import { decodeRequest, encodeReply, type AgentRequest } from './protocol.ts';
import { listenForRoot } from './unix-socket.ts';

/**
 * The agent closes a connection that is silent for this many milliseconds. A plugin sends its
 * request at once.
 */
const REQUEST_WITHIN_MS = 10_000;

/** Serves the agent's socket: one request a connection, from root or the agent's own user only. */
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

  /** @throws Error when another agent answers at the path, or others can write to its folder */
  static async listen(
    path: string,
    serve: (request: AgentRequest) => Promise<Output>,
    log: Log,
  ): Promise<AgentServer> {
    const agent = new AgentServer(path, serve, log);
    await listenForRoot(agent.#server, path);
    return agent;
  }

  /** Number of calls under way. */
  get working(): number {
    return this.#working.size;
  }

  /** Accepts no more calls. Resolves when the agent has answered those under way. */
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
    // A caller that disconnects gets no answer. The agent still finishes the call, as a standalone
    // plugin would.
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
