import { chmodSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Output } from '../dispatch.ts';
import { peerUid } from '../netlink/peer.ts';
import type { Log } from '../parts.ts';
import { decodeRequest, encodeReply, type AgentRequest } from './protocol.ts';

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

  /**
   * Listens at the path; its folder is made with mode 0700, the socket has 0600. What a killed agent left is taken over.
   * @throws Error where another agent answers there, or the folder is open to others
   */
  static async listen(
    path: string,
    serve: (request: AgentRequest) => Promise<Output>,
    log: Log,
  ): Promise<AgentServer> {
    const folder = dirname(path);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { mode, uid } = statSync(folder);
    if ((mode & 0o022) !== 0 || (uid !== 0 && uid !== process.geteuid?.()))
      throw new Error(`folder ${folder} can be written by others: expected mode 0700, owned by root`);
    if (await isAnswered(path)) throw new Error(`another agent answers at ${path}`);
    rmSync(path, { force: true });
    const agent = new AgentServer(path, serve, log);
    const before = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        agent.#server.once('error', reject);
        agent.#server.listen(path, resolve);
      });
    } finally {
      process.umask(before);
    }
    chmodSync(path, 0o600);
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

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
