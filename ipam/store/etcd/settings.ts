import { readRegularFile } from '../../files/regular-file.ts';
import { invalid, IpamError, messageOf } from '../../model/errors.ts';
import { DEFAULT_ENDPOINTS, DEFAULT_PREFIX, type PartialEtcd } from '../../settings/settings.ts';

/** How to reach etcd: `ipam.etcd` of the network configuration, `etcd` of the shared file. */
export interface EtcdSettings {
  /** `http://HOST:PORT` or `https://HOST:PORT`, all of one scheme; tried in random order. */
  readonly endpoints: readonly string[];
  /** The part of every key before `/v1/`. */
  readonly prefix: string;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
}

/** Returns the settings with defaults: an endpoint on this host, prefix `/cellnet`. */
export function etcdSettings(partial: PartialEtcd | undefined): EtcdSettings {
  return {
    ...partial,
    endpoints: partial?.endpoints ?? DEFAULT_ENDPOINTS,
    prefix: partial?.prefix ?? DEFAULT_PREFIX,
  };
}

/** The contents of the files that the settings name, as etcd3 needs them. */
export interface EtcdCredentials {
  readonly tls?: { rootCertificate: Buffer; certChain?: Buffer; privateKey?: Buffer };
  readonly auth?: { username: string; password: string };
}

const ENDPOINT = /^https?:\/\/(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([1-9]\d{0,4})$/;

/** @throws IpamError `invalid`, naming the key and the value */
export function checkEtcdSettings(settings: EtcdSettings): void {
  const { endpoints, prefix } = settings;
  if (endpoints.length === 0)
    throw invalid("etcd.endpoints is empty: expected at least one 'http://HOST:PORT'");
  for (const endpoint of endpoints) {
    if (!ENDPOINT.test(endpoint) || Number(endpoint.slice(endpoint.lastIndexOf(':') + 1)) > 65535) {
      throw invalid(
        `etcd.endpoints: '${endpoint}' is no endpoint: expected 'http://HOST:PORT' or 'https://HOST:PORT'`,
      );
    }
  }
  const secure = endpoints.filter((endpoint) => endpoint.startsWith('https:')).length;
  if (secure > 0 && secure < endpoints.length) {
    throw invalid('etcd.endpoints mixes http and https: expected one scheme for all');
  }
  if (!/^(\/[A-Za-z0-9_.-]+)+$/.test(prefix)) {
    throw invalid(
      `etcd.prefix '${prefix}': expected the form '/cellnet', of letters, digits, '_', '.', '-' and '/'`,
    );
  }
  checkPairs(settings, secure > 0);
}

function checkPairs(settings: EtcdSettings, secure: boolean): void {
  const has = (key: 'caFile' | 'certFile' | 'keyFile' | 'username' | 'passwordFile'): boolean =>
    settings[key] !== undefined;
  const together = (a: Parameters<typeof has>[0], b: Parameters<typeof has>[0]): void => {
    if (has(a) && !has(b)) throw invalid(`etcd.${a} is given without etcd.${b}: expected both`);
  };
  together('certFile', 'keyFile');
  together('keyFile', 'certFile');
  together('certFile', 'caFile');
  together('username', 'passwordFile');
  together('passwordFile', 'username');
  if (has('caFile') && !secure)
    throw invalid('etcd.caFile is given, but the endpoints are http: expected https');
}

/** @throws IpamError `invalid` if a file cannot be read */
export function readEtcdCredentials(settings: EtcdSettings): EtcdCredentials {
  const read = (key: 'caFile' | 'certFile' | 'keyFile' | 'passwordFile', path: string): Buffer => {
    try {
      return readRegularFile(path);
    } catch (cause) {
      const reason = messageOf(cause);
      throw new IpamError('invalid', `etcd.${key} '${path}' cannot be read: ${reason}`, { cause });
    }
  };
  const { caFile, certFile, keyFile, username, passwordFile } = settings;
  return {
    ...(caFile !== undefined && {
      tls: {
        rootCertificate: read('caFile', caFile),
        ...(certFile !== undefined && { certChain: read('certFile', certFile) }),
        ...(keyFile !== undefined && { privateKey: read('keyFile', keyFile) }),
      },
    }),
    ...(username !== undefined &&
      passwordFile !== undefined && {
        auth: {
          username,
          password: read('passwordFile', passwordFile)
            .toString('utf8')
            .replace(/\r?\n$/, ''),
        },
      }),
  };
}
