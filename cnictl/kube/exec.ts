import { spawn } from 'node:child_process';
import { asObject, asOptionalText, asText, DecodeError, type Json } from './decode.ts';
import { KubeError, reasonOf } from './errors.ts';

/** What a credential plugin answered (client.authentication.k8s.io, ExecCredential). */
export interface ExecCredential {
  readonly token?: string;
  /** Both PEM, and both or none. */
  readonly certificate?: string;
  readonly key?: string;
  /** Milliseconds since 1970; Infinity where the plugin names none: good until the server refuses it. */
  readonly expiresAt: number;
}

export interface ExecRequest {
  /** The `exec` of a user entry in the kubeconfig, as it stands there. */
  readonly exec: unknown;
  /** Added to KUBERNETES_EXEC_INFO where `provideClusterInfo` asks for it. */
  readonly cluster: Json;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

const LONGEST_OUTPUT = 1 << 20;

/**
 * Runs a credential plugin as client-go does. KubeConfig can do it too, but runs it anew for every page when it names no
 * expiry, gives it no KUBERNETES_EXEC_INFO and never ends one that hangs.
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
  // The value stays out of the message: what else is in the status may be secret.
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

/** Runs a program without a terminal, kills it at the signal, and resolves to what it printed. */
async function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    const fail = (why: string, cause?: unknown): void => {
      child.kill('SIGKILL');
      // A grandchild may hold the pipes open: let go of them, so that they do not keep us alive.
      child.stdout.destroy();
      child.stderr.destroy();
      signal.removeEventListener('abort', onAbort);
      reject(new KubeError('credentials', `the credential plugin '${command}' ${why}`, { cause }));
    };
    const onAbort = (): void => fail('did not end in time');
    const collect = (stream: 'stdout' | 'stderr') => (chunk: string) => {
      output[stream] += chunk;
      if (output[stream].length > LONGEST_OUTPUT) fail(`printed more than ${LONGEST_OUTPUT} characters`);
    };
    child.stdout.setEncoding('utf8').on('data', collect('stdout'));
    child.stderr.setEncoding('utf8').on('data', collect('stderr'));
    signal.addEventListener('abort', onAbort, { once: true });
    child.on('error', (error) => fail(`could not be run: ${error.message}`, error));
    child.on('close', (code, killedBy) => {
      signal.removeEventListener('abort', onAbort);
      if (code === 0) {
        resolve(output.stdout);
        return;
      }
      const said = output.stderr.trim().slice(-500);
      fail(`ended with ${killedBy ?? `status ${code ?? ''}`}${said === '' ? '' : `: ${said}`}`);
    });
  });
}
