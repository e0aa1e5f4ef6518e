import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import type { Cidr } from '../ipam/model/address.ts';
import { messageOf } from '../ipam/model/errors.ts';
import { DEFAULT_AGENT, mergeSettings, settingsFromEnvironment } from '../ipam/settings/settings.ts';
import { VERSION } from '../ipam/settings/version.ts';
import { Agent } from './agent/agent.ts';
import {
  defaultMetricsAddress,
  formatMetricsAddress,
  parseMetricsAddress,
  type MetricsAddress,
} from './agent/metrics-address.ts';
import { NodeServices } from './agent/dataplane/node-services.ts';
import { Masquerade } from './agent/masquerade.ts';
import { MetricsPort } from './agent/metrics-port.ts';
import { MetricsServer, type MetricsSource } from './agent/metrics-server.ts';
import { answers } from './agent/probe.ts';
import { Reconciler } from './agent/reconciler.ts';
import { SelfCheck } from './agent/self-check.ts';
import { AgentServer } from './agent/server.ts';
import { isSameSocket } from './agent/unix-socket.ts';
import { WarmPlatform } from './agent/warm-platform.ts';
import { Watch } from './agent/watch.ts';
import { hostEffects } from './host/effects.ts';
import { openLog } from './host/log.ts';
import { keepRecent } from './host/recent-log.ts';
import { NodeState } from './host/node-state.ts';
import { serviceManager } from './host/notify.ts';
import { CallsPastAgent } from './host/past-agent.ts';
import { raisePriority } from './host/priority.ts';
import { readShared } from './host/shared-config.ts';
import { hostNft } from './nftables/nft.ts';
import type { Log } from './platform/platform.ts';
import { sharedSettings, stateDirOf } from './protocol/settings.ts';
import type { OwnPlace } from './reconcile/places.ts';
import { reconcileSettings, type ReconcileSettings } from './reconcile/settings.ts';

const USAGE = `usage: cellnetd [--socket PATH] [--config FILE] [--metrics ADDRESS] [--metrics-listen ADDRESS]

The node agent of cellnet: serves the plugins' calls with warm connections. It needs root.

  --socket PATH             where it listens; default: CELLNET_AGENT, key "agent" of the shared file, ${DEFAULT_AGENT}
  --config FILE             shared configuration file; default: CELLNET_CONFIG, /etc/cellnet/config.json
  --metrics ADDRESS         where /metrics and /healthz are served to this node: unix:/PATH, a loopback port
                            (127.0.0.1:9461), or off; default: metrics.sock beside the agent's own socket
  --metrics-listen ADDRESS  where they are served beyond this node as well (0.0.0.0:9464), with TLS by the files of key
                            "metrics" of the shared file, or off; default: CELLNET_METRICS_LISTEN, that key's "listen"

SIGHUP: connections are opened anew, by the files as they are then. SIGTERM: what is under way is answered, then it ends.
`;

/** Longest wait for calls under way after SIGTERM or SIGINT, in milliseconds. */
const DRAIN_MS = 30_000;

/**
 * Size of libuv's thread pool. Each link deletion blocks an idle thread for 10 to 20 ms, so the
 * default of four threads would limit a burst. libuv reads the value at the first use of a thread.
 */
const THREADS = '16';

