import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { readRegularFile } from '../../ipam/files/regular-file.ts';
import { hasCode, messageOf } from '../../ipam/model/errors.ts';
import { isSocketPath, SOCKET_PATH_FORM } from '../../ipam/settings/socket-path.ts';
import { OvsdbError } from './errors.ts';

/** Files for an `ssl:` remote. Open vSwitch verifies the certificates of both ends. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Returns all three files, or undefined if one is missing. */
export function tlsFiles(some: {
  readonly [K in keyof TlsFiles]?: string | undefined;
}): TlsFiles | undefined {
  const { caFile, certFile, keyFile } = some;
  if (caFile === undefined || certFile === undefined || keyFile === undefined) return undefined;
  return { caFile, certFile, keyFile };
}

export interface Remote {
  readonly kind: 'unix' | 'tcp' | 'ssl';
  readonly path: string;
  readonly host: string;
  readonly port: number;
}

const NETWORK = /^(tcp|ssl):(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/;

/**
 * Parses `unix:/path`, `tcp:host:port` or `ssl:host:port`, as in ovsdb(7) "Active OVSDB
 * Connections".
 * @throws OvsdbError `protocol` for any other form
 */
export function parseRemote(text: string): Remote {
  if (text.startsWith('unix:/')) return unixRemote(text.slice('unix:'.length));
  const [, kind, ipv6, host, port] = NETWORK.exec(text) ?? [];
  if ((kind === 'tcp' || kind === 'ssl') && Number(port) <= 65535) {
    return { kind, path: '', host: ipv6 ?? host ?? '', port: Number(port) };
  }
  throw new OvsdbError(
    'protocol',
    `ovsdb '${text}': expected 'unix:/PATH', 'tcp:HOST:PORT' or 'ssl:HOST:PORT'`,
  );
}

function unixRemote(path: string): Remote {
  if (isSocketPath(path)) return { kind: 'unix', path, host: '', port: 0 };
  const length = Buffer.byteLength(path);
  throw new OvsdbError('protocol', `ovsdb 'unix:${path}' has ${length} bytes: expected ${SOCKET_PATH_FORM}`);
}

/**
 * Connects a socket to the remote.
 * @throws OvsdbError `unreachable`; `timeout` without a connection within the deadline; `protocol`
 *   for a malformed remote, or for `ssl:` without its files; the error of `readRegularFile` when
 *   one of those files cannot be read
 */
export function openRemote(text: string, deadlineMs: number, tls?: TlsFiles): Promise<Socket> {
  const remote = parseRemote(text);
  return new Promise((resolve, reject) => {
    const socket = dial(text, remote, tls);
    const fail = (code: 'unreachable' | 'timeout', reason: string, cause?: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(
        new OvsdbError(code, `Open vSwitch's database at ${text} is unreachable: ${reason}`, {
          cause,
          remedy: hasCode(cause, 'EACCES', 'EPERM') ? DENIED : AWAY,
        }),
      );
    };
    const timer = setTimeout(() => fail('timeout', `no connection within ${deadlineMs} ms`), deadlineMs);
    socket.once('error', (error) => fail('unreachable', messageOf(error), error));
    socket.once(remote.kind === 'ssl' ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

const AWAY = 'Check that ovsdb-server runs (systemctl status openvswitch-switch), and the key `ovsdb`.';
const DENIED = 'Run it as root: the socket is for root only. As root, look at SELinux and AppArmor.';

function dial(text: string, remote: Remote, tls?: TlsFiles): Socket {
  const { host, port } = remote;
  if (remote.kind === 'unix') return connectPlain(remote.path);
  if (remote.kind === 'tcp') return connectPlain({ host, port, noDelay: true });
  if (!tls)
    throw new OvsdbError(
      'protocol',
      `ovsdb '${text}' needs a certificate, a key and a CA: expected all three files`,
    );
  const [ca, cert, key] = [tls.caFile, tls.certFile, tls.keyFile].map((file) => readRegularFile(file));
  // Certificates of Open vSwitch's PKI (ovs-pki) carry no host name. Like Open vSwitch's own
  // programs, the client trusts every certificate that the CA signed.
  return connectTls({ host, port, ca, cert, key, checkServerIdentity: () => undefined });
}
