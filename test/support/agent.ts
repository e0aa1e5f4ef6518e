/** The node agent on a simulated node. */
import { existsSync } from 'node:fs';
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

/** Started with the node's own environment, as on a real node by its shared file. */
export const startAgent = async (
  node: SimulatedNode,
  at?: string,
  args: readonly string[] = [],
): Promise<RunningAgent> => {
  const scope = newScope();
  const socket = at ?? join(await scope.tempDir(), 'run', 'agent.sock');
  const env = { ...node.env, CELLNET_AGENT: socket };
  try {
    const program = join(OUR_PLUGINS, 'cellnetd');
    const daemon = await startDaemon(
      program,
      ['--socket', socket, ...args],
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
