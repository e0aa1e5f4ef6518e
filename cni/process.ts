import { existsSync } from 'node:fs';
import { messageOf } from '../ipam/model/errors.ts';
import { DEFAULT_AGENT } from '../ipam/settings/settings.ts';
import { VERSION } from '../ipam/settings/version.ts';
import { agentOf } from './agent/path.ts';
import { PLUGIN_VERSION } from './agent/protocol.ts';
import { hostPlatform } from './host/host-platform.ts';
import { CallsPastAgent, type PastAgent } from './host/past-agent.ts';
import { readShared } from './host/shared-config.ts';
import type { Platform } from './platform/platform.ts';
import type { Input, Output, Plugin } from './protocol/invocation.ts';
import { stateDirOf } from './protocol/settings.ts';
import { dispatch, failure } from './verbs/dispatch.ts';

/** The launcher's argument for a DEL that the agent did not answer in time. */
const AGENT_HANGS = '--agent-hangs';
/** Asks whether the agent answers: a container's probe. The launcher has the same option. */
const PROBE = '--probe';

/**
 * Runs one call of a plugin with this process's environment, standard input and output, then ends
 * the process.
 * @param change lets a test replace the platform of a call that no agent serves
 */
export async function runPlugin(
  plugin: Plugin,
  change: (platform: Platform) => Platform = (platform) => platform,
): Promise<void> {
  if (process.argv.includes(PROBE)) process.exit(await probe());
  const platform = hostPlatform(process.env, plugin);
  try {
    const input = await readInput();
    const output = await serveCall(plugin, input, () => Promise.resolve(change(platform)));
    process.exitCode = (await writeAll(output.stdout)) ? output.exitCode : 1;
  } catch (error) {
    // Reading the input failed before the call began.
    const output = failure('', error);
    process.exitCode = (await writeAll(output.stdout)) ? output.exitCode : 1;
  }
  await platform.log.flush();
  // Closing connections and the sockets of the addons must not keep the runtime waiting.
  process.exit();
}

/** Returns the exit status: 0 when the agent answers a question. */
async function probe(): Promise<0 | 1> {
  try {
    // An agent that calls shall not use listens all the same: see agent-main.ts.
    const path =
      agentOf({ env: process.env, stdin: '{}', sharedConfig: readShared(process.env) }) || DEFAULT_AGENT;
    const { answers } = await import('./agent/probe.ts');
    if (await answers(path)) return 0;
    process.stderr.write(`no agent answers at ${path}\n`);
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
  }
  return 1;
}

/** Has the agent serve the call, or serves it in this process, with the same result. */
async function serveCall(plugin: Plugin, input: Input, platform: () => Promise<Platform>): Promise<Output> {
  try {
    const answer = await byAgent(plugin, input);
    if (typeof answer === 'object') return answer;
    noteCallPastAgent(input.env, answer);
    return await dispatch(plugin, { ...input, agentHangs: answer === 'hung' }, platform);
  } catch (error) {
    return failure(input.stdin, error);
  }
}

/**
 * Returns the agent's reply, or why this process must serve the call.
 * @throws CniError 11 when the agent does not answer in time, except for a DEL: the end of a pod
 *   must not wait for an agent that hangs, and a DEL that is carried out twice does no harm
 */
async function byAgent(plugin: Plugin, input: Input): Promise<Output | PastAgent> {
  if (process.argv.includes(AGENT_HANGS)) return 'hung';
  const path = agentOf(input);
  if (path === false) return 'configured';
  if (!existsSync(path)) return 'unanswered';
  const { askAgent } = await import('./agent/client.ts');
  const env = { ...input.env, [PLUGIN_VERSION]: VERSION };
  try {
    return (await askAgent(path, { plugin, env, stdin: input.stdin })) ?? 'unanswered';
  } catch (error) {
    if (input.env['CNI_COMMAND'] === 'DEL') return 'hung';
    throw error;
  }
}

/** A caller that says so in its own environment meant this call to come past the agent. */
function noteCallPastAgent(env: Input['env'], why: PastAgent): void {
  if (env['CNI_COMMAND'] === 'VERSION' || env['CELLNET_AGENT'] === 'false') return;
  try {
    new CallsPastAgent(stateDirOf(env)).note(why);
  } catch {
    // The call itself refuses the state folder.
  }
}

async function readInput(): Promise<Input> {
  return { env: process.env, stdin: await readStdin(), sharedConfig: readShared(process.env) };
}

/**
 * Reads standard input as a stream. The runtime's pipe may be non-blocking, and a synchronous read
 * then fails with EAGAIN under load.
 */
async function readStdin(): Promise<string> {
  if (process.stdin.isTTY) return '';
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Resolves to true when the runtime's pipe has taken the whole text, to false when it fails. */
function writeAll(text: string): Promise<boolean> {
  return new Promise((resolve) => {
    process.stdout.once('error', () => resolve(false));
    process.stdout.write(text, (error) => resolve(!error));
  });
}
