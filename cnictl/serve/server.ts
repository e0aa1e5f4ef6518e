import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { isAuthorized, type MetricsAccess } from '../../cni/agent/metrics-access.ts';
import { stampOf } from '../../ipam/files/stamp.ts';
import { CommandError } from '../context/errors.ts';
import { describeReason } from '../context/files.ts';
import { Attempts } from './attempts.ts';
import { isHost, listenAddressOf, readAccess, type AccessOptions } from './access.ts';
import { answerJson, refuseForNow, route, type Route } from './router.ts';
import { Sessions } from './session.ts';
import { signInRoutes } from './sign-in-route.ts';

const MAX_CONNECTIONS = 1_024;
/** Longest time for a request, without its answer, in milliseconds. */
const WITHIN_MS = 10_000;
/**
 * How long a connection may pass no byte, in milliseconds: a client that takes no more of its
 * answer keeps its place otherwise. Listeners of events have their own limits.
 */
const SILENT_MS = 120_000;
/** How often it is looked whether certificate, key or token were replaced, in milliseconds. */
const LOOK_EVERY_MS = 1_000;

export interface Served {
  /** Where it listens, with the port that the kernel chose for port 0. */
  readonly url: string;
  close(): void;
}

/**
 * Serves the routes.
 * @param warn told of a replaced file that is not as expected: the former one counts until then
 * @throws CommandError for wrong options and files, and when the address cannot be bound
 */
export async function serveRoutes(
  options: AccessOptions,
  routes: readonly Route[],
  warn: (text: string) => void,
  { silentMs = SILENT_MS }: { readonly silentMs?: number } = {},
): Promise<Served> {
  const { host, port } = listenAddressOf(options);
  let access = readAccess(options);
  const sessions = new Sessions({ isSecure: access.tls !== undefined });
  const attempts = new Attempts();
  const all = [...routes, ...signInRoutes(() => access, sessions, attempts)];
  const respond = (request: IncomingMessage, response: ServerResponse): void =>
    void answer({ access, sessions, attempts }, all, request, response);
  const limits = { headersTimeout: WITHIN_MS, requestTimeout: WITHIN_MS, connectionsCheckingInterval: 2_000 };
  const secure =
    access.tls && createTlsServer({ ...limits, ...access.tls, handshakeTimeout: WITHIN_MS }, respond);
  const server = secure ?? createServer(limits, respond);
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = silentMs;
  server.on('connection', (socket: { setKeepAlive(on: boolean, ms: number): void }) =>
    socket.setKeepAlive(true, 30_000),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const reason = describeReason(cause);
      const remedy =
        (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
          ? 'Another program listens there, perhaps another cnictl serve: end it, or choose another port with --listen.'
          : '';
      reject(
        new CommandError(`map and events cannot be served at ${host}:${port}: ${reason}`, remedy, { cause }),
      );
    });
    server.listen({ host, port }, resolve);
  });
  server.on('error', () => undefined);
  const looking = everyChange(options, warn, (renewed) => {
    access = renewed;
    if (renewed.tls) secure?.setSecureContext(renewed.tls);
  });
  const bound = server.address();
  const at = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    url: `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${at}`,
    close: () => {
      clearInterval(looking);
      server.close();
      server.closeIdleConnections();
    },
  };
}

/** Reads the files again whenever they were replaced. */
function everyChange(
  options: AccessOptions,
  warn: (text: string) => void,
  renew: (access: MetricsAccess) => void,
): NodeJS.Timeout {
  const stamp = (): string => stampOf([options.tlsCert, options.tlsKey, options.tokenFile]);
  let seen = stamp();
  return setInterval(() => {
    const now = stamp();
    if (now === seen) return;
    seen = now;
    try {
      renew(readAccess(options));
      warn('certificate, key and token were read again');
    } catch (error) {
      warn(`${describeReason(error)}; what was read before counts`);
    }
  }, LOOK_EVERY_MS);
}

interface Entrance {
  readonly access: MetricsAccess;
  readonly sessions: Sessions;
  readonly attempts: Attempts;
}

async function answer(
  { access, sessions, attempts }: Entrance,
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const { headers } = request;
    const isSignedIn = sessions.isSignedIn(access, headers);
    const from = request.socket.remoteAddress ?? '';
    const sendsToken = access.token !== undefined && headers.authorization !== undefined && !isSignedIn;
    const seconds = sendsToken ? attempts.waitSeconds(from) : 0;
    if (seconds > 0) {
      refuseForNow(response, seconds);
      return;
    }
    const mayRead = isSignedIn || isAuthorized(access, headers.authorization);
    if (sendsToken && !mayRead) attempts.add(from, headers.authorization ?? '');
    await route(
      {
        routes,
        isAuthorized: () => mayRead,
        isHost: (header) => isHost(access, header),
      },
      request,
      response,
    );
  } catch (error) {
    if (response.headersSent) response.destroy();
    else answerJson(response, 500, { error: describeReason(error) });
  }
}
