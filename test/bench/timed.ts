/** Executes and times plugins as a runtime on the node would. See runner.c. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OUR_PLUGINS, podArgs, STOCK_PLUGINS, type Verb } from '../support/cni.ts';
import type { Pod, SimulatedNode } from '../support/node.ts';
import { childEnv, must } from '../support/proc.ts';
import { benchDir, compiledProgram } from './compiled.ts';

/** One execution of a program. */
export interface Job {
  readonly program: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
}

export interface Timed {
  /** Milliseconds from before the fork until the process has ended. */
  readonly ms: number;
  readonly code: number;
  readonly output: string;
}

/**
 * Runs all jobs at once in a network namespace. `wallMs` counts from the first fork to the last
 * exit.
 */
export async function executeAll(
  netns: string,
  jobs: readonly Job[],
): Promise<{ readonly outcomes: Timed[]; readonly wallMs: number }> {
  const fileOf = (n: number, kind: string): string => join(benchDir, `${n}.${kind}`);
  const texts = jobs.map(({ program, args = [], env = {}, input = '' }, n) => {
    writeFileSync(fileOf(n, 'in'), input);
    const variables = Object.entries(childEnv(env)).flatMap(([key, value]) =>
      value === undefined ? [] : [`${key}=${value}`],
    );
    return [program, ...args, '', ...variables, '', fileOf(n, 'in'), fileOf(n, 'out')];
  });
  writeFileSync(
    join(benchDir, 'jobs'),
    texts
      .flat()
      .map((text) => `${text}\0`)
      .join(''),
  );
  const told = await must('ip', ['netns', 'exec', netns, compiledProgram('runner'), join(benchDir, 'jobs')], {
    timeoutMs: 120_000,
  });
  const lines = told.trim().split('\n');
  const outcomes = jobs.map((_, n) => {
    const [ms = NaN, code = NaN] = (lines[n] ?? '').split(' ').map(Number);
    return { ms, code, output: readFileSync(fileOf(n, 'out'), 'utf8') };
  });
  return { outcomes, wallMs: Number(lines.at(-1)) };
}

export async function execute(netns: string, job: Job): Promise<Timed> {
  const { outcomes } = await executeAll(netns, [job]);
  const [outcome] = outcomes;
  if (!outcome) throw new Error('the runner told nothing');
  return outcome;
}

/** One implementation that attaches a pod. */
export interface Contender {
  readonly name: string;
  job(verb: Verb, pod: Pod): Job;
}

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

/**
 * `env` determines whether the plugin calls the agent.
 * @param plugins the folder of the tree's programs
 */
export const cellnet = (
  node: SimulatedNode,
  name: string,
  env: NodeJS.ProcessEnv,
  plugins = OUR_PLUGINS,
): Contender => {
  const input = JSON.stringify(node.networkConfig());
  return {
    name,
    job: (verb, pod) => ({
      program: `${plugins}/cellnet`,
      env: { ...node.env, ...env, ...parameters(verb, pod, plugins) },
      input,
    }),
  };
};

export const reference = (dataDir: string): Contender => {
  const input = JSON.stringify({
    cniVersion: '1.0.0',
    name: 'reference',
    type: 'bridge',
    bridge: 'ref0',
    ipam: { type: 'host-local', dataDir, ranges: [[{ subnet: '10.88.0.0/16' }]] },
  });
  return {
    name: 'bridge + host-local',
    job: (verb, pod) => ({
      program: `${STOCK_PLUGINS}/bridge`,
      env: parameters(verb, pod, STOCK_PLUGINS),
      input,
    }),
  };
};

export const mustSucceed = (what: string, { code, output, ms }: Timed): number => {
  if (code !== 0) throw new Error(`${what}: status ${code}: ${output}`);
  return ms;
};

/**
 * Makes one call with nothing beside it and returns its milliseconds. Throws an Error when it
 * fails.
 */
export const timeCall = async (
  node: SimulatedNode,
  contender: Contender,
  verb: Verb,
  pod: Pod,
): Promise<number> =>
  mustSucceed(`${verb} of ${contender.name}`, await execute(node.ns.name, contender.job(verb, pod)));
