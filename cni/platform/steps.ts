/** The steps of each verb, and of a reconcile, that change something, in their order: what a test stops after, one by one. */
export const STEPS = {
  ADD: [
    'allocate',
    'record',
    'create-link',
    'prepare-interface',
    'configure-interface',
    'attach-port',
    'mark-link',
    'probe',
    'announce',
  ],
  DEL: ['detach-port', 'delete-link', 'release', 'forget'],
  /** Of each attachment that is not valid any more. */
  GC: ['detach-port', 'delete-link', 'release', 'forget'],
  /** Of each attachment that is proven to be gone. */
  RECONCILE: ['detach-port', 'delete-link', 'release', 'forget'],
} as const;

export type SteppedVerb = keyof typeof STEPS;
export type StepOf<V extends SteppedVerb> = (typeof STEPS)[V][number];

/** Throwing makes the step fail: `before` leaves it undone, `after` done. */
export type StepHook = (verb: SteppedVerb, step: string, when: 'before' | 'after') => void;

/** Runs one step of the verb between its hooks. */
export type StepRunner<V extends SteppedVerb> = <T>(
  step: StepOf<V>,
  work: () => Promise<T> | T,
) => Promise<T>;

/** A step's own work registers its undo, before `after` is told. */
export function stepsOf<V extends SteppedVerb>(hook: StepHook, verb: V): StepRunner<V> {
  return async (step, work) => {
    hook(verb, step, 'before');
    const result = await work();
    hook(verb, step, 'after');
    return result;
  };
}
