import { shorten } from '../../ipam/records/decode.ts';
import type { PartialMetrics } from '../../ipam/settings/settings.ts';
import { isLoopback, parseTcpAddress, type TcpAddress } from './metrics-address.ts';

/** A port for metrics that others than this node may reach, and who may ask there. */
export interface MetricsPortSettings {
  readonly address: TcpAddress;
  /** Undefined: plain HTTP. */
  readonly tls:
    | {
        readonly certFile: string;
        readonly keyFile: string;
        /** Only clients with a certificate of this CA may ask. */
        readonly clientCaFile?: string;
      }
    | undefined;
  /** Only clients that send the content of this file as a bearer token may ask. */
  readonly tokenFile?: string;
}

/**
 * Returns undefined where no port is asked for.
 * @throws Error that names the key, its value, and what was expected
 */
export function metricsPortSettings({
  listen,
  certFile,
  keyFile,
  clientCaFile,
  tokenFile,
  plainHttp = false,
}: PartialMetrics): MetricsPortSettings | undefined {
  if (listen === undefined || listen === 'off') return undefined;
  const address = parseTcpAddress(listen);
  if (!address)
    throw wrong('listen', listen, 'an IP address and a port, such as 0.0.0.0:9464 or [::]:9464, or off');
  const token = tokenFile === undefined ? {} : { tokenFile };
  if (certFile === undefined && keyFile === undefined) {
    if (clientCaFile !== undefined)
      throw wrong('clientCaFile', clientCaFile, "'metrics.certFile' and 'metrics.keyFile' beside it");
    if (!plainHttp && !isLoopback(address))
      throw wrong(
        'listen',
        listen,
        "'metrics.certFile' and 'metrics.keyFile' for TLS, or \"plainHttp\": true, with which everybody on the way reads along",
      );
    return { address, tls: undefined, ...token };
  }
  if (keyFile === undefined) throw wrong('certFile', certFile, "'metrics.keyFile' beside it");
  if (certFile === undefined) throw wrong('keyFile', keyFile, "'metrics.certFile' beside it");
  if (plainHttp) throw wrong('plainHttp', plainHttp, "false beside 'metrics.certFile'");
  return {
    address,
    tls: { certFile, keyFile, ...(clientCaFile !== undefined && { clientCaFile }) },
    ...token,
  };
}

/** Returns the error for a key of `metrics` that is not as expected. */
export const wrong = (key: string, value: unknown, expected: string): Error =>
  new Error(`key 'metrics.${key}' is ${shorten(value)}: expected ${expected}`);
