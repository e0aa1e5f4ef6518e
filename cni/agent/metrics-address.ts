import { isIPv4 } from 'node:net';
import { dirname, join } from 'node:path';

/** Where the agent serves metrics: a unix socket, or a port that only this node reaches. */
export type MetricsAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'loopback'; readonly host: string; readonly port: number };

/** Returns `metrics.sock` in the folder of the agent's own socket. */
export function defaultMetricsAddress(agentSocket: string): MetricsAddress {
  return { kind: 'unix', path: join(dirname(agentSocket), 'metrics.sock') };
}

/**
 * Parses `unix:/PATH`, `127.0.0.1:9461`, `[::1]:9461`. Returns undefined for `off`.
 * @throws Error that names the expected forms, for any other text and any address off loopback
 */
export function parseMetricsAddress(text: string): MetricsAddress | undefined {
  if (text === 'off') return undefined;
  if (text.startsWith('unix:/')) return { kind: 'unix', path: text.slice('unix:'.length) };
  const [, host = '', digits = ''] = /^(\[[0-9A-Fa-f:.]+\]|[^:]+):([0-9]{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (isLoopback(host) && port >= 1 && port <= 65_535)
    return { kind: 'loopback', host: host.replace(/^\[|\]$/g, ''), port };
  throw new Error(
    `--metrics is ${JSON.stringify(text)}: expected unix:/PATH, a loopback address with a port (127.0.0.1:9461, [::1]:9461), or off`,
  );
}

function isLoopback(host: string): boolean {
  return host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
}

export function formatMetricsAddress(address: MetricsAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
