import type { Writable } from 'node:stream';
import { describeReason } from './files.ts';

/** Waits until everything written so far has reached the reader, or has failed to. */
export const drained = (output: Writable): Promise<void> =>
  new Promise((resolve) => output.write('', () => resolve()));

/**
 * Keeps a failed output from ending the program with a stack trace.
 * @param onFailure called once, at the first failure, with a line for the operator; with an empty
 *   string when the reader has gone, as in `cnictl ip list | head`
 */
export function watchOutput(output: Writable, onFailure: (message: string) => void): void {
  let failed = false;
  output.on('error', (error: NodeJS.ErrnoException) => {
    if (failed) return;
    failed = true;
    onFailure(
      error.code === 'EPIPE' ? '' : `cnictl: the output cannot be written: ${describeReason(error)}\n`,
    );
  });
}
