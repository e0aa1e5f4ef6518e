import { runProgram, type Ended } from '../subprocess/run.ts';
import { asObject, asOptionalText, asText, DecodeError, type Json } from './decode.ts';
import { KubeError, reasonOf } from './errors.ts';

/** The output of a credential plugin (client.authentication.k8s.io, ExecCredential). */
export interface ExecCredential {
  readonly token?: string;
  /** PEM, like `key`. The plugin returns both or neither. */
  readonly certificate?: string;
  readonly key?: string;
  /** Milliseconds since 1970. Infinity without an expiry: valid until the server refuses it. */
  readonly expiresAt: number;
}

export interface ExecRequest {
  /** The raw `exec` field of a user entry in the kubeconfig. */
  readonly exec: unknown;
  /** Added to KUBERNETES_EXEC_INFO when the entry sets `provideClusterInfo`. */
  readonly cluster: Json;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

const LONGEST_OUTPUT = 1 << 20;

/**
 * Runs a credential plugin as client-go does. KubeConfig can run plugins too, but it runs one
 * without an expiry again for every page, passes no KUBERNETES_EXEC_INFO, and never kills a plugin
 * that hangs.
 * @throws KubeError `credentials`
 */
export async function runCredentialPlugin(request: ExecRequest): Promise<ExecCredential> {
  const { command, args, env, apiVersion } = decodeRequest(request);
  const output = await run(command, args, env, request.signal);
  try {
    return decodeCredential(JSON.parse(output), apiVersion);
  } catch (error) {
    throw new KubeError(
      'credentials',
      `the credential plugin '${command}' did not print an ExecCredential: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly apiVersion: string;
}

function decodeRequest({ exec, cluster, env }: ExecRequest): Command {
  try {
    const fields = asObject(exec, 'exec');
    const apiVersion = asText(fields['apiVersion'], 'exec.apiVersion');
    const info = {
      apiVersion,
      kind: 'ExecCredential',
      spec: { interactive: false, ...(fields['provideClusterInfo'] === true ? { cluster } : {}) },
    };
    const extra = list(fields['env'], 'exec.env').map((entry, i) => {
      const { name, value } = asObject(entry, `exec.env[${i}]`);
      return [
        asText(name, `exec.env[${i}].name`),
        asOptionalText(value, `exec.env[${i}].value`) ?? '',
      ] as const;
    });
    return {
      command: asText(fields['command'], 'exec.command'),
      args: list(fields['args'], 'exec.args').map(String),
      env: { ...env, KUBERNETES_EXEC_INFO: JSON.stringify(info), ...Object.fromEntries(extra) },
      apiVersion,
    };
  } catch (error) {
    throw new KubeError('config', `the kubeconfig's user entry: ${reasonOf(error)}`, { cause: error });
  }
}

function list(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new DecodeError(path, 'an array', value);
  return value;
}

function decodeCredential(value: unknown, apiVersion: string): ExecCredential {
  const credential = asObject(value, 'output');
  if (credential['kind'] !== 'ExecCredential')
    throw new DecodeError('kind', '"ExecCredential"', credential['kind']);
  if (credential['apiVersion'] !== apiVersion)
    throw new DecodeError('apiVersion', `"${apiVersion}"`, credential['apiVersion']);
  const status = asObject(credential['status'], 'status');
  const token = asOptionalText(status['token'], 'status.token');
  const certificate = asOptionalText(status['clientCertificateData'], 'status.clientCertificateData');
  const key = asOptionalText(status['clientKeyData'], 'status.clientKeyData');
  if ((certificate === undefined) !== (key === undefined)) {
    throw new DecodeError('status', 'clientCertificateData and clientKeyData together', 'one of them');
  }
  // The message omits the value, because other fields of the status may be secret.
  if (token === undefined && certificate === undefined)
    throw new DecodeError('status', 'a token or a certificate', 'neither');
  const expiry = asOptionalText(status['expirationTimestamp'], 'status.expirationTimestamp');
  const expiresAt = expiry === undefined ? Infinity : Date.parse(expiry);
  if (Number.isNaN(expiresAt)) throw new DecodeError('status.expirationTimestamp', 'a time', expiry);
  return {
    ...(token === undefined ? {} : { token }),
    ...(certificate === undefined || key === undefined ? {} : { certificate, key }),
    expiresAt,
  };
}

/** Runs a program without a terminal and resolves to its stdout. Kills it when `signal` aborts. */
async function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const ended = await runProgram({ file: command, args, env, maxOutput: LONGEST_OUTPUT, signal }).catch(
    (cause: unknown) => {
      throw failed(command, `could not be run: ${reasonOf(cause)}`, cause);
    },
  );
  if (ended.killedFor === undefined && ended.status === 0) return ended.stdout;
  throw failed(command, failureOf(ended));
}

function failed(command: string, why: string, cause?: unknown): KubeError {
  return new KubeError('credentials', `the credential plugin '${command}' ${why}`, { cause });
}

function failureOf({ status, stderr, killedFor }: Ended): string {
  if (killedFor === 'signal') return 'did not end in time';
  if (killedFor === 'output') return `printed more than ${LONGEST_OUTPUT} characters`;
  const said = stderr.trim().slice(-500);
  const how = status === undefined ? 'was ended by a signal' : `ended with status ${status}`;
  return `${how}${said === '' ? '' : `: ${said}`}`;
}
