import { connect } from 'node:net';
import { CniError } from '../protocol/errors.ts';
import type { Output } from '../protocol/invocation.ts';
import { decodeReply, encodeRequest, type AgentRequest } from './protocol.ts';

/** Longest wait for a reply, in milliseconds: above every deadline inside the agent, below the runtime's. */
const DEADLINE_MS = 90_000;

/**
 * Has the agent serve a call.
 * @returns undefined where none answers, or where it went away before it had: then the call is still to be made
 * @throws CniError 11 where it holds the connection and does not answer: it may be at work, so nobody else must be
 */
export function askAgent(path: string, request: AgentRequest): Promise<Output | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let received = Buffer.alloc(0);
    const timer = setTimeout(() => {
      socket.destroy();
      const message = `the agent at ${path} did not answer within ${DEADLINE_MS / 1000} s`;
      reject(
        new CniError(
          'try-again-later',
          message,
          'Look at its log: journalctl -u cellnetd; restart it if it hangs.',
        ),
      );
    }, DEADLINE_MS);
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
