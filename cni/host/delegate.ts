import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { messageOf } from '../../ipam/model/errors.ts';
import type { DelegateCall } from '../platform/platform.ts';
import { CniError } from '../protocol/errors.ts';
import type { Environment } from '../protocol/request.ts';
import { runProgram, type Ended } from '../subprocess/run.ts';

/**
 * Longest time that a delegate may take, in milliseconds: below the kubelet's four minutes for the
 * whole pod.
 */
const DEADLINE_MS = 60_000;
/** In characters. */
const MAX_REPLY = 4 * 1024 * 1024;

/**
 * Executes another plugin with our environment and the whole configuration (CNI SPEC section 4
 * "Delegated plugins"). Returns what the plugin printed.
 * @param deadlineMs longest time for the plugin, in milliseconds. Then it is killed, with the
 *   processes that it started.
 * @throws CniError with the delegate's own code and message, 104 when it printed none or cannot be
 *   executed, 11 when it does not end in time, 7 when it is not installed
 */
export async function runDelegate(
  call: DelegateCall,
  env: Environment,
  deadlineMs = DEADLINE_MS,
): Promise<string> {
  const program = await findPlugin(call);
  const { containerId, ifname } = call.attachment ?? {};
  const theirs = {
    ...env,
    CNI_COMMAND: call.verb,
    ...(call.attachment && { CNI_CONTAINERID: containerId, CNI_IFNAME: ifname, CNI_NETNS: '' }),
  };
  const ended = await execute(program, theirs, call, deadlineMs);
  checkEnded(call, ended, deadlineMs);
  const { status, stdout, stderr } = ended;
  if (status === 0) return stdout;
  throw delegateError(call, stdout, stderr || `exit status ${status ?? 'by signal'}`);
}

async function findPlugin({ type, path }: DelegateCall): Promise<string> {
  // A record of the node may name the type: it must not lead out of the folders of plugins.
  if (type.includes('/') || ['', '.', '..'].includes(type)) {
    throw new CniError(
      'invalid-config',
      `the type of the IPAM plugin is ${JSON.stringify(type)}: expected the name of a file in CNI_PATH`,
    );
  }
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

async function execute(
  file: string,
  env: Environment,
  call: DelegateCall,
  deadlineMs: number,
): Promise<Ended> {
  const signal = AbortSignal.timeout(deadlineMs);
  try {
    return await runProgram({ file, env, input: call.stdin, maxOutput: MAX_REPLY, signal });
  } catch (cause) {
    const reason = messageOf(cause);
    throw new CniError('delegate-failed', `plugin '${call.type}' cannot be executed: ${reason}`, '', {
      cause,
    });
  }
}

/** @throws CniError when the plugin was killed */
function checkEnded({ type, verb }: DelegateCall, { killedFor }: Ended, deadlineMs: number): void {
  if (killedFor === 'signal') {
    throw new CniError(
      'try-again-later',
      `plugin '${type}' did not end within ${deadlineMs / 1000} s at ${verb}: it was killed, with what it started`,
      'Run the plugin by hand, and look at what it waits for.',
    );
  }
  if (killedFor === 'output')
    throw new CniError('delegate-failed', `plugin '${type}' printed more than ${MAX_REPLY} characters`);
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
