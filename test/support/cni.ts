/**
 * Calls a CNI plugin as a container runtime does: as a process, with parameters in CNI_… variables
 * and the configuration on stdin (CNI SPEC, section 2).
 */
import { join } from 'node:path';
import { run } from './proc.ts';

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

export interface CniCall {
  readonly containerId?: string;
  /**
   * A path such as /run/netns/NAME, or '' as a runtime passes for a sandbox that no longer exists.
   */
  readonly netns?: string;
  /** Default: eth0, for the verbs that take an interface name. */
  readonly ifname?: string;
  /** CNI_ARGS as an object. `cni` passes a string unchanged. */
  readonly args?: string | Readonly<Record<string, string>>;
  /** CNI_PATH. Default: dist/bin and the directory of Debian's plugins. */
  readonly path?: string;
  /** The network configuration. `cni` passes a string unchanged. */
  readonly config?: string | object;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Name of the network namespace to run in: that of a simulated node. */
  readonly runIn?: string;
  readonly timeoutMs?: number;
}

export interface CniOutcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout parsed: a result when code is 0, else an error. Undefined when stdout is empty. */
  readonly result: CniReply | undefined;
  /** Wall time of the process. */
  readonly ms: number;
}

/** The fields that tests read of results (CNI SPEC, section 5) and of errors. */
export interface CniReply {
  readonly cniVersion?: string;
  readonly interfaces?: readonly { name: string; mac?: string; mtu?: number; sandbox?: string }[];
  readonly ips?: readonly { address: string; gateway?: string; interface?: number; version?: string }[];
  readonly routes?: readonly { dst: string; gw?: string }[];
  readonly dns?: object;
  readonly supportedVersions?: readonly string[];
  readonly code?: number;
  readonly msg?: string;
  readonly details?: string;
}

export const REPOSITORY = join(import.meta.dirname, '../..');
export const OUR_PLUGINS = join(REPOSITORY, 'dist/bin');
/** The folder where Debian's containernetworking-plugins installs its plugins. */
export const STOCK_PLUGINS = '/usr/lib/cni';

const encodeArgs = (args: CniCall['args']): string | undefined =>
  typeof args === 'object'
    ? Object.entries(args)
        .map(([key, value]) => `${key}=${value}`)
        .join(';')
    : args;

/** Returns CNI_ARGS as the kubelet sets them. */
export const podArgs = (
  namespace: string,
  name: string,
  uid: string,
  containerId: string,
): Record<string, string> => ({
  IgnoreUnknown: '1',
  K8S_POD_NAMESPACE: namespace,
  K8S_POD_NAME: name,
  K8S_POD_INFRA_CONTAINER_ID: containerId,
  K8S_POD_UID: uid,
});

/**
 * Runs a plugin once. Rejects only when the plugin cannot be started, exceeds `timeoutMs` (default
 * 30,000) or writes something other than JSON to stdout.
 */
export const cni = async (binary: string, verb: Verb, call: CniCall = {}): Promise<CniOutcome> => {
  const onAttachment = verb === 'ADD' || verb === 'DEL' || verb === 'CHECK';
  const env = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netns,
    CNI_IFNAME: call.ifname ?? (onAttachment ? 'eth0' : undefined),
    CNI_ARGS: encodeArgs(call.args),
    CNI_PATH: call.path ?? `${OUR_PLUGINS}:${STOCK_PLUGINS}`,
    ...call.env,
  };
  const input = typeof call.config === 'string' ? call.config : JSON.stringify(call.config ?? {});
  const started = performance.now();
  const { code, stdout, stderr } = await run(binary, [], {
    env,
    input,
    timeoutMs: call.timeoutMs ?? 30_000,
    ...(call.runIn !== undefined && { netns: call.runIn }),
  });
  const ms = performance.now() - started;
  return { code, stdout, stderr, result: parseReply(binary, verb, stdout), ms };
};

const parseReply = (binary: string, verb: Verb, stdout: string): CniReply | undefined => {
  if (stdout.trim() === '') return undefined;
  try {
    return JSON.parse(stdout) as CniReply;
  } catch (error) {
    throw new Error(`${binary} ${verb} wrote no JSON on stdout: ${stdout}`, { cause: error });
  }
};

/** Does as `cni`, and throws an Error with the plugin's whole output when the plugin fails. */
export const mustCni = async (binary: string, verb: Verb, call?: CniCall): Promise<CniReply> => {
  const { code, stdout, stderr, result } = await cni(binary, verb, call);
  if (code !== 0) throw new Error(`${binary} ${verb}: status ${code ?? 'killed'}\n${stdout}\n${stderr}`);
  return result ?? {};
};
