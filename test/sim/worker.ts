/** Runs the seeds that its parent process names, and reports what did not hold. */
import { messageOf } from '../../ipam/model/errors.ts';
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
  /** The seed to begin with, before those from 1 on. */
  readonly first?: number | undefined;
  /** The most seeds from 1 on to run. */
  readonly count: number;
}

export interface MutationReport {
  readonly mutation: string;
  readonly caught: Caught | undefined;
  /** Why the search could not be made. */
  readonly trouble?: string;
}

// Nothing reads the stacks of refusals and lost races, and taking them is a sixth of the work.
Error.stackTraceLimit = 0;

/** The programs in one bundle run a quarter faster than file by file, and load sooner. */
const simulator = loadSimulator();

async function runMutation({ mutation: name, first, count }: MutationOrder): Promise<MutationReport> {
  try {
    const mutation = MUTATIONS.find((each) => each.name === name);
    if (!mutation) throw new Error('there is no such mutation');
    const seeds = [...(first === undefined ? [] : [first]), ...seedsFrom(1, count)];
    return { mutation: name, caught: await catchMutation(mutation, seeds, await simulator) };
  } catch (error) {
    return { mutation: name, caught: undefined, trouble: messageOf(error) };
  }
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
