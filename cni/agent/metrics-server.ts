import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Effects } from '../../ipam/model/effects.ts';
import { isAuthorized, OPEN_ACCESS, type MetricsAccess } from './metrics-access.ts';
import type { MetricsAddress } from './metrics-address.ts';
import { RootSocket } from './unix-socket.ts';

/** Scrapers are few. The server refuses more connections, so that they cost the agent nothing. */
const MAX_CONNECTIONS = 16;
/**
 * Longest time for a whole request and for a silent connection, in milliseconds: a few slow clients
 * must not take all connections.
 */
const WITHIN_MS = 10_000;
/** Longest life of a connection, in milliseconds: one that reads its answer byte by byte ends. */
const LONGEST_MS = 30_000;

/** Supplies the metrics text and the health report. */
export interface MetricsSource {
  readonly contentType: string;
  readonly text: () => Promise<string>;
  /** May return other keys beside this one. */
  readonly health: () => { readonly ok: boolean };
  /** The newest lines of the log. Absent where others than root may ask. */
  readonly log?: () => string;
  /**
   * What the bridges do with all Services, or with `namespace/name`. Absent where others than root
   * may ask.
   */
  readonly services?: (name: string | undefined) => ServiceAnswer;
}

export interface ServiceAnswer {
  /** False: there is no such Service. */
  readonly found: boolean;
  readonly body: object;
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const PLAIN = 'text/plain; charset=utf-8';

/** Answers one request for `/metrics` or `/healthz`. */
export async function answer(source: MetricsSource, method: string, url: string): Promise<Reply> {
  if (method !== 'GET' && method !== 'HEAD')
    return { status: 405, type: PLAIN, body: 'expected GET or HEAD\n' };
  const [path = ''] = url.split('?');
  switch (path) {
    case '/metrics':
      return { status: 200, type: source.contentType, body: await source.text() };
    case '/healthz': {
      const report = source.health();
      return {
        status: report.ok ? 200 : 503,
        type: 'application/json',
        body: `${JSON.stringify(report)}\n`,
      };
    }
    case '/log':
      if (source.log) return { status: 200, type: PLAIN, body: source.log() };
      return { status: 403, type: PLAIN, body: 'served at a unix socket only: it has names of pods\n' };
    default:
      return (
        answerServices(source, path) ?? { status: 404, type: PLAIN, body: 'expected /metrics or /healthz\n' }
      );
  }
}

function answerServices({ services }: MetricsSource, path: string): Reply | undefined {
  const [, first, namespace, name, ...more] = path.split('/');
  const isOne = namespace !== undefined && name !== undefined && more.length === 0;
  if (first !== 'services' || (namespace !== undefined && !isOne)) return undefined;
  if (!services) return { status: 403, type: PLAIN, body: 'served at a unix socket only: it has names\n' };
  const { found, body } = services(isOne ? `${namespace}/${name}` : undefined);
  return { status: found ? 200 : 404, type: 'application/json', body: `${JSON.stringify(body)}\n` };
}

/** Of both kinds, with and without TLS. */
type HttpServer = ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>;

/**
 * A server that answers by `respond`, with limits on the number, the silence and the life of its
 * connections. Each has one request, so that a later one meets the certificates of then.
 */
export function limitedServer(
  respond: (request: IncomingMessage, response: ServerResponse) => void,
  { tls, asksForCertificate }: Pick<MetricsAccess, 'tls' | 'asksForCertificate'>,
  { schedule }: Pick<Effects, 'schedule'>,
): HttpServer {
  const limits = {
    headersTimeout: WITHIN_MS,
    requestTimeout: WITHIN_MS,
    connectionsCheckingInterval: WITHIN_MS / 5,
  };
  const client = { requestCert: asksForCertificate, rejectUnauthorized: asksForCertificate };
  const server = tls
    ? createTlsServer({ ...limits, ...tls, ...client, handshakeTimeout: WITHIN_MS }, respond)
    : createServer(limits, respond);
  server.maxConnections = MAX_CONNECTIONS;
  server.maxRequestsPerSocket = 1;
  server.timeout = WITHIN_MS;
  // Accepting fails while the process has no file descriptor left. The next attempt may succeed.
  server.on('error', () => undefined);
  server.on('connection', (socket: Socket) => {
    const timer = schedule(LONGEST_MS, () => socket.destroy());
    socket.once('close', () => timer.cancel());
  });
  return server;
}

/** Serves metrics and health over HTTP, with TLS where the access says so. */
export class MetricsServer {
  readonly #server: HttpServer;
  readonly #address: MetricsAddress;
  #socket: RootSocket | undefined;
  #access: MetricsAccess;

  private constructor(
    address: MetricsAddress,
    source: MetricsSource,
    effects: Pick<Effects, 'schedule'>,
    access: MetricsAccess,
  ) {
    this.#address = address;
    this.#access = access;
    this.#server = limitedServer(
      (request, response) => {
        if (isAuthorized(this.#access, request.headers.authorization)) void reply(source, request, response);
        else refuse(response);
      },
      access,
      effects,
    );
  }

  /** @throws Error when the address is taken, or others can write to the socket's folder */
  static async listen(
    address: MetricsAddress,
    source: MetricsSource,
    effects: Pick<Effects, 'schedule'>,
    access = OPEN_ACCESS,
  ): Promise<MetricsServer> {
    const made = new MetricsServer(address, source, effects, access);
    const server = made.#server;
    if (address.kind === 'unix') made.#socket = await RootSocket.listen(server, address.path);
    else await listenAt(server, address.host, address.port);
    return made;
  }

  /** Later connections and requests are held to this access, of the same kind as the one before. */
  renew(access: MetricsAccess): void {
    if (access.tls && 'setSecureContext' in this.#server) this.#server.setSecureContext(access.tls);
    this.#access = access;
  }

  /** The address that the server listens at, with the port that the kernel chose for port 0. */
  get address(): MetricsAddress {
    const bound = this.#server.address();
    if (this.#address.kind === 'unix' || bound === null || typeof bound === 'string') return this.#address;
    return { ...this.#address, port: bound.port };
  }

  /** Makes the socket again if it is gone. See {@link RootSocket.restore}. */
  async restore(): Promise<boolean> {
    return (await this.#socket?.restore()) ?? false;
  }

  /** Closes every connection and frees the address at once. */
  close(): void {
    if (this.#socket) this.#socket.close();
    else this.#server.close();
    this.#server.closeAllConnections();
  }
}

function listenAt(server: HttpServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
}

async function reply(
  source: MetricsSource,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '', url = '' } = request;
  const { status, type, body } = await answer(source, method, url).catch((error: unknown) => ({
    status: 500,
    type: PLAIN,
    body: `${String(error)}\n`,
  }));
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(method === 'HEAD' ? undefined : body);
}

function refuse(response: ServerResponse): void {
  const headers = { 'content-type': PLAIN, 'www-authenticate': 'Bearer' };
  response.writeHead(401, headers).end('expected the header Authorization: Bearer TOKEN\n');
}
