import type { Pod } from '../../cni/kube/api.ts';
import type { OpenIpam, Platform } from '../../cni/platform/platform.ts';
import type { Output } from '../../cni/protocol/invocation.ts';
import type { Verb } from '../../cni/protocol/request.ts';
import type { CniResult } from '../../cni/protocol/result.ts';
import { dispatch, failure } from '../../cni/verbs/dispatch.ts';
import type { SimAgent } from './agent.ts';
import type { Machine } from './machine.ts';
import { ENVIRONMENT, platformOf } from './platform.ts';
import type { Process } from './process.ts';

/** How a call of the plugin ended, as the runtime sees it. */
export type CallOutcome =
  | { readonly kind: 'done'; readonly result: CniResult }
  | { readonly kind: 'failed'; readonly code: number; readonly message: string }
  | { readonly kind: 'killed' };

/** The sandbox that a call is about. */
export interface CalledSandbox {
  readonly containerId: string;
  readonly pod: Pod;
  /** Path of its namespace; empty when the runtime knows none any more. */
  readonly netns: string;
  /** The result of its ADD. */
  readonly result?: CniResult;
}

export interface PluginCall {
  readonly verb: Verb;
  /** Absent for GC and STATUS. */
  readonly sandbox?: CalledSandbox;
  /** Further keys of the network configuration. */
  readonly config: object;
}

const IFNAME = 'eth0';
const NETWORK = { cniVersion: '1.1.0', name: 'cell', type: 'cellnet', gratuitousArp: false };

/**
 * Executes the plugin, as a runtime does: the agent serves the call while one runs, else the plugin
 * itself (cni/process.ts).
 * @param openIpam opens the IPAM of a plugin that serves itself
 */
export function callPlugin(
  machine: Machine,
  plugin: Process,
  agent: SimAgent | undefined,
  call: PluginCall,
  openIpam: (platform: Platform, expiresAt: number) => OpenIpam,
): Promise<CallOutcome> {
  const input = { env: environmentOf(call), stdin: configOf(call), sharedConfig: undefined };
  const platform: Platform = platformOf(machine, plugin, (_, expiresAt) => openIpam(platform, expiresAt));
  const run = async (): Promise<Output> => {
    try {
      const answer = agent?.alive ? await agent.ask(plugin, { plugin: 'cellnet', ...input }) : undefined;
      return answer ?? (await dispatch('cellnet', input, () => Promise.resolve(platform)));
    } catch (error) {
      return failure(input.stdin, error);
    }
  };
  return new Promise((resolve) => {
    plugin.onEnd(() => resolve({ kind: 'killed' }));
    void run().then((output) => {
      resolve(outcomeOf(output));
      plugin.end();
    });
  });
}

function environmentOf({ verb, sandbox }: PluginCall): Record<string, string> {
  const { pod } = sandbox ?? {};
  return {
    ...ENVIRONMENT,
    CNI_COMMAND: verb,
    CNI_PATH: '/opt/cni/bin',
    ...(sandbox && {
      CNI_CONTAINERID: sandbox.containerId,
      CNI_NETNS: sandbox.netns,
      CNI_IFNAME: IFNAME,
    }),
    ...(pod && {
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name};K8S_POD_UID=${pod.uid}`,
    }),
  };
}

function configOf({ verb, sandbox, config }: PluginCall): string {
  const prevResult = verb === 'ADD' ? undefined : sandbox?.result;
  return JSON.stringify({ ...NETWORK, ...config, ...(prevResult && { prevResult }) });
}

function outcomeOf({ stdout, exitCode }: Output): CallOutcome {
  const reply = (stdout === '' ? {} : JSON.parse(stdout)) as CniResult & { code?: number; msg?: string };
  if (exitCode === 0) return { kind: 'done', result: reply };
  return { kind: 'failed', code: reply.code ?? 0, message: reply.msg ?? '' };
}
