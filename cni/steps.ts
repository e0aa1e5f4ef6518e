/** The steps of each verb that change something, in their order: what a test stops after, one by one. */
export const STEPS = {
  ADD: ['allocate', 'record', 'create-link', 'attach-port', 'probe', 'configure-interface'],
  DEL: ['detach-port', 'delete-link', 'release', 'forget'],
  /** Of each attachment that is not valid any more. */
  GC: ['detach-port', 'delete-link', 'release', 'forget'],
} as const;

export type SteppedVerb = keyof typeof STEPS;
export type StepOf<V extends SteppedVerb> = (typeof STEPS)[V][number];

/** Throwing makes the step fail: `before` leaves it undone, `after` done. */
export type StepHook = (verb: SteppedVerb, step: string, when: 'before' | 'after') => void;

/** Runs one step of a verb between its hooks. The step's own work registers its undo, before `after` is told. */
export async function runStep<V extends SteppedVerb, T>(
  hook: StepHook,
  verb: V,
  step: StepOf<V>,
  work: () => Promise<T> | T,
): Promise<T> {
  hook(verb, step, 'before');
  const result = await work();
  hook(verb, step, 'after');
  return result;
}
