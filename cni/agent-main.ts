import { parseArgs } from 'node:util';
import { DEFAULT_AGENT, parseSharedConfig } from '../ipam/settings.ts';
import { Agent } from './agent/agent.ts';
import { AgentServer } from './agent/server.ts';
import { WarmParts } from './agent/warm-parts.ts';
import { openLog } from './real/log.ts';
import { readShared } from './real/shared-config.ts';

const USAGE = `usage: cellnetd [--socket PATH] [--config FILE]

The node agent of cellnet: serves the plugins' calls with warm connections. It needs root.

  --socket PATH   where it listens; default: CELLNET_AGENT, key "agent" of the shared file, ${DEFAULT_AGENT}
  --config FILE   shared configuration file; default: CELLNET_CONFIG, /etc/cellnet/config.json

SIGHUP: connections are opened anew, by the files as they are then. SIGTERM: what is under way is answered, then it ends.
`;

/** Longest wait for calls that are under way, once it is told to end, in milliseconds. */
const DRAIN_MS = 30_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { socket: { type: 'string' }, config: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const env = { ...process.env, ...(values.config !== undefined && { CELLNET_CONFIG: values.config }) };
  const log = openLog({ CELLNET_LOG_LEVEL: 'info', ...env }, 'cellnetd');
  const parts = new WarmParts(log);
  const agent = new Agent(parts, log);
  const socket = values.socket ?? socketOf(env);
  const server = await AgentServer.listen(socket, (request) => agent.serve(request), log);
  log.info('ready', { socket });

  process.on('SIGHUP', () => {
    parts.forget();
    log.info('reloaded');
  });
  const stop = (): void => {
    log.info('ending', { working: server.working });
    const late = setTimeout(() => process.exit(1), DRAIN_MS);
    void server
      .drain()
      .then(() => log.flush())
      .then(() => {
        clearTimeout(late);
        process.exit();
      });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

function socketOf(env: NodeJS.ProcessEnv): string {
  const { CELLNET_AGENT: path } = env;
  if (path && path !== 'false') return path;
  const shared = readShared(env);
  const inFile = shared && parseSharedConfig(shared.content, shared.file).agent;
  return inFile || DEFAULT_AGENT;
}

void main().catch((error: unknown) => {
  process.stderr.write(`cellnetd: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
