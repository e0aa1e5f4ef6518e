import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { DelegateCall } from '../platform/platform.ts';
import { CniError } from '../protocol/errors.ts';
import type { Environment } from '../protocol/request.ts';

/**
 * Longest time that a delegate may take, in milliseconds: below the kubelet's four minutes for the
 * whole pod.
 */
const DEADLINE_MS = 60_000;
const MAX_REPLY_BYTES = 4 * 1024 * 1024;

/**
 * Executes another plugin with our environment and the whole configuration (CNI SPEC section 4
 * "Delegated plugins"). Returns what the plugin printed.
 * @throws CniError with the delegate's own code and message, 104 when it printed none or cannot be
 *   executed, 7 when it is not installed
 */
export async function runDelegate(call: DelegateCall, env: Environment): Promise<string> {
  const program = await findPlugin(call);
  const { containerId, ifname } = call.attachment ?? {};
  const theirs = {
    ...env,
    CNI_COMMAND: call.verb,
    ...(call.attachment && { CNI_CONTAINERID: containerId, CNI_IFNAME: ifname, CNI_NETNS: '' }),
  };
  const { status, stdout, stderr } = await execute(program, theirs, call);
  if (status === 0) return stdout;
  throw delegateError(call, stdout, stderr || `exit status ${status ?? 'by signal'}`);
}

async function findPlugin({ type, path }: DelegateCall): Promise<string> {
  for (const folder of path.filter(isAbsolute)) {
    const program = join(folder, type);
    try {
      await access(program, constants.X_OK);
      return program;
    } catch {
      // The next folder may contain the plugin.
    }
  }
  throw new CniError(
    'invalid-config',
    `network configuration: key 'ipam.type' is '${type}': no such plugin in CNI_PATH ${path.join(':')}`,
    'Install the plugin (Debian: containernetworking-plugins), or correct the type.',
  );
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function execute(program: string, env: Environment, call: DelegateCall): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: DEADLINE_MS,
      killSignal: 'SIGKILL',
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8');
      child[name].on('data', (chunk: string) => {
        if (output[name].length < MAX_REPLY_BYTES) output[name] += chunk;
      });
    }
    // A delegate that does not read its configuration closes the pipe. Its exit status decides.
    child.stdin.on('error', () => undefined);
    child.on('error', (cause) => {
      reject(
        new CniError('delegate-failed', `plugin '${call.type}' cannot be executed: ${cause.message}`, '', {
          cause,
        }),
      );
    });
    child.on('close', (status) => resolve({ status, ...output }));
    child.stdin.end(call.stdin);
  });
}

function delegateError({ type, verb }: DelegateCall, stdout: string, otherwise: string): CniError {
  try {
    const reply = JSON.parse(stdout) as { code?: unknown; msg?: unknown; details?: unknown };
    if (typeof reply.code === 'number' && typeof reply.msg === 'string') {
      const details = typeof reply.details === 'string' ? reply.details : '';
      return new CniError('delegate-failed', `plugin '${type}': ${reply.msg}`, details, { code: reply.code });
    }
  } catch {
    // The delegate printed no CNI error: use its stderr.
  }
  return new CniError(
    'delegate-failed',
    `plugin '${type}' failed at ${verb}: ${otherwise.trim().slice(0, 500)}`,
  );
}
