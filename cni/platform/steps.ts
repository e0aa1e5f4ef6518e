/**
 * Lists the steps of each verb and of a reconcile that change something, in their usual order.
 * Tests stop after each of them in turn.
 */
export const STEPS = {
  ADD: [
    'allocate',
    'record',
    'create-link',
    'carry',
    'prepare-interface',
    'configure-interface',
    'attach-port',
    'mark-link',
    'probe',
    'announce',
  ],
  DEL: ['detach-port', 'delete-link', 'release', 'forget'],
  /** For each attachment that is no longer valid. */
  GC: ['detach-port', 'delete-link', 'release', 'forget'],
  /** For each attachment that is proven to be gone. */
  RECONCILE: ['detach-port', 'delete-link', 'release', 'forget'],
} as const;

export type SteppedVerb = keyof typeof STEPS;
export type StepOf<V extends SteppedVerb> = (typeof STEPS)[V][number];

/** A hook that throws makes the step fail: with `before` undone, with `after` done. */
export type StepHook = (verb: SteppedVerb, step: string, when: 'before' | 'after') => void;

/** Runs one step of the verb between its hooks. */
export type StepRunner<V extends SteppedVerb> = <T>(
  step: StepOf<V>,
  work: () => Promise<T> | T,
) => Promise<T>;

/** Returns a runner of the verb's steps. A step registers its undo before the hook sees `after`. */
export function stepsOf<V extends SteppedVerb>(hook: StepHook, verb: V): StepRunner<V> {
  return async (step, work) => {
    hook(verb, step, 'before');
    const result = await work();
    hook(verb, step, 'after');
    return result;
  };
}
