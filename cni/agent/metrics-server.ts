import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { HealthReport } from './health.ts';
import type { MetricsAddress } from './metrics-address.ts';
import { RootSocket } from './unix-socket.ts';

/** Scrapers are few. The server refuses more connections, so that they cost the agent nothing. */
const MAX_CONNECTIONS = 16;
/**
 * Longest time for a whole request and for a silent connection, in milliseconds: a few slow clients
 * must not take all connections.
 */
const WITHIN_MS = 10_000;

/** Supplies the metrics text and the health report. */
export interface MetricsSource {
  readonly contentType: string;
  readonly text: () => Promise<string>;
  /** May return other keys beside those of the report. */
  readonly health: () => HealthReport;
  /** The newest lines of the log. Absent where others than root may ask. */
  readonly log?: () => string;
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
      return { status: 404, type: PLAIN, body: 'expected /metrics or /healthz\n' };
  }
}

/** Serves metrics and health over HTTP. */
export class MetricsServer {
  readonly #server: Server;
  readonly #address: MetricsAddress;
  readonly #socket: RootSocket | undefined;

  private constructor(server: Server, address: MetricsAddress, socket: RootSocket | undefined) {
    this.#server = server;
    this.#address = address;
    this.#socket = socket;
  }

  /** @throws Error when the address is taken, or others can write to the socket's folder */
  static async listen(address: MetricsAddress, source: MetricsSource): Promise<MetricsServer> {
    const server = createServer(
      { headersTimeout: WITHIN_MS, requestTimeout: WITHIN_MS, connectionsCheckingInterval: WITHIN_MS / 5 },
      (request, response) => void reply(source, request, response),
    );
    server.maxConnections = MAX_CONNECTIONS;
    server.timeout = WITHIN_MS;
    if (address.kind === 'unix')
      return new MetricsServer(server, address, await RootSocket.listen(server, address.path));
    await listenAt(server, address.host, address.port);
    return new MetricsServer(server, address, undefined);
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

function listenAt(server: Server, host: string, port: number): Promise<void> {
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
