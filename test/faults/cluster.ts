/**
 * The parts that faults happen to: etcd, a switch, and two nodes, each with Open vSwitch and an
 * agent.
 */
import { join } from 'node:path';
import { startAgent, type RunningAgent } from '../support/agent.ts';
import { OUR_PLUGINS, type CniOutcome, type Verb } from '../support/cni.ts';
import { startFabric, type Fabric } from '../support/fabric.ts';
import { newScope, type Scope } from '../support/netns.ts';
import { startNode, type Pod, type SimulatedNode } from '../support/node.ts';
import { must, run, type RunResult } from '../support/proc.ts';
import { addRange } from '../system/plugin/world.ts';
import { makeClock, type Clock } from './clock.ts';

export interface ClusterNeeds {
  /** Further arguments of each member of etcd. */
  readonly etcdArgs?: readonly string[];
  /** Addresses in a block. Default: 16. */
  readonly blockSize?: number;
  /** The state folder of the first node is a file system of its own, of this size in bytes. */
  readonly stateBytes?: number;
  /** The wall clock of the first node's programs can be set. */
  readonly clock?: boolean;
}

export interface FaultCluster {
  readonly scope: Scope;
  readonly fabric: Fabric;
  readonly hosts: readonly [Host, Host];
  /** Present with {@link ClusterNeeds.clock}. */
  readonly clock: Clock | undefined;
}

/** So short that the agent reconciles while the fault lasts. The defaults are 60 s and 30 s. */
const RECONCILING = { CELLNET_RECONCILE_INTERVAL_MS: '5000', CELLNET_RECONCILE_GRACE_MS: '2000' };
/** Longer than any call may take, so that a call beyond its deadline shows its whole time. */
const GIVE_UP_MS = 100_000;

/** One node with its agent and the runtime that calls the plugin. */
export class Host {
  readonly node: SimulatedNode;
  readonly #socket: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #agents: RunningAgent[] = [];

  constructor(node: SimulatedNode, dir: string, env: Readonly<Record<string, string>>) {
    this.node = node;
    this.#socket = join(dir, 'agent.sock');
    this.#env = { ...env, CELLNET_AGENT: this.#socket };
  }

  get agent(): RunningAgent {
    const agent = this.#agents.at(-1);
    if (!agent) throw new Error(`no agent was started on ${this.node.name}`);
    return agent;
  }

  async startAgent(): Promise<void> {
    this.#agents.push(
      await startAgent(this.node, this.#socket, [], { env: { ...RECONCILING, ...this.#env } }),
    );
  }

  /** Returns what all agents of the node have logged so far. */
  log(): string {
    return this.#agents.map(({ daemon }) => daemon.output()).join('\n');
  }

  call(verb: Verb, pod: Pod): Promise<CniOutcome> {
    return this.node.call(verb, pod, { env: this.#env, timeoutMs: GIVE_UP_MS });
  }

  cnictl(...args: string[]): Promise<RunResult> {
    const env = { ...this.node.env, ...this.#env };
    return run(`${OUR_PLUGINS}/cnictl`, args, { env, netns: this.node.ns.name, timeoutMs: 60_000 });
  }

  async stop(): Promise<void> {
    for (const agent of this.#agents) await agent.stop();
  }
}

const mountState = async (scope: Scope, dir: string, bytes: number): Promise<void> => {
  await must('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'cellnet-state', dir]);
  scope.defer(async () => {
    await must('umount', [dir]);
  });
};

/** Starts an etcd of three members, and two nodes. The caller closes the scope. */
export async function startFaultCluster(needs: ClusterNeeds = {}): Promise<FaultCluster> {
  const scope = newScope();
  try {
    const etcd = { members: 3, args: needs.etcdArgs ?? [] };
    const fabric = scope.use(await startFabric({ etcd }));
    const range = ['10.20.0.0/23', '--gateway', '10.20.0.1', '--vlan', '120', '--name', 'blue'];
    await addRange(fabric, ...range, '--cooldown', '1s', '--block-size', `${needs.blockSize ?? 16}`);
    const clock = needs.clock === true ? makeClock(await scope.tempDir()) : undefined;
    const startHost = async (name: string, isFirst: boolean): Promise<Host> => {
      const node = scope.use(await startNode(fabric, name));
      if (isFirst && needs.stateBytes !== undefined) await mountState(scope, node.stateDir, needs.stateBytes);
      const host = scope.use(new Host(node, await scope.tempDir(), isFirst ? (clock?.env ?? {}) : {}));
      await host.startAgent();
      return host;
    };
    return {
      scope,
      fabric,
      hosts: [await startHost('node-1', true), await startHost('node-2', false)],
      clock,
    };
  } catch (error) {
    await scope.close();
    throw error;
  }
}
