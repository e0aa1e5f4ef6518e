import { HELD_TODAY } from './acts.ts';
import { loadSimulator } from './bundle.ts';
import type { ViolationKind } from './invariants.ts';
import type { Mutation } from './mutations.ts';
import type * as Simulator from './simulator.ts';

/** The seed whose story shows a mutation. */
export interface Caught {
  readonly seed: number;
  readonly kind: ViolationKind;
  /** How many seeds were run. */
  readonly seeds: number;
}

/**
 * Runs the mutated programs until one of the seeds breaks a rule that the programs as they are keep
 * with this seed.
 * @param sound the simulator with the programs as they are
 * @returns undefined when no seed does
 */
export async function catchMutation(
  { edits, faults = HELD_TODAY, setup = {} }: Mutation,
  seeds: Iterable<number>,
  { makePlan, runPlan }: typeof Simulator,
): Promise<Caught | undefined> {
  const mutated = await loadSimulator(edits);
  let count = 0;
  for (const seed of seeds) {
    count++;
    // Stories with edits or own blocks come where a fault asks for them: others keep their seeds.
    const plan = makePlan(seed, faults, { edits: false, owns: false, ...setup });
    const { violation } = await mutated.runPlan(plan);
    if (violation && !(await runPlan(plan)).violation) return { seed, kind: violation.kind, seeds: count };
  }
  return undefined;
}

export function* seedsFrom(first: number, count: number): Iterable<number> {
  for (let i = 0; i < count; i++) yield first + i;
}
