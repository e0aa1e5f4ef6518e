import { closeSync, constants, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { removeFile, withFolder } from './folder.ts';

/**
 * Why a plugin served a call itself. `configured`: "agent" is false. `unanswered`: no agent answers
 * at the socket that the call names. `hung`: the agent there did not answer a DEL in time.
 */
export const PAST_AGENT = ['configured', 'unanswered', 'hung'] as const;
export type PastAgent = (typeof PAST_AGENT)[number];

/**
 * Calls that plugins served themselves while an agent ran, each at the price of a start of Node.
 * There is a file for each reason, and a byte in it for each call: appending one needs no lock. The
 * agent makes the files, so plugins on a node without an agent write nothing.
 */
export class CallsPastAgent {
  readonly #dir: string;

  constructor(stateDir: string) {
    this.#dir = join(stateDir, 'past-agent');
  }

  /** The agent counts from now on. @throws Error when the state folder cannot be written */
  begin(): void {
    for (const reason of PAST_AGENT)
      withFolder(this.#dir, () => writeFileSync(this.#fileOf(reason), '', { mode: 0o600 }));
  }

  /** No agent counts any more. @throws Error when the state folder cannot be written */
  end(): void {
    for (const reason of PAST_AGENT) removeFile(this.#fileOf(reason));
  }

  /** Notes one call. Never throws: the count must not cost a pod its network. */
  note(reason: PastAgent): void {
    try {
      const fd = openSync(this.#fileOf(reason), constants.O_WRONLY | constants.O_APPEND);
      writeSync(fd, '.');
      closeSync(fd);
    } catch {
      // No agent counts.
    }
  }

  /** Returns the number of calls since {@link begin}. */
  count(): Readonly<Record<PastAgent, number>> {
    const of = (reason: PastAgent): number =>
      statSync(this.#fileOf(reason), { throwIfNoEntry: false })?.size ?? 0;
    return { configured: of('configured'), unanswered: of('unanswered'), hung: of('hung') };
  }

  #fileOf(reason: PastAgent): string {
    return join(this.#dir, reason);
  }
}
