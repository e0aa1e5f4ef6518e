import { askAgent } from './client.ts';

/** Longest wait for an agent that has nothing to do but to answer, in milliseconds. */
const DEADLINE_MS = 5_000;

/**
 * Asks the agent at the socket for its CNI versions, which needs no server. Returns whether any
 * answer came.
 * @throws CniError 11 when the agent hangs
 */
export async function answers(socket: string, deadlineMs = DEADLINE_MS): Promise<boolean> {
  const stdin = JSON.stringify({ cniVersion: '1.0.0' });
  const env = { CNI_COMMAND: 'VERSION', CELLNET_AGENT: socket };
  return (await askAgent(socket, { plugin: 'cellnet', env, stdin }, deadlineMs)) !== undefined;
}