async function main(): Promise<void> {
  process.env['UV_THREADPOOL_SIZE'] ??= THREADS;
  const { values } = parseArgs({
    options: {
      socket: { type: 'string' },
      config: { type: 'string' },
      metrics: { type: 'string' },
      'metrics-listen': { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const env = { ...process.env, ...(values.config !== undefined && { CELLNET_CONFIG: values.config }) };
  const { log, recent } = keepRecent(openLog({ CELLNET_LOG_LEVEL: 'info', ...env }, 'cellnetd'));
  beQuick(log);
  const socket = values.socket ?? socketOf(env);
  const metricsAddress =
    values.metrics === undefined ? defaultMetricsAddress(socket) : parseMetricsAddress(values.metrics);
  const listen = values['metrics-listen'];
  const state = new NodeState(stateDirOf(env), (what) =>
    log.warn('trouble with a record of the node', { what }),
  );
  const past = new CallsPastAgent(stateDirOf(env));
  const watch = new Watch(
    VERSION,
    hostEffects,
    () => state.countPending(),
    () => past.count(),
  );
  const platform = new WarmPlatform(watch, log, env);
  const isOwnSocket = (path: string): boolean => isSameSocket(path, socket);
  const agent = new Agent(platform, watch.metrics, log, hostEffects, isOwnSocket);
  const server = await AgentServer.listen(socket, (request) => agent.serve(request), log);
  const metricsPort = new MetricsPort({
    settings: () =>
      mergeSettings([
        { ...(listen !== undefined && { metrics: { listen } }) },
        settingsFromEnvironment(env),
        sharedSettings(readShared(env)),
      ]).metrics,
    source: publicSourceOf(watch),
    log,
    effects: hostEffects,
  });
  const services = new NodeServices({
    platform,
    metrics: watch.metrics.dataplane,
    log,
    effects: hostEffects,
    env,
  });
  const masquerade = new Masquerade({
    nft: hostNft(process.env),
    metrics: watch.metrics.masquerade,
    log,
    effects: hostEffects,
  });
  const metricsServer = await serveMetrics(
    metricsAddress,
    {
      ...sourceOf(watch, server, past, metricsPort, masquerade),
      ...(metricsAddress?.kind === 'unix' && { log: recent, services: (name) => services.report(name) }),
    },
    log,
  );
  await metricsPort.start();
  countPast(past, log);
  log.info('ready', {
    socket,
    metrics: metricsServer ? formatMetricsAddress(metricsServer.address) : 'off',
  });

  const readSettings = (): ReconcileSettings => {
    const shared = readShared(env);
    const settings = reconcileSettings(env, shared, hostname());
    const merged = mergeSettings([settingsFromEnvironment(env), sharedSettings(shared)]);
    services.apply(merged, settings.own, hostname());
    const { ipam, stateDir } = settings.own;
    masquerade.apply(merged.masqueradeForwarded ? () => rangesOf(platform, ipam, stateDir) : undefined);
    platform.reconciles = settings.intervalMs > 0;
    lookAfter(platform, settings.own);
    return settings;
  };
  const reconciler = new Reconciler(
    readSettings,
    // A reconcile runs several steps of the same name at once, and one hook cannot time them. They
    // last as long as the steps of a call.
    () => ({ ...platform.forCall(env), onStep: () => undefined }),
    watch.metrics,
    hostEffects,
  );
  reconciler.start();
  platform.repairSoon = () => reconciler.soon();
  const selfCheck = new SelfCheck({
    sockets: [server, ...(metricsServer ? [metricsServer] : [])],
    ask: () => answers(socket),
    manager: serviceManager(env),
    log,
    effects: hostEffects,
  });
  selfCheck.start();

  process.on('SIGHUP', () => {
    platform.forget();
    services.forget();
    try {
      // The key that tells of this agent would end before the next reconcile.
      readSettings();
    } catch {
      // The reconcile reports the error.
    }
    log.info('reloaded');
  });
  const stop = (): void => {
    log.info('ending', { working: server.working });
    selfCheck.stop();
    metricsServer?.close();
    metricsPort.stop();
    reconciler.stop();
    services.close();
    masquerade.close();
    const late = setTimeout(() => void log.flush().finally(() => process.exit(1)), DRAIN_MS);
    void server
      .drain()
      .then(() => platform.withdraw())
      .then(() => past.end())
      .catch((error: unknown) => log.warn('the agent ends untidily', { reason: messageOf(error) }))
      .then(() => log.flush())
      .then(() => {
        clearTimeout(late);
        process.exit();
      });
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

/** Raises the priority. Without that right the agent serves too, but slower on a busy node. */
function beQuick(log: Log): void {
  try {
    raisePriority();
  } catch (error) {
    log.info('the priority stays as it is', { reason: messageOf(error) });
  }
}

/**
 * Returns idle blocks of the place's node from now on, and tells that the agent is alive. Ignores
 * invalid etcd settings, for example an unreadable file: the reconcile reports them and continues
 * with the rest.
 */
function lookAfter(platform: WarmPlatform, { ipam, stateDir }: OwnPlace): void {
  try {
    if (ipam) platform.lookAfter(ipam, stateDir);
  } catch {
    // The reconcile reports the error.
  }
}

/** @throws Error where neither file nor environment names etcd */
async function rangesOf(
  platform: WarmPlatform,
  ipam: OwnPlace['ipam'],
  stateDir: string,
): Promise<readonly Cidr[]> {
  if (!ipam) throw new Error('neither the shared file nor the environment of the agent names etcd');
  return (await platform.ranges(ipam, stateDir)).map(({ cidr }) => cidr);
}

/** Serves metrics. On failure logs the reason, and the agent serves calls without metrics. */
async function serveMetrics(
  address: MetricsAddress | undefined,
  source: MetricsSource,
  log: Log,
): Promise<MetricsServer | undefined> {
  try {
    return address && (await MetricsServer.listen(address, source, hostEffects));
  } catch (error) {
    const reason = messageOf(error);
    log.error('metrics cannot be served', { reason });
    return undefined;
  }
}

/** Without the count the agent serves too. */
function countPast(past: CallsPastAgent, log: Log): void {
  try {
    past.begin();
  } catch (error) {
    log.warn('calls past the agent cannot be counted', { reason: messageOf(error) });
  }
}

function sourceOf(
  watch: Watch,
  server: AgentServer,
  past: CallsPastAgent,
  port: MetricsPort,
  masquerade: Masquerade,
): MetricsSource {
  return {
    contentType: watch.metrics.contentType,
    text: () => watch.metrics.text(),
    health: () => ({
      ...watch.health(),
      version: VERSION,
      uptimeSeconds: Math.round(process.uptime()),
      callsUnderWay: server.working,
      callsPastAgent: past.count(),
      ...(port.report && { metricsPort: port.report }),
      ...(masquerade.report && { masquerade: masquerade.report }),
    }),
  };
}

/** Others than this node learn no more than whether the agent is well: reasons name servers. */
function publicSourceOf(watch: Watch): MetricsSource {
  return {
    contentType: watch.metrics.contentType,
    text: () => watch.metrics.text(),
    health: () => ({ ok: watch.health().ok }),
  };
}

function socketOf(env: NodeJS.ProcessEnv): string {
  const { CELLNET_AGENT: path } = env;
  if (path && path !== 'false') return path;
  return sharedSettings(readShared(env)).agent || DEFAULT_AGENT;
}

void main().catch((error: unknown) => {
  process.stderr.write(`cellnetd: ${messageOf(error)}\n`);
  process.exitCode = 1;
});
