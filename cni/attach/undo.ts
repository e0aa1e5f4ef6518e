import { messageOf } from '../../ipam/model/errors.ts';
import type { Log } from '../platform/platform.ts';

/**
 * Undoes the steps of a verb (rule 2). The verb registers the undo of each step and reverts them in
 * reverse order when a later step fails. The caller sees the first cause; a failure of an undo goes
 * only to `onFailure`.
 */
export class UndoStack {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<unknown> }[] = [];
  readonly #onFailure: (what: string, error: unknown) => void;

  constructor(onFailure: (what: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  push(what: string, undo: () => Promise<unknown>): void {
    this.#steps.push({ what, undo });
  }

  /**
   * Runs every undo, last first, and stops at the first that fails: its step depends on the earlier
   * ones, and an address must not be free while its port still exists (rule 8).
   * Returns whether every undo succeeded.
   */
  async revert(): Promise<boolean> {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        this.#onFailure(step.what, error);
        return false;
      }
    }
    return true;
  }
}

/** Undoes an ADD: what is on `setup` before what is on `addresses` (rule 8). */
export class AddUndo {
  readonly setup: UndoStack;
  readonly addresses: UndoStack;

  constructor(log: Log) {
    const told = (what: string, error: unknown): void =>
      log.error('undo failed', { what, reason: messageOf(error) });
    this.setup = new UndoStack(told);
    this.addresses = new UndoStack(told);
  }

  async revert(): Promise<boolean> {
    return (await this.setup.revert()) && (await this.addresses.revert());
  }
}
