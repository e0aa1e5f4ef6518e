/**
 * A real etcd, private to the test. It listens on a free port of 127.0.0.1, or in a network
 * namespace on a given address.
 */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { newScope } from './netns.ts';
import { must, startDaemon, type Daemon } from './proc.ts';

export interface EtcdOptions {
  /** Holds data and certificates. Default: a temporary directory that stop() removes. */
  readonly dir?: string;
  /**
   * The network namespace to run in. etcd then listens on port 2379, and only programs inside reach
   * it.
   */
  readonly netns?: string;
  /** The address to listen on. Default: 127.0.0.1. */
  readonly ip?: string;
  /** Makes etcd serve TLS and demand client certificates of a CA made for the test. */
  readonly tls?: boolean;
  /** Enables authentication. This user may read and write every key. */
  readonly auth?: { readonly username: string; readonly password: string };
  /** Further arguments of etcd. */
  readonly args?: readonly string[];
}

export interface Etcd {
  readonly endpoints: string[];
  readonly pid: number;
  /** The client's files, set when `tls` is set. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /**
   * Runs etcdctl inside the namespace as the user of `auth`. Rejects when its status is not 0.
   * Equivalent to: etcdctl ARGS…
   */
  ctl(...args: string[]): Promise<string>;
  /** Returns the number of keys below a prefix. */
  count(prefix: string): Promise<number>;
  /** Returns the store's revision: each transaction that writes adds one. */
  revision(): Promise<number>;
  /** Sends SIGSTOP: etcd keeps its connections and answers nothing. */
  pause(): void;
  resume(): void;
  /** Sends SIGKILL and keeps the data. restart() starts etcd again. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Saves a snapshot to a file and returns its path. Equivalent to: etcdctl snapshot save FILE */
  snapshot(): Promise<string>;
  /**
   * Restores the snapshot in place of the data, as an operator does, and starts etcd again. The
   * cluster keeps its name and addresses, so that etcd gives it the same cluster ID again.
   * Equivalent to: etcdctl snapshot restore FILE --data-dir DIR …
   */
  restore(snapshot: string): Promise<void>;
  stop(): Promise<void>;
}

const freePort = (ip: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, ip, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });

interface Certificates {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly serverArgs: string[];
}

/**
 * Makes a CA, a server certificate for `ip` and a client certificate: P-256 keys, valid for one
 * day.
 */
