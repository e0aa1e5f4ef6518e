import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { OPEN_ACCESS } from '../../cni/agent/metrics-access.ts';
import { answer, limitedServer } from '../../cni/agent/metrics-server.ts';
import { hostEffects } from '../../cni/host/effects.ts';
import { CommandError } from '../context/errors.ts';
import { describeReason } from '../context/files.ts';
import type { CheckMetrics } from './metrics.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Parses `127.0.0.1:9462` or `[::1]:9462`. `0.0.0.0:9462` and `[::]:9462` serve every client that
 * reaches this machine or pod. Names are refused, because `localhost` may resolve to any address.
 * @param usual port, for the message
 * @throws CommandError that states the expected form
 */
export function parseListenAddress(text: string, option = '--metrics-listen', usual = 9462): ListenAddress {
  const [, host = '', digits = ''] = /^(\[[^\]]+\]|[^:]+):([0-9]{1,5})$/.exec(text) ?? [];
  const bare = host.replace(/^\[|\]$/g, '');
  const port = Number(digits);
  const isWritten = isIP(bare) === (host.startsWith('[') ? 6 : 4);
  if (isWritten && port <= 65_535) return { host: bare, port };
  throw new CommandError(
    `${option} '${text}': expected an IP address and a port, such as 127.0.0.1:${usual} or [::1]:${usual}`,
  );
}

export interface ServedMetrics {
  /** Where the metrics are served, with the port that the kernel chose for port 0. */
  readonly address: string;
  readonly close: () => void;
}

/**
 * Serves `/metrics` and `/healthz`.
 * @throws CommandError when the address cannot be bound
 */
export async function serveMetrics(
  { host, port }: ListenAddress,
  metrics: CheckMetrics,
): Promise<ServedMetrics> {
  const respond = (request: IncomingMessage, response: ServerResponse): void => {
    void answer(metrics, request.method ?? '', request.url ?? '').then(({ status, type, body }) => {
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
      response.end(request.method === 'HEAD' ? undefined : body);
    });
  };
  const server = limitedServer(respond, OPEN_ACCESS, hostEffects);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const reason = describeReason(cause);
      reject(new CommandError(`metrics cannot be served at ${host}:${port}: ${reason}`, '', { cause }));
    });
    server.listen({ host, port }, resolve);
  });
  const bound = server.address();
  const at = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${at}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
