import { CommandError } from '../context/errors.ts';
import type { World } from '../context/world.ts';

/** How the test waits: each wait has a deadline, ends when the operator stops it, and is told. */
export interface Waiting {
  readonly world: Pick<World, 'monotonic' | 'pause' | 'now'>;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** Tells the operator what is waited for. */
  readonly note: (text: string) => void;
}

/** A look at what is waited for. */
export interface Look {
  readonly done: boolean;
  /** What is missing. */
  readonly told: string;
}

const EVERY_MS = 300;
/** What takes longer is told, and told again when it changes. */
const SILENT_MS = 2_000;

/** @throws CommandError when the operator stopped the command */
export function throwIfStopped(signal: AbortSignal): void {
  if (!signal.aborted) return;
  const reason: unknown = signal.reason;
  throw new CommandError(reason instanceof Error ? reason.message : 'stopped');
}

/**
 * Looks again and again until it is done, for `timeoutMs` at most.
 * @returns the last look
 * @throws CommandError when the operator stopped the command, and what `look` throws
 */
export async function waitFor(waiting: Waiting, look: () => Promise<Look>): Promise<Look> {
  const { world, signal, timeoutMs, note } = waiting;
  const began = world.monotonic();
  let noted = '';
  for (;;) {
    throwIfStopped(signal);
    const seen = await look();
    const elapsed = world.monotonic() - began;
    if (seen.done || elapsed >= timeoutMs) return seen;
    if (elapsed >= SILENT_MS && seen.told !== noted) {
      noted = seen.told;
      note(`waiting: ${seen.told}`);
    }
    await world.pause(EVERY_MS, signal);
  }
}
