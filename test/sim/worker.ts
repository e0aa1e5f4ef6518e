/** Runs the seeds that its parent process names, and reports what did not hold. */
import type { Fault } from './acts.ts';
import { loadSimulator } from './bundle.ts';
import { catchMutation, seedsFrom, type Caught } from './catch.ts';
import type { ViolationKind } from './invariants.ts';
import { MUTATIONS } from './mutations.ts';

export interface Order {
  readonly from: number;
  readonly count: number;
  readonly faults: readonly Fault[];
}

export interface Failure {
  readonly seed: number;
  readonly kind: ViolationKind;
  readonly text: string;
}

export interface Report {
  readonly seeds: number;
  readonly events: number;
  readonly failures: readonly Failure[];
}

/** Searches for the first seed that shows a mutation. */
export interface MutationOrder {
  readonly mutation: string;
  /** The most seeds to run. */
  readonly count: number;
}

export interface MutationReport {
  readonly mutation: string;
  readonly caught: Caught | undefined;
}

/** The programs in one bundle run a quarter faster than file by file, and load sooner. */
const simulator = loadSimulator();

async function runMutation({ mutation: name, count }: MutationOrder): Promise<MutationReport> {
  const mutation = MUTATIONS.find((each) => each.name === name);
  if (!mutation) throw new Error(`there is no mutation '${name}'`);
  return { mutation: name, caught: await catchMutation(mutation, seedsFrom(1, count)) };
}

async function run({ from, count, faults }: Order): Promise<Report> {
  const { makePlan, runPlan } = await simulator;
  const failures: Failure[] = [];
  let events = 0;
  for (let seed = from; seed < from + count; seed++) {
    const result = await runPlan(makePlan(seed, faults)).catch((cause: unknown) => {
      throw new Error(`seed ${seed}: the simulation itself failed`, { cause });
    });
    events += result.events;
    const { violation } = result;
    if (violation) failures.push({ seed, kind: violation.kind, text: violation.text });
  }
  return { seeds: count, events, failures };
}

process.on('message', (order: Order | MutationOrder) => {
  const work = 'mutation' in order ? runMutation(order) : run(order);
  void work.then((report) => process.send?.(report));
});
