/**
 * A real etcd of one member or several, private to the test. It listens on free ports of 127.0.0.1,
 * or in a network namespace on a given address.
 */
import { mkdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { makeCertificates } from './etcd-tls.ts';
import { newScope } from './netns.ts';
import { must, startDaemon, type Daemon } from './proc.ts';

export interface EtcdOptions {
  /** Holds data and certificates. Default: a temporary directory that stop() removes. */
  readonly dir?: string;
  /**
   * The network namespace to run in. etcd then listens on port 2379, its other members on 2381,
   * 2383, …, and only programs inside reach it.
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
  /** The number of members. Default: 1. */
  readonly members?: number;
}

/** One member of an etcd cluster. */
export interface EtcdMember {
  readonly endpoint: string;
  readonly pid: number;
  /** Sends SIGSTOP: the member keeps its connections and answers nothing. */
  pause(): void;
  resume(): void;
  /** Sends SIGKILL and keeps the data. */
  kill(): Promise<void>;
  /** Starts the member after `kill`, with its data. Resolves once it serves requests. */
  start(): Promise<void>;
}

export interface Etcd {
  readonly endpoints: string[];
  readonly members: readonly EtcdMember[];
  /** The first member's. */
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
  /** Returns the member that leads. Rejects when none does. */
  leader(): Promise<EtcdMember>;
  /** Stops every member as {@link EtcdMember.pause} does. */
  pause(): void;
  resume(): void;
  /** Sends SIGKILL to every member and keeps the data. restart() starts etcd again. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Starts etcd again without its data, as when all disks were lost. */
  empty(): Promise<void>;
  /** Saves a snapshot to a file and returns its path. Equivalent to: etcdctl snapshot save FILE */
  snapshot(): Promise<string>;
  /**
   * Restores the snapshot in place of the data, as an operator does, and starts etcd again. The
   * cluster keeps its name and addresses, so that etcd gives it the same cluster ID again.
   * Equivalent to: etcdctl snapshot restore FILE --data-dir DIR …
   */
  restore(snapshot: string): Promise<void>;
  /**
   * Starts a member that follows and serves no request.
   * Equivalent to: etcdctl member add learner --learner
   */
  addLearner(): Promise<{ readonly endpoint: string; stop(): Promise<unknown> }>;
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

/**
 * Environment variable that names the folder for etcd's data. The test runner sets one in memory,
 * so that a disk that syncs slowly fails no test. Benchmarks write to the disk.
 */
export const ETCD_FOLDER = 'CELLNET_TEST_ETCD_FOLDER';

/** Returns the ports of one member: for its clients, for the other members. */
const portsOf = async (netns: string | undefined, ip: string, index: number): Promise<[number, number]> =>
  netns === undefined ? [await freePort(ip), await freePort(ip)] : [2379 + 2 * index, 2380 + 2 * index];

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
  const places: { name: string; data: string; endpoint: string; peer: string }[] = [];
  for (let index = 0; index < (options.members ?? 1); index++) {
    const [port, peerPort] = await portsOf(netns, ip, index);
    const suffix = index === 0 ? '' : `-${index + 1}`;
    const endpoint = `${certificates ? 'https' : 'http'}://${ip}:${port}`;
    const peer = `http://${ip}:${peerPort}`;
    places.push({ name: `test${suffix}`, data: join(dir, `data${suffix}`), endpoint, peer });
  }
  const initial = places.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const endpoints = places.map(({ endpoint }) => endpoint);
  const client = certificates
    ? ['--cacert', certificates.caFile, '--cert', certificates.certFile, '--key', certificates.keyFile]
    : [];
  const inside = { ...(netns === undefined ? {} : { netns }), env: { ETCDCTL_API: '3' } };
  let user: string[] = [];
  let snapshots = 0;
  const ctlAt = (at: readonly string[], words: readonly string[]): Promise<string> =>
    must(
      'etcdctl',
      ['--endpoints', at.join(','), '--dial-timeout', '5s', ...client, ...user, ...words],
      inside,
    );
  const ctl = (...words: string[]): Promise<string> => ctlAt(endpoints, words);

  const daemons: Daemon[] = [];
  const startAt = async (index: number): Promise<void> => {
    const { name, data, endpoint, peer } = places[index] as (typeof places)[number];
    const args = [
      ...['--name', name, '--data-dir', data, '--initial-cluster', initial],
      ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      // Checking a password takes 70 ms of a processor with the usual cost, of which passwords of
      // tests need nothing.
      ...['--bcrypt-cost', '4'],
      ...(certificates?.serverArgs ?? []),
      ...(options.args ?? []),
    ];
    const isReady = (it: Daemon): boolean => it.output().includes('ready to serve client requests');
    daemons[index] = await startDaemon('etcd', args, isReady, inside);
  };
  const start = async (): Promise<void> => {
    // A member of several is ready only with the others.
    await Promise.all(places.map((_, index) => startAt(index)));
    await ctl('endpoint', 'health');
  };
  const stop = async (): Promise<void> => {
    await Promise.all(daemons.map((daemon) => daemon.stop()));
  };
  const removeData = (): Promise<unknown> =>
    Promise.all(places.map(({ data }) => rm(data, { recursive: true })));
  const members = places.map(({ endpoint }, index): EtcdMember => ({
    endpoint,
    get pid() {
      return daemons[index]?.pid ?? 0;
    },
    pause: () => daemons[index]?.pause(),
    resume: () => daemons[index]?.signal('SIGCONT'),
    kill: async () => daemons[index]?.stop(0),
    start: () => startAt(index),
  }));
  scope.defer(stop);
  try {
    await start();
    if (auth) {
      await enableAuth(ctl, auth);
      user = ['--user', `${auth.username}:${auth.password}`];
    }
  } catch (error) {
    await scope.close();
    throw error;
  }
  return {
    endpoints,
    members,
    get pid() {
      return daemons[0]?.pid ?? 0;
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
    leader: async () => {
      // Member IDs have 64 bits: JSON.parse would round them, equal ones equally.
      const told = JSON.parse(await ctl('endpoint', 'status', '-w', 'json')) as {
        Endpoint: string;
        Status: { header: { member_id: number }; leader: number };
      }[];
      const leading = told.find(({ Status: { header, leader } }) => header.member_id === leader);
      const member = members.find(({ endpoint }) => endpoint === leading?.Endpoint);
      if (!member) throw new Error(`no member of etcd leads: ${JSON.stringify(told)}`);
      return member;
    },
    pause: () => members.forEach((member) => member.pause()),
    resume: () => members.forEach((member) => member.resume()),
    kill: async () => {
      await Promise.all(members.map((member) => member.kill()));
    },
    restart: async () => {
      await stop();
      await start();
    },
    empty: async () => {
      await stop();
      await removeData();
      await start();
    },
    snapshot: async () => {
      const file = join(dir, `${snapshots++}.snapshot`);
      await ctlAt(endpoints.slice(0, 1), ['snapshot', 'save', file]);
      return file;
    },
    restore: async (file) => {
      await stop();
      await removeData();
      for (const { name, data, peer } of places)
        await must(
          'etcdctl',
          [
            ...['snapshot', 'restore', file, '--data-dir', data, '--name', name],
            ...['--initial-cluster', initial, '--initial-advertise-peer-urls', peer],
          ],
          inside,
        );
      await start();
    },
    addLearner: async () => {
      const name = 'learner';
      const [port, peerPort] = await portsOf(netns, ip, places.length);
      const [endpoint, peer] = [`http://${ip}:${port}`, `http://${ip}:${peerPort}`];
      await ctl('member', 'add', name, '--learner', '--peer-urls', peer);
      const args = [
        ...['--name', name, '--data-dir', join(dir, `data-${name}`)],
        ...['--initial-cluster', `${initial},${name}=${peer}`, '--initial-cluster-state', 'existing'],
        ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        // Checking a password takes 70 ms of a processor with the usual cost, of which passwords of
        // tests need nothing.
        ...['--bcrypt-cost', '4'],
      ];
      const isReady = (it: Daemon): boolean => it.output().includes('ready to serve client requests');
      const daemon = await startDaemon('etcd', args, isReady, inside);
      return { endpoint, stop: () => daemon.stop() };
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
