import { connect } from 'node:net';
import { isTrustedPeer } from '../netlink/peer.ts';
import { CniError } from '../protocol/errors.ts';
import type { Output } from '../protocol/invocation.ts';
import { decodeReply, encodeRequest, type AgentRequest } from './protocol.ts';

/**
 * Longest wait for a reply, in milliseconds; connecting and sending count. It is shorter than the
 * runtime's, and longer than a call lasts in the agent with its wait for its turn, except one whose
 * other IPAM plugin hangs. The launcher (cni/launcher/) has the same.
 */
const DEADLINE_MS = 90_000;
/** The same for a DEL, which the plugin then finishes itself. */
const DEL_DEADLINE_MS = 30_000;

const deadlineOf = ({ env }: AgentRequest): number =>
  env['CNI_COMMAND'] === 'DEL' ? DEL_DEADLINE_MS : DEADLINE_MS;

/**
 * Sends a call to the agent and returns its reply. Returns undefined when no agent answers, when a
 * process of another user than root or this one does, or when the agent closes the connection
 * without a readable reply: the caller then makes the call itself.
 * @param deadlineMs longest wait for the reply
 * @throws CniError 11 when the agent holds the connection open past the deadline without an answer.
 * The agent may still work on the call. Only a DEL may be made by the caller all the same.
 */
export function askAgent(
  path: string,
  request: AgentRequest,
  deadlineMs = deadlineOf(request),
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
    socket.on('connect', () => {
      if (isTrustedPeer(socket)) socket.write(encodeRequest(request));
      else end(undefined);
    });
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
