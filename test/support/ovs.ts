/**
 * A private Open vSwitch: ovsdb-server and ovs-vswitchd keep every file in one folder and run in a
 * given network namespace or in the current one. Several instances can run side by side. No kernel
 * module is needed, because bridges use datapath_type=netdev.
 */
import { mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { must, startDaemon, type Daemon } from './proc.ts';

export interface Ovs {
  readonly socket: string;
  /** `unix:SOCKET`. */
  readonly remote: string;
  vsctl(...args: string[]): Promise<string>;
  /** Calls the running ovs-vswitchd. Equivalent to: ovs-appctl ARGS… */
  appctl(...args: string[]): Promise<string>;
  /** Calls a bridge. Equivalent to: ovs-ofctl ARGS… */
  ofctl(...args: string[]): Promise<string>;
  /** Stops ovs-vswitchd with SIGSTOP: it keeps its sockets and answers nothing. */
  pauseVswitchd(): void;
  resumeVswitchd(): void;
  /** Stops the database server with SIGSTOP: it takes connections, and answers no request. */
  pauseDatabase(): void;
  resumeDatabase(): void;
  /**
   * Kills the database server with SIGKILL. `startDatabase` starts it again with its old content.
   */
  killDatabase(): Promise<void>;
  startDatabase(): Promise<void>;
  /** Stops the database server with SIGTERM and starts it again with its old content. */
  restartDatabase(): Promise<void>;
  /** Kills ovs-vswitchd with SIGKILL: with the userspace datapath nothing is forwarded any more. */
  killVswitchd(): Promise<void>;
  startVswitchd(): Promise<void>;
  restartVswitchd(): Promise<void>;
  stop(): Promise<void>;
}

export interface OvsOptions {
  readonly netns?: string | undefined;
  /** An absolute path. `startOvs` creates the folder if it is absent; `stop` removes it. */
  readonly dir: string;
  /** Further remotes of the database, such as `ptcp:6640:127.0.0.1`. */
  readonly remotes?: readonly string[];
  /** Further arguments of ovsdb-server, such as those for TLS. */
  readonly databaseArgs?: readonly string[];
}

/** The priority at which Open vSwitch's own `ovs-ctl` starts its daemons. */
const AS_A_SERVICE = ['-n', '-10'];

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

/** A socket is there a moment before its daemon listens: until then it refuses. */
const listens = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    const end = (isListening: boolean): void => {
      socket.destroy();
      resolve(isListening);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });

export const startOvs = async ({ netns, dir, remotes = [], databaseArgs = [] }: OvsOptions): Promise<Ovs> => {
  await mkdir(dir, { recursive: true });
  const file = (name: string): string => join(dir, name);
  const [socket, databaseCtl, vswitchdCtl] = [
    file('db.sock'),
    file('ovsdb-server.ctl'),
    file('ovs-vswitchd.ctl'),
  ];
  const remote = `unix:${socket}`;
  const env = { OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir, OVS_SYSCONFDIR: dir };
  const options = { env, ...(netns !== undefined && { netns }) };
  const vsctl = (...args: string[]): Promise<string> =>
    must('ovs-vsctl', [`--db=${remote}`, '--timeout=15', ...args], { env });

  const startDatabase = async (): Promise<Daemon> => {
    await rm(socket, { force: true });
    const listen = [`punix:${socket}`, ...remotes].map((each) => `--remote=${each}`);
    const args = [file('conf.db'), ...listen, `--unixctl=${databaseCtl}`, '--no-chdir', ...databaseArgs];
    return startDaemon('nice', [...AS_A_SERVICE, 'ovsdb-server', ...args], () => listens(socket), options);
  };
  const startVswitchd = async (): Promise<Daemon> => {
    await rm(vswitchdCtl, { force: true });
    const args = [remote, `--unixctl=${vswitchdCtl}`, '--no-chdir', `--log-file=${file('ovs-vswitchd.log')}`];
    return startDaemon(
      'nice',
      [...AS_A_SERVICE, 'ovs-vswitchd', ...args],
      () => listens(vswitchdCtl),
      options,
    );
  };

  const daemons: { database?: Daemon; vswitchd?: Daemon } = {};
  const stop = async (): Promise<void> => {
    await daemons.vswitchd?.stop();
    await daemons.database?.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await must('ovsdb-tool', ['create', file('conf.db'), SCHEMA]);
    daemons.database = await startDatabase();
    await vsctl('--no-wait', 'init');
    daemons.vswitchd = await startVswitchd();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    socket,
    remote,
    vsctl,
    appctl: (...args) => must('ovs-appctl', ['-t', vswitchdCtl, '-T', '10', ...args], { env }),
    ofctl: (...args) => must('ovs-ofctl', args, { env }),
    pauseVswitchd: () => daemons.vswitchd?.pause(),
    resumeVswitchd: () => daemons.vswitchd?.signal('SIGCONT'),
    pauseDatabase: () => daemons.database?.pause(),
    resumeDatabase: () => daemons.database?.signal('SIGCONT'),
    killDatabase: async () => {
      daemons.database?.signal('SIGKILL');
      await daemons.database?.ended;
    },
    startDatabase: async () => {
      daemons.database = await startDatabase();
    },
    restartDatabase: async () => {
      await daemons.database?.stop();
      daemons.database = await startDatabase();
    },
    killVswitchd: async () => {
      daemons.vswitchd?.signal('SIGKILL');
      await daemons.vswitchd?.ended;
    },
    startVswitchd: async () => {
      daemons.vswitchd = await startVswitchd();
    },
    restartVswitchd: async () => {
      await daemons.vswitchd?.stop();
      daemons.vswitchd = await startVswitchd();
    },
    stop,
  };
};
