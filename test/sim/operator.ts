import type { Platform } from '../../cni/platform/platform.ts';
import { realFiles } from '../../cnictl/context/host-files.ts';
import type { World } from '../../cnictl/context/world.ts';
import { run } from '../../cnictl/program/program.ts';
import { directIpam } from '../../ipam/node/ipam.ts';
import type { Store } from '../../ipam/store/store.ts';
import type { SimKube } from './kube.ts';
import type { Machine } from './machine.ts';
import { ENVIRONMENT, logOf, platformOf } from './platform.ts';
import type { Process } from './process.ts';

/** What a command of the operator works with. */
export interface OperatorTools {
  /** The machine on which the command runs. */
  readonly machine: Machine;
  readonly process: Process;
  readonly store: Store;
  readonly kube: SimKube;
  /** Saved reports and backups, by path. */
  readonly files: Map<string, string>;
}

/**
 * Runs one command of cnictl, which nobody confirms.
 * @returns its exit status; undefined when it was killed
 */
export function runCnictl(argv: string, tools: OperatorTools): Promise<number | undefined> {
  const { process } = tools;
  return new Promise((resolve) => {
    process.onEnd(() => resolve(undefined));
    void run(argv.split(' '), worldOf(tools)).then((status) => {
      resolve(status);
      process.end();
    });
  });
}

function worldOf({ machine, process, store, kube, files }: OperatorTools): World {
  const { effects } = process;
  const ipam = { ...directIpam(store, effects), close: () => undefined };
  const notHere = (what: string) => () => Promise.reject(new Error(`${what} is not simulated`));
  const say = (text: string): void => process.sim.trace.tell(process.name, () => ({ text: text.trimEnd() }));
  return {
    env: { ...ENVIRONMENT, KUBECONFIG: '/kubeconfig' },
    hostname: machine.node,
    stdout: () => undefined,
    stderr: say,
    flushed: () => Promise.resolve(),
    isTerminal: false,
    showsProgress: false,
    openTerminal: () => {
      throw new Error('no operator of the simulator has a terminal');
    },
    ask: notHere('a question'),
    now: effects.now,
    monotonic: effects.monotonic,
    pause: (ms) => process.wait(ms),
    untilStopped: () => new AbortController().signal,
    readFile: (path) => files.get(path),
    checkTarget: () => undefined,
    writeFile: (path, content) => {
      process.mustStep();
      const parts = typeof content === 'string' || content instanceof Uint8Array ? [content] : [...content];
      files.set(path, parts.map(String).join(''));
    },
    appendFile: (path, content) => void files.set(path, (files.get(path) ?? '') + content),
    hasDevice: () => true,
    files: realFiles,
    exec: notHere('another program'),
    dist: '/opt/cellnet',
    openIpam: () => Promise.resolve(ipam),
    openEvents: notHere('a watch of etcd'),
    openKube: () => Promise.resolve(kube.for(process)),
    openKubeWriter: notHere('a change of the cluster'),
    dial: notHere('a server'),
    openEtcd: notHere('an inspection of etcd'),
    probeAgent: notHere('the socket of the agent'),
    agentLog: notHere('the log of the agent'),
    askAgent: notHere('the socket of the agent'),
    askVswitchd: notHere('ovs-vswitchd'),
    openBridge: notHere('a bridge'),
    openOvsdb: notHere('OVSDB itself'),
    machine: () => machine.identity,
    uplinkHost: notHere('the network of the host'),
    openPlatform: (): Promise<Platform> =>
      Promise.resolve({ ...platformOf(machine, process, () => ipam), log: logOf(process) }),
  };
}
