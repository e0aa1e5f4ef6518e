/** Starts the node agent on a simulated node. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OUR_PLUGINS } from './cni.ts';
import { newScope } from './netns.ts';
import type { SimulatedNode } from './node.ts';
import { startDaemon, type Daemon } from './proc.ts';

export interface RunningAgent {
  readonly socket: string;
  /** The socket where the agent serves its metrics by default. */
  readonly metricsSocket: string;
  readonly daemon: Daemon;
  /** Environment for plugins that are to use this agent. */
  readonly env: { readonly CELLNET_AGENT: string };
  /** Returns the agent's log lines so far that have this message. */
  logged(message: string): Record<string, unknown>[];
  /** Sends SIGTERM. The agent answers the requests in progress and exits. */
  stop(): Promise<void>;
  /** Sends SIGKILL. */
  kill(): Promise<void>;
}

export interface AgentOptions {
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Simulates a reboot: the agent starts in a boot with this ID, and all earlier state belongs to
   * another boot.
   */
  readonly bootId?: string;
  /** Seconds since that boot began. Default: just now. */
  readonly bootedSecondsAgo?: number;
  /** The folder of the agent's program. Default: this tree's. */
  readonly plugins?: string;
}

/**
 * Runs the command in a mount namespace whose kernel files describe another boot. Mount propagation
 * is 'slave', so pod namespaces mounted later appear there too.
 */
const AFTER_REBOOT = `set -e
mount --bind "$1" /proc/sys/kernel/random/boot_id
mount --bind "$2" /proc/uptime
shift 2
exec "$@"`;

/**
 * Returns the command line that runs `command` as after a reboot of the node. `dir` holds the boot
 * ID and uptime files.
 */
export const afterReboot = async (
  dir: string,
  bootId: string,
  secondsAgo: number,
  command: readonly string[],
): Promise<string[]> => {
  const [idFile, uptimeFile] = [join(dir, 'boot_id'), join(dir, 'uptime')];
  await writeFile(idFile, `${bootId}\n`);
  await writeFile(uptimeFile, `${secondsAgo} ${secondsAgo}\n`);
  return [
    'unshare',
    '--mount',
    '--propagation',
    'slave',
    'sh',
    '-c',
    AFTER_REBOOT,
    'sh',
    idFile,
    uptimeFile,
    ...command,
  ];
};

/**
 * Starts the agent with the node's own environment, which a real node reads from its shared file.
 */
export const startAgent = async (
  node: SimulatedNode,
  at?: string,
  args: readonly string[] = [],
  { env: more, bootId, bootedSecondsAgo = 0.01, plugins = OUR_PLUGINS }: AgentOptions = {},
): Promise<RunningAgent> => {
  const scope = newScope();
  const dir = await scope.tempDir();
  const socket = at ?? join(dir, 'run', 'agent.sock');
  const env = { ...node.env, CELLNET_AGENT: socket, ...more };
  try {
    const command = [join(plugins, 'cellnetd'), '--socket', socket, ...args];
    const [program = '', ...words] =
      bootId === undefined ? command : await afterReboot(dir, bootId, bootedSecondsAgo, command);
    const daemon = await startDaemon(
      program,
      words,
      (each) => existsSync(socket) && each.output().includes('"ready"'),
      { env, netns: node.ns.name },
    );
    scope.defer(() => daemon.stop(35_000));
    return {
      socket,
      metricsSocket: join(dirname(socket), 'metrics.sock'),
      daemon,
      env: { CELLNET_AGENT: socket },
      logged: (message) =>
        daemon
          .output()
          .split('\n')
          .filter((line) => line.startsWith('{'))
          .map((line) => JSON.parse(line) as Record<string, unknown>)
          .filter(({ msg }) => msg === message),
      stop: () => scope.close(),
      kill: async () => {
        daemon.signal('SIGKILL');
        await daemon.ended;
      },
    };
  } catch (error) {
    await scope.close();
    throw error;
  }
};
