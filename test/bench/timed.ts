/** Plugins executed and timed as a runtime on the node would: no program in between. */
import { spawn } from 'node:child_process';
import { inNamespace, openNamespace, type NetworkNamespace } from '../../cni/netlink/netns.ts';
import { OUR_PLUGINS, podArgs, STOCK_PLUGINS, type Verb } from '../support/cni.ts';
import { childEnv } from '../support/proc.ts';
import type { Pod, SimulatedNode } from '../support/node.ts';

export interface Timed {
  /** From before the fork until the process has ended and its output is read, in milliseconds. */
  readonly ms: number;
  readonly code: number | null;
  readonly output: string;
}

/** A child begins in the network namespace of the thread that forks it: so nothing has to be executed in between. */
export const execute = (
  namespace: NetworkNamespace,
  program: string,
  args: readonly string[],
  { env = {}, input = '' }: { env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<Timed> =>
  new Promise((resolve, reject) => {
    const started = performance.now();
    const child = inNamespace(namespace, () => spawn(program, [...args], { env: childEnv(env) }));
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({ ms: performance.now() - started, code, output }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });

/** One way of attaching a pod. */
export interface Contender {
  readonly name: string;
  call(verb: Verb, pod: Pod): Promise<Timed>;
}

export interface BenchNode {
  readonly node: SimulatedNode;
  readonly namespace: NetworkNamespace;
}

export const benchNode = (node: SimulatedNode): BenchNode => ({
  node,
  namespace: openNamespace(node.ns.path),
});

const parameters = (
  verb: Verb,
  { containerId, ns, ifname, name, uid }: Pod,
  path: string,
): NodeJS.ProcessEnv => ({
  CNI_COMMAND: verb,
  CNI_CONTAINERID: containerId,
  CNI_NETNS: ns.path,
  CNI_IFNAME: ifname,
  CNI_PATH: path,
  CNI_ARGS: Object.entries(podArgs('default', name, uid, containerId))
    .map(([key, value]) => `${key}=${value}`)
    .join(';'),
});

/** `env` decides whether the agent is asked. */
export const cellnet = ({ node, namespace }: BenchNode, name: string, env: NodeJS.ProcessEnv): Contender => {
  const input = JSON.stringify(node.networkConfig());
  return {
    name,
    call: (verb, pod) =>
      execute(namespace, `${OUR_PLUGINS}/cellnet`, [], {
        env: { ...node.env, ...env, ...parameters(verb, pod, OUR_PLUGINS) },
        input,
      }),
  };
};

export const reference = ({ namespace }: BenchNode, dataDir: string): Contender => {
  const input = JSON.stringify({
    cniVersion: '1.0.0',
    name: 'reference',
    type: 'bridge',
    bridge: 'ref0',
    ipam: { type: 'host-local', dataDir, ranges: [[{ subnet: '10.88.0.0/16' }]] },
  });
  return {
    name: 'bridge + host-local',
    call: (verb, pod) =>
      execute(namespace, `${STOCK_PLUGINS}/bridge`, [], { env: parameters(verb, pod, STOCK_PLUGINS), input }),
  };
};

export const mustSucceed = (what: string, { code, output, ms }: Timed): number => {
  if (code !== 0) throw new Error(`${what}: status ${code ?? 'by signal'}: ${output}`);
  return ms;
};
