import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { hostEffects } from '../cni/host/effects.ts';
import { machineOf } from '../cni/host/machine.ts';
import type { ConnectOptions } from '../cni/kube/connect.ts';
import { stateDirOf } from '../cni/protocol/settings.ts';
import { runProgram } from '../cni/subprocess/run.ts';
import { messageOf } from '../ipam/model/errors.ts';
import { directIpam } from '../ipam/node/ipam.ts';
import { appendToFile, checkTarget, readIfThere, replaceFile } from './context/files.ts';
import { realFiles } from './context/host-files.ts';
import { drained, watchOutput } from './context/output.ts';
import { pause } from './context/pause.ts';
import { openTerminal } from './context/terminal.ts';
import type { KubeOptions, World } from './context/world.ts';
import { PLUGIN } from './program/help.ts';
import { run, TROUBLE } from './program/program.ts';

/**
 * Longest time for a program of the host, in milliseconds. It exceeds the agent's own stop time.
 */
const EXEC_DEADLINE_MS = 90_000;

/** Longest time that a bridge may make no progress with what it is asked, in milliseconds. */
const OPENFLOW_DEADLINE_MS = 5_000;

/** Longest output of such a program, in characters. */
const EXEC_OUTPUT = 1 << 20;

const execOnHost: World['exec'] = async ([file = '', ...args]) => {
  const signal = AbortSignal.timeout(EXEC_DEADLINE_MS);
  const { env } = process;
  try {
    const ended = await runProgram({ file, args, env, maxOutput: EXEC_OUTPUT, signal });
    const { status = null, stdout, stderr, killedFor } = ended;
    const late = killedFor === 'signal' ? `${file} did not end within ${EXEC_DEADLINE_MS / 1000} s\n` : '';
    return { status, output: `${stdout}${stderr}${late}` };
  } catch (error) {
    return { status: null, output: messageOf(error) };
  }
};

const kubeOptions = ({
  kubeconfig,
  context,
  configuredKubeconfig,
  requestTimeoutMs,
  listTimeoutMs,
}: KubeOptions): ConnectOptions => ({
  env: process.env,
  deadlineMs: requestTimeoutMs,
  listDeadlineMs: listTimeoutMs,
  idleMs: requestTimeoutMs,
  ...(kubeconfig !== undefined && { kubeconfig }),
  ...(context !== undefined && { context }),
  ...(configuredKubeconfig !== undefined && { configuredKubeconfig }),
});

/** The file that was started: cnictl, or one of those by which kubectl finds its plugins. */
const started = basename(process.argv[1] ?? '');

const world: World = {
  env: process.env,
  hostname: hostname(),
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  flushed: () => drained(process.stdout),
  isTerminal: process.stdin.isTTY && process.stdout.isTTY,
  columns: process.stdout.columns,
  ...(started.startsWith('kubectl') && { program: PLUGIN }),
  showsProgress: process.stderr.isTTY,
  openTerminal: (listener, colours) => openTerminal(process.stdin, process.stdout, listener, colours),
  ask: async (question) => {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return await terminal.question(question);
    } finally {
      terminal.close();
    }
  },
  now: hostEffects.now,
  monotonic: hostEffects.monotonic,
  pause,
  every: (ms, work) => {
    const timer = setInterval(work, ms).unref();
    return () => clearInterval(timer);
  },
  untilStopped: () => {
    const controller = new AbortController();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.once(signal, () => controller.abort(new Error(`stopped by ${signal}`)));
    process.stdout.once('error', () => controller.abort(new Error('the output has ended')));
    return controller.signal;
  },
  readFile: readIfThere,
  checkTarget,
  writeFile: replaceFile,
  appendFile: appendToFile,
  hasDevice: (name) => existsSync(`/sys/class/net/${name}`),
  files: realFiles,
  exec: execOnHost,
  dist: join(import.meta.dirname, '..'), // The bundle is dist/lib/cnictl.js.
  openIpam: async (settings) => {
    const { openEtcdStore } = await import('../ipam/store/etcd/store.ts');
    const store = openEtcdStore(settings);
    return { ...directIpam(store, hostEffects), close: () => store.close() };
  },
  openEvents: async (settings) => {
    const { openEtcdStore } = await import('../ipam/store/etcd/store.ts');
    const store = openEtcdStore(settings);
    return { watches: store.watches, effects: hostEffects, close: () => store.close() };
  },
  openKube: async (options) => {
    const { connectKube } = await import('../cni/kube/connect.ts');
    return connectKube(kubeOptions(options));
  },
  openKubeWriter: async (options, grant) => {
    const { connectWriter } = await import('../cni/kube/writer.ts');
    return connectWriter({ ...kubeOptions(options), grant });
  },
  dial: async (address, port) => {
    const { dial } = await import('./connectivity/dial.ts');
    return dial(address, port);
  },
  openEtcd: async (settings) => {
    const { openEtcdInspector } = await import('../ipam/store/etcd/inspect.ts');
    return openEtcdInspector(settings);
  },
  probeAgent: async (socket) => {
    const { probeAgent } = await import('./doctor/ask-agent.ts');
    return probeAgent(socket);
  },
  agentLog: async (socket) => {
    const { askAgentLog } = await import('./doctor/ask-agent.ts');
    return askAgentLog(socket);
  },
  askAgent: async (socket, path) => {
    const { askAgent } = await import('./doctor/ask-agent.ts');
    return askAgent(socket, path);
  },
  askVswitchd: async (ovsdb, method, params) => {
    const { callUnixctl, findVswitchdSocket } = await import('../cni/ovsdb/unixctl.ts');
    return callUnixctl(findVswitchdSocket(ovsdb), method, params);
  },
  openBridge: async (ovsdb, bridge) => {
    const { OpenFlowConnection } = await import('../cni/openflow/connection.ts');
    const { managementSocket } = await import('../cni/openflow/management.ts');
    return OpenFlowConnection.connect(managementSocket(ovsdb, bridge), {
      deadlineMs: OPENFLOW_DEADLINE_MS,
      onLost: () => undefined,
    });
  },
  openOvsdb: async (remote, files) => {
    const { OvsdbClient } = await import('../cni/ovsdb/client.ts');
    const { tlsFiles } = await import('../cni/ovsdb/remote.ts');
    const tls = tlsFiles(files);
    return OvsdbClient.connect(remote, { ...(tls && { tls }) });
  },
  machine: () => machineOf(process.env, stateDirOf(process.env)),
  uplinkHost: async () => {
    const { uplinkHostOf } = await import('./uplink/host.ts');
    return uplinkHostOf(import.meta.dirname, stateDirOf(process.env));
  },
  openPlatform: async (log) => {
    const { hostPlatform } = await import('../cni/host/host-platform.ts');
    return { ...hostPlatform(process.env, 'cnictl'), log };
  },
};

/** True when some output was lost. The command still finishes its work. */
let outputFailed = false;
watchOutput(process.stdout, (message) => {
  outputFailed = true;
  process.exitCode = TROUBLE;
  process.stderr.write(message);
});
watchOutput(process.stderr, () => {
  // No output is left for an error.
});

/**
 * Ends the process once its output is written, so that a pipe gets all of it. A request that a
 * command gave up does not keep the process.
 */
const words = process.argv.slice(2);
void run(started.startsWith('kubectl_complete') ? ['__complete', ...words] : words, world).then(
  async (status) => {
    await Promise.all([process.stdout, process.stderr].map(drained));
    process.exit(outputFailed ? TROUBLE : status);
  },
);
