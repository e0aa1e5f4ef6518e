import { isIP, isIPv4 } from 'node:net';
import { dirname, join } from 'node:path';

/** An IP address of this machine, and a port. */
export interface TcpAddress {
  readonly kind: 'tcp';
  readonly host: string;
  readonly port: number;
}

/** Where the agent serves metrics: a unix socket, or a port. */
export type MetricsAddress = { readonly kind: 'unix'; readonly path: string } | TcpAddress;

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
  const address = parseTcpAddress(text);
  if (address && isLoopback(address)) return address;
  throw new Error(
    `--metrics is ${JSON.stringify(text)}: expected unix:/PATH, a loopback address with a port (127.0.0.1:9461, [::1]:9461), or off; beyond this node: --metrics-listen`,
  );
}

/**
 * Parses `0.0.0.0:9464`, `[::]:9464` and the like. Returns undefined for anything else, also for
 * names: they may resolve to any address.
 */
export function parseTcpAddress(text: string): TcpAddress | undefined {
  const [, written = '', digits = ''] = /^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})$/.exec(text) ?? [];
  const host = written.replace(/^\[|\]$/g, '');
  const port = Number(digits);
  const isAddress = isIP(host) === (written.startsWith('[') ? 6 : 4);
  return isAddress && port >= 1 && port <= 65_535 ? { kind: 'tcp', host, port } : undefined;
}

export function isLoopback({ host }: TcpAddress): boolean {
  return host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}

export function formatMetricsAddress(address: MetricsAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