const makeCertificates = async (dir: string, ip: string): Promise<Certificates> => {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  const file = (name: string): string => join(dir, name);
  const issue = async (name: string, extension: string): Promise<void> => {
    await writeFile(file(`${name}.ext`), extension);
    await must('openssl', [
      'req',
      ...key,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.csr`),
      '-subj',
      `/CN=${name}`,
    ]);
    const by = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '1'];
    await must('openssl', [
      'x509',
      '-req',
      '-in',
      file(`${name}.csr`),
      ...by,
      '-out',
      file(`${name}.crt`),
      '-extfile',
      file(`${name}.ext`),
    ]);
    await chmod(file(`${name}.key`), 0o600);
  };
  await must('openssl', [
    'req',
    '-x509',
    ...key,
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.crt'),
    '-subj',
    '/CN=cellnet test CA',
  ]);
  await issue('server', `subjectAltName=IP:${ip}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  await issue('client', 'extendedKeyUsage=clientAuth\n');
  const server = ['--cert-file', file('server.crt'), '--key-file', file('server.key')];
  const trust = ['--client-cert-auth', '--trusted-ca-file', file('ca.crt')];
  return {
    caFile: file('ca.crt'),
    certFile: file('client.crt'),
    keyFile: file('client.key'),
    serverArgs: [...server, ...trust],
  };
};

/**
 * Environment variable that names the folder for etcd's data. The test runner sets one in memory,
 * so that a disk that syncs slowly fails no test. Benchmarks write to the disk.
 */
export const ETCD_FOLDER = 'CELLNET_TEST_ETCD_FOLDER';

/**
 * Starts etcd and resolves once it answers. Rejects with ProcError (etcd's log in the message) when
 * it does not answer within 15 s.
 */
export const startEtcd = async (options: EtcdOptions = {}): Promise<Etcd> => {
  const { netns, ip = '127.0.0.1', auth } = options;
  const scope = newScope();
  const dir = options.dir ?? (await scope.tempDir(process.env[ETCD_FOLDER]));
  await mkdir(dir, { recursive: true });
  const certificates = options.tls === true ? await makeCertificates(dir, ip) : undefined;
  const [port, peerPort] = netns === undefined ? [await freePort(ip), await freePort(ip)] : [2379, 2380];
  const endpoint = `${certificates ? 'https' : 'http'}://${ip}:${port}`;
  const peer = `http://${ip}:${peerPort}`;
  const args = [
    ...['--name', 'test', '--data-dir', join(dir, 'data'), '--initial-cluster', `test=${peer}`],
    ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...(certificates?.serverArgs ?? []),
    ...(options.args ?? []),
  ];
  const client = certificates
    ? ['--cacert', certificates.caFile, '--cert', certificates.certFile, '--key', certificates.keyFile]
    : [];
  const inside = { ...(netns === undefined ? {} : { netns }), env: { ETCDCTL_API: '3' } };
  let user: string[] = [];
  let snapshots = 0;
  const ctl = (...words: string[]): Promise<string> =>
    must('etcdctl', ['--endpoints', endpoint, '--dial-timeout', '5s', ...client, ...user, ...words], inside);

  const start = async (): Promise<Daemon> => {
    const daemon = await startDaemon(
      'etcd',
      args,
      (it) => it.output().includes('ready to serve client requests'),
      inside,
    );
    await ctl('endpoint', 'health');
    return daemon;
  };
  let daemon: Daemon;
  try {
    daemon = await start();
    scope.defer(() => daemon.stop());
    if (auth) {
      await enableAuth(ctl, auth);
      user = ['--user', `${auth.username}:${auth.password}`];
    }
  } catch (error) {
    await scope.close();
    throw error;
  }
  return {
    endpoints: [endpoint],
    get pid() {
      return daemon.pid;
    },
    ...(certificates && {
      caFile: certificates.caFile,
      certFile: certificates.certFile,
      keyFile: certificates.keyFile,
    }),
    ctl,
    count: async (prefix) => {
      const answer: unknown = JSON.parse(await ctl('get', '--prefix', prefix, '--keys-only', '-w', 'json'));
      return typeof answer === 'object' && answer !== null && 'count' in answer ? Number(answer.count) : 0;
    },
    revision: async () => {
      const { header } = JSON.parse(await ctl('get', 'any', '-w', 'json')) as {
        header: { revision: number };
      };
      return header.revision;
    },
    pause: () => daemon.pause(),
    resume: () => daemon.signal('SIGCONT'),
    kill: () => daemon.stop(0),
    restart: async () => {
      await daemon.stop();
      daemon = await start();
    },
    snapshot: async () => {
      const file = join(dir, `${snapshots++}.snapshot`);
      await ctl('snapshot', 'save', file);
      return file;
    },
    restore: async (file) => {
      await daemon.stop();
      await rm(join(dir, 'data'), { recursive: true });
      await must(
        'etcdctl',
        [
          ...['snapshot', 'restore', file, '--data-dir', join(dir, 'data'), '--name', 'test'],
          ...['--initial-cluster', `test=${peer}`, '--initial-advertise-peer-urls', peer],
        ],
        inside,
      );
      daemon = await start();
    },
    stop: () => scope.close(),
  };
};

const enableAuth = async (
  ctl: Etcd['ctl'],
  { username, password }: { username: string; password: string },
): Promise<void> => {
  await ctl('user', 'add', `root:${password}`);
  await ctl('user', 'grant-role', 'root', 'root');
  if (username !== 'root') {
    await ctl('role', 'add', 'cellnet');
    await ctl('role', 'grant-permission', 'cellnet', '--prefix=true', 'readwrite', '');
    await ctl('user', 'add', `${username}:${password}`);
    await ctl('user', 'grant-role', username, 'cellnet');
  }
  await ctl('auth', 'enable');
};
