import { isUtf8 } from 'node:buffer';
import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { readRegularFile } from '../../ipam/files/regular-file.ts';
import { messageOf } from '../../ipam/model/errors.ts';
import { wrong, type MetricsPortSettings } from './metrics-port-settings.ts';

/** How a metrics port identifies itself, and what it asks of its clients, by the files' content. */
export interface MetricsAccess {
  /** Undefined: plain HTTP. */
  readonly tls: SecureContextOptions | undefined;
  /** Whether a client must have a certificate of `tls.ca`. */
  readonly asksForCertificate: boolean;
  /** Digest of the token that a client must send. Undefined: none. */
  readonly token: Buffer | undefined;
}

/** For a socket that the file system protects, and a port of the loopback. */
export const OPEN_ACCESS: MetricsAccess = { tls: undefined, asksForCertificate: false, token: undefined };

/** @throws Error that names the key and the file that is not as expected */
export function readAccess({ tls, tokenFile }: MetricsPortSettings): MetricsAccess {
  const token = tokenFile === undefined ? undefined : digest(readToken(tokenFile));
  if (!tls) return { ...OPEN_ACCESS, token };
  const { certFile, keyFile, clientCaFile } = tls;
  const ca = clientCaFile === undefined ? undefined : readCertificates('clientCaFile', clientCaFile);
  const options: SecureContextOptions = {
    minVersion: 'TLSv1.2',
    cert: readCertificates('certFile', certFile),
    key: read('keyFile', keyFile),
    ...(ca && { ca }),
  };
  try {
    createSecureContext(options);
  } catch (error) {
    throw wrong('keyFile', keyFile, `the key in PEM of the certificate ${certFile}: ${messageOf(error)}`);
  }
  return { tls: options, asksForCertificate: ca !== undefined, token };
}

/** Whether a request with this `Authorization` header may be answered. */
export function isAuthorized({ token }: MetricsAccess, header: string | undefined): boolean {
  if (!token) return true;
  const [, sent] = /^Bearer +([^ ]+) *$/i.exec(header ?? '') ?? [];
  // Node gives each byte of a header as a character; clients such as curl send UTF-8.
  return sent !== undefined && isDigestOf(token, Buffer.from(sent, 'latin1'));
}

/** Whether a text is the token. */
export const isToken = ({ token }: MetricsAccess, text: string): boolean => !token || isDigestOf(token, text);

const isDigestOf = (token: Buffer, text: string | Buffer): boolean => timingSafeEqual(digest(text), token);

/** Digests have one length, so that comparing them tells nothing about the token's. */
export const digest = (text: string | Buffer): Buffer => createHash('sha256').update(text).digest();

/** Returns the token of a file; undefined unless the file holds one token in UTF-8, and no more. */
export function tokenOf(content: Buffer): string | undefined {
  const token = content.toString('utf8').trim();
  return /^\S+$/.test(token) && isUtf8(content) ? token : undefined;
}

function readToken(file: string): string {
  const token = tokenOf(read('tokenFile', file));
  if (token !== undefined) return token;
  throw wrong('tokenFile', file, 'a file with one token in UTF-8, without blanks');
}

/** A CA file without a certificate would refuse every client without a word. */
function readCertificates(key: string, file: string): Buffer {
  const pem = read(key, file);
  try {
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    throw wrong(key, file, `certificates in PEM: ${messageOf(error)}`);
  }
}

function read(key: string, file: string): Buffer {
  try {
    return readRegularFile(file);
  } catch (error) {
    throw wrong(key, file, `a file that can be read: ${messageOf(error)}`);
  }
}
