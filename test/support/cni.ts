/** Calls a CNI plugin as a container runtime does: a process, parameters in CNI_…, configuration on stdin (SPEC, section 2). */
import { join } from 'node:path';
import { run } from './proc.ts';

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

export interface CniCall {
  readonly containerId?: string;
  /** A path as /run/netns/NAME, or '' as a runtime gives for a sandbox that is gone. */
  readonly netns?: string;
  /** Default eth0, for the verbs that take one. */
  readonly ifname?: string;
  /** CNI_ARGS as an object; a string is passed as it is. */
  readonly args?: string | Readonly<Record<string, string>>;
  /** CNI_PATH; default dist/bin and the directory of Debian's plugins. */
  readonly path?: string;
  /** The network configuration; a string is passed as it is. */
  readonly config?: string | object;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Network namespace to run in, by name: that of a simulated node. */
  readonly runIn?: string;
  readonly timeoutMs?: number;
}

export interface CniOutcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout parsed: a result when code is 0, else an error; undefined when stdout is empty. */
  readonly result: CniReply | undefined;
  /** Wall time of the process. */
  readonly ms: number;
}

/** The fields tests look at, of results (SPEC, section 5) and of errors. */
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
/** Where Debian's containernetworking-plugins puts them. */
export const STOCK_PLUGINS = '/usr/lib/cni';

const encodeArgs = (args: CniCall['args']): string | undefined =>
  typeof args === 'object'
    ? Object.entries(args)
        .map(([key, value]) => `${key}=${value}`)
        .join(';')
    : args;

/** CNI_ARGS as the kubelet gives them. */
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

/** Runs a plugin once. Rejects only when it cannot be started, exceeds `timeoutMs` (30,000), or writes no JSON. */
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

/** As `cni`, and throws with everything the plugin said when it failed. */
export const mustCni = async (binary: string, verb: Verb, call?: CniCall): Promise<CniReply> => {
  const { code, stdout, stderr, result } = await cni(binary, verb, call);
  if (code !== 0) throw new Error(`${binary} ${verb}: status ${code ?? 'killed'}\n${stdout}\n${stderr}`);
  return result ?? {};
};
