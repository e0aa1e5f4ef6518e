import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { digest, OPEN_ACCESS, tokenOf, type MetricsAccess } from '../../cni/agent/metrics-access.ts';
import { isLoopback } from '../../cni/agent/metrics-address.ts';
import { readRegularFile } from '../../ipam/files/regular-file.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { parseListenAddress, type ListenAddress } from '../check/metrics-listen.ts';
import { CommandError } from '../context/errors.ts';

export interface AccessOptions {
  readonly listen: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tokenFile?: string;
  readonly insecure?: boolean;
}

const USUAL_PORT = 9463;

/**
 * Returns where to listen. Beyond the loopback it takes TLS and a token, unless the operator says
 * otherwise.
 * @throws CommandError
 */
export function listenAddressOf(options: AccessOptions): ListenAddress {
  const { listen, tlsCert, tlsKey, tokenFile, insecure = false } = options;
  const address = parseListenAddress(listen, '--listen', USUAL_PORT);
  if (tlsCert !== undefined && tlsKey === undefined)
    throw new CommandError(`--tls-cert '${tlsCert}': expected --tls-key beside it`);
  if (tlsKey !== undefined && tlsCert === undefined)
    throw new CommandError(`--tls-key '${tlsKey}': expected --tls-cert beside it`);
  const isGuarded = tlsCert !== undefined && tokenFile !== undefined;
  if (isGuarded || insecure || isLoopback({ kind: 'tcp', ...address })) return address;
  throw new CommandError(
    `--listen '${listen}': beyond the loopback expected --tls-cert, --tls-key and --token-file`,
    'Add them; or --insecure, with which everybody who reaches the port, or the way to it, reads along.',
  );
}

/**
 * Reads the files of the options, as they are now.
 * @throws CommandError that names option and file
 */
export function readAccess({ tlsCert, tlsKey, tokenFile }: AccessOptions): MetricsAccess {
  const token = tokenFile === undefined ? undefined : digest(readToken(tokenFile));
  if (tlsCert === undefined || tlsKey === undefined) return { ...OPEN_ACCESS, token };
  const cert = read('--tls-cert', tlsCert);
  const tls = { minVersion: 'TLSv1.2', cert, key: read('--tls-key', tlsKey) } as const;
  try {
    createSecureContext(tls);
  } catch (error) {
    throw new CommandError(
      `--tls-cert '${tlsCert}', --tls-key '${tlsKey}': expected a certificate and its key in PEM: ${messageOf(error)}`,
    );
  }
  return { tls, asksForCertificate: false, token };
}

function readToken(file: string): string {
  const token = tokenOf(read('--token-file', file));
  if (token !== undefined) return token;
  throw new CommandError(`--token-file '${file}': expected a file with one token in UTF-8, without blanks`);
}

function read(option: string, file: string): Buffer {
  try {
    return readRegularFile(file);
  } catch (error) {
    throw new CommandError(`${option} '${file}': expected a file that can be read: ${messageOf(error)}`);
  }
}

/**
 * Returns whether a server without a token may answer a request with this header `Host`: a page of
 * a foreign name, which that name's owner leads to this address, must not read along in a browser.
 */
export function isHost(access: MetricsAccess, header: string | undefined): boolean {
  if (access.token) return true;
  const name = (header ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return isIP(name) !== 0 || name.toLowerCase() === 'localhost';
}
