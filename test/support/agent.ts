/** The node agent on a simulated node. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OUR_PLUGINS } from './cni.ts';
import { newScope } from './netns.ts';
import type { SimulatedNode } from './node.ts';
import { startDaemon, type Daemon } from './proc.ts';

export interface RunningAgent {
  readonly socket: string;
  /** Where it serves its metrics by default. */
  readonly metricsSocket: string;
  readonly daemon: Daemon;
  /** For plugins that are to use it. */
  readonly env: { readonly CELLNET_AGENT: string };
  /** Its log lines so far that have this message. */
  logged(message: string): Record<string, unknown>[];
  /** SIGTERM: it answers what is under way. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export interface AgentOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** ID of a boot of the node that begins now: everything before was another. */
  readonly bootId?: string;
  /** When it began; default: just now. */
  readonly bootedSecondsAgo?: number;
}

/** In a mount namespace of its own, where the kernel's files tell of another boot; pods' namespaces come to be seen there. */
const AFTER_REBOOT = `set -e
mount --bind "$1" /proc/sys/kernel/random/boot_id
mount --bind "$2" /proc/uptime
shift 2
exec "$@"`;

/** The command as it runs after a reboot of the node: `dir` keeps what it is told of the boot. */
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

/** Started with the node's own environment, as on a real node by its shared file. */
export const startAgent = async (
  node: SimulatedNode,
  at?: string,
  args: readonly string[] = [],
  { env: more, bootId, bootedSecondsAgo = 0.01 }: AgentOptions = {},
): Promise<RunningAgent> => {
  const scope = newScope();
  const dir = await scope.tempDir();
  const socket = at ?? join(dir, 'run', 'agent.sock');
  const env = { ...node.env, CELLNET_AGENT: socket, ...more };
  try {
    const command = [join(OUR_PLUGINS, 'cellnetd'), '--socket', socket, ...args];
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
