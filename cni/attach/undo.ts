/**
 * Undo of a verb's steps (rule 2): each is registered the moment its step succeeds, and carried out in reverse
 * when a later one fails. The first cause is what the caller sees; what an undo itself fails at is only told aside.
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
   * Carries out every undo, last first, up to one that fails: what was made before it is what it stands on, and an address
   * must not be free while its port is still there (rule 8).
   * @returns whether all of them were carried out
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
