import { execFile, type ExecFileException } from 'node:child_process';
import { promisify } from 'node:util';
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
  const options = { env, signal, maxBuffer: LONGEST_OUTPUT, killSignal: 'SIGKILL' } as const;
  const running = promisify(execFile)(command, args, options);
  running.child.stdin?.end();
  try {
    return (await running).stdout;
  } catch (cause) {
    // On abort, Node.js only requests termination.
    running.child.kill('SIGKILL');
    const why = signal.aborted ? 'did not end in time' : failureOf(cause as ExecFileException);
    throw new KubeError('credentials', `the credential plugin '${command}' ${why}`, { cause });
  }
}

function failureOf({ code, signal, message, stderr = '' }: ExecFileException): string {
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `printed more than ${LONGEST_OUTPUT} characters`;
  if (typeof code === 'string') return `could not be run: ${message}`;
  const said = stderr.trim().slice(-500);
  return `ended with ${signal ?? `status ${code ?? ''}`}${said === '' ? '' : `: ${said}`}`;
}
