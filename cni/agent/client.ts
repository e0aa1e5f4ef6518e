import { connect } from 'node:net';
import { CniError } from '../protocol/errors.ts';
import type { Output } from '../protocol/invocation.ts';
import { decodeReply, encodeRequest, type AgentRequest } from './protocol.ts';

/**
 * Longest wait for a reply, in milliseconds. It is shorter than the runtime's, and longer than a
 * call lasts in the agent with its wait for its turn, except one whose other IPAM plugin hangs.
 */
const DEADLINE_MS = 90_000;

/**
 * Sends a call to the agent and returns its reply. Returns undefined when no agent answers or the
 * agent closes the connection without a readable reply: the caller then makes the call itself.
 * @param deadlineMs longest wait for the reply
 * @throws CniError 11 when the agent holds the connection open past the deadline without an answer.
 * The agent may still work on the call, so the caller must not make it.
 */
export function askAgent(
  path: string,
  request: AgentRequest,
  deadlineMs = DEADLINE_MS,
): Promise<Output | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let received = Buffer.alloc(0);
    const timer = setTimeout(() => {
      socket.destroy();
      const message = `the agent at ${path} did not answer within ${deadlineMs / 1000} s`;
      reject(
        new CniError(
          'try-again-later',
          message,
          'Look at its log: journalctl -u cellnetd; restart it if it hangs.',
        ),
      );
    }, deadlineMs);
    const end = (output: Output | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(output);
    };
    socket.on('connect', () => socket.write(encodeRequest(request)));
    socket.on('error', () => end(undefined));
    socket.on('close', () => end(undefined));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      try {
        const output = decodeReply(received);
        if (output) end(output);
      } catch {
        end(undefined);
      }
    });
  });
}
