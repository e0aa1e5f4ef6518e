import { isIP } from 'node:net';
import tls from 'node:tls';

let isDone = false;

/**
 * Keeps addresses out of the names of TLS servers (RFC 6066 section 3 forbids them there). gRPC
 * names the host of every endpoint, also where it is an address: Node until 24 warns of that
 * (DEP0123), and Node 26 refuses the connection. Without a name Node holds the server's certificate
 * to the host, which gRPC passes too.
 */
export function omitIpNames(): void {
  if (isDone) return;
  isDone = true;
  const connect = tls.connect.bind(tls) as (
    options: tls.ConnectionOptions,
    ...more: unknown[]
  ) => tls.TLSSocket;
  Object.assign(tls, {
    connect: (options: tls.ConnectionOptions, ...more: unknown[]) => connect(withoutIpName(options), ...more),
  });
}

/** `tls.connect` may also be called with a port or a path first. */
export function withoutIpName(options: tls.ConnectionOptions): tls.ConnectionOptions {
  const name = typeof options === 'object' ? (options.servername ?? '') : '';
  return isIP(name) === 0 ? options : { ...options, host: options.host ?? name, servername: '' };
}
