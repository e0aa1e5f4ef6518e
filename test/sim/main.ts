/**
 * Searches for histories that break cellnet's rules: the real programs on a simulated cluster, with
 * one seed for all time, chance and faults (docs/decisions/0026-simulator.md).
 *
 *     npm run sim -- --seeds 1000           that many seeds; the story of each kind of failure
 *     npm run sim -- --seed 17              one seed, with its whole story
 *     npm run sim -- --seed 17 --plan 3,9@1200 --calm    a part of it, as printed for a failure
 *
 *     npm run sim -- --mutations            the seed that shows each mutation of the programs
 *     npm run sim -- --mutations NAME...    only these
 *
 *     --record        keeps the seeds for the tests (test/sim/caught.json)
 *     --from N        the first seed (1)
 *     --jobs N        worker processes (as many as there are processors)
 *     --faults LIST   classes of faults, or `all`, or `none`; default: those that must hold today
 *
 * Progress goes to standard error. The last line is a summary; the exit status is 1 when something
 * did not hold.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { FAULTS, HELD_TODAY, type Fault } from './acts.ts';
import { tellMutations } from './tell-mutations.ts';
import { makePlan } from './plan.ts';
import { runPlan } from './run.ts';
import { search } from './search.ts';
import { parsePlan, planText, shrink } from './shrink.ts';
import { storyOf } from './story.ts';
import type { Failure } from './worker.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mutations: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    faults: { type: 'string' },
    seed: { type: 'string' },
    plan: { type: 'string' },
    calm: { type: 'boolean', default: false },
  },
});

function numberOf(key: 'seeds' | 'from' | 'jobs' | 'seed', least: number): number {
  const value = Number(values[key]);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`--${key} ${values[key] ?? ''}: expected a whole number of at least ${least}`);
}

function faultsOf(text: string | undefined): readonly Fault[] {
  if (text === undefined) return HELD_TODAY;
  if (text === 'all') return FAULTS;
  if (text === 'none') return [];
  return text.split(',').map((name) => {
    const fault = FAULTS.find((each) => each === name);
    if (fault) return fault;
    throw new Error(`--faults: '${name}' is no class of faults: expected ${FAULTS.join(', ')}, all or none`);
  });
}

/** Tells one seed's whole story, or that of its violation. */
async function tellOne(seed: number, faults: readonly Fault[]): Promise<number> {
  const whole = makePlan(seed, faults);
  const plan = values.plan === undefined ? whole : parsePlan(values.plan, whole);
  const { violation, trace, events } = await runPlan(plan, { calm: values.calm, trace: true });
  if (violation) console.log(storyOf(trace, violation).join('\n'));
  console.log(
    `seed ${seed}: ${plan.scenes.length} acts, ${events} events, ${violation?.kind ?? 'everything held'}`,
  );
  return violation ? 1 : 0;
}

/** Shrinks a failure, tells its story, and how to run it again. */
async function tellFailure({ seed, kind }: Failure, faults: readonly Fault[]): Promise<void> {
  const whole = makePlan(seed, faults);
  process.stderr.write(`seed ${seed}, ${kind}: looking for its shortest story\n`);
  const { plan, calm } = await shrink(whole, kind);
  const { violation, trace } = await runPlan(plan, { calm, trace: true });
  if (violation?.kind !== kind)
    throw new Error(`seed ${seed} does not fail again: the simulation depends on more`);
  const options = [`--seed ${seed}`, `--plan ${planText(plan.scenes, whole)}`, ...(calm ? ['--calm'] : [])];
  console.log(
    [
      ...storyOf(trace, violation),
      `npm run sim -- ${options.join(' ')} --faults ${faults.join(',')}`,
      '',
    ].join('\n'),
  );
}

async function searchAll(faults: readonly Fault[]): Promise<number> {
  const seeds = numberOf('seeds', 1);
  const began = performance.now();
  const seconds = (): string => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  const { failures, events } = await search({
    from: numberOf('from', 0),
    seeds,
    jobs: numberOf('jobs', 1),
    faults,
    onProgress: (done, failed) =>
      process.stderr.write(`\r${done} of ${seeds} seeds, ${failed} failed, ${seconds()}`),
  });
  process.stderr.write('\n');
  const kinds = new Map<string, Failure[]>();
  for (const failure of failures) kinds.set(failure.kind, [...(kinds.get(failure.kind) ?? []), failure]);
  for (const [first] of kinds.values()) if (first) await tellFailure(first, faults);
  for (const [kind, all] of kinds) {
    const some = all.slice(0, 10).map(({ seed }) => seed);
    console.log(`${kind}: ${all.length} seeds, such as ${some.join(', ')}`);
  }
  console.log(`${seeds} seeds, ${events} events, ${failures.length} failed, ${seconds()}`);
  return failures.length > 0 ? 1 : 0;
}

async function main(): Promise<number> {
  if (values.mutations)
    return await tellMutations(positionals, {
      seeds: numberOf('seeds', 1),
      jobs: numberOf('jobs', 1),
      record: values.record,
    });
  const faults = faultsOf(values.faults);
  return values.seed === undefined ? await searchAll(faults) : await tellOne(numberOf('seed', 0), faults);
}

process.exitCode = await main();
