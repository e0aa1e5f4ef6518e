import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Fault } from './acts.ts';
import type { Failure, MutationOrder, MutationReport, Order, Report } from './worker.ts';

export interface SearchOptions {
  readonly from: number;
  readonly seeds: number;
  readonly jobs: number;
  readonly faults: readonly Fault[];
  /** Receives the numbers so far, after each report of a worker. */
  readonly onProgress: (seeds: number, failures: number) => void;
}

export interface SearchResult {
  readonly events: number;
  /** By seed. */
  readonly failures: readonly Failure[];
}

export interface MutationSearch {
  readonly seeds: number;
  readonly jobs: number;
  readonly firsts?: Readonly<Record<string, number>>;
  readonly onFound: (report: MutationReport) => void;
}

/** Seeds that a worker runs for one order. */
const SEEDS_AT_ONCE = 10;

/**
 * Runs the seeds in worker processes.
 * @throws Error when a worker ends before its work
 */
export async function search({
  from,
  seeds,
  jobs,
  faults,
  onProgress,
}: SearchOptions): Promise<SearchResult> {
  const failures: Failure[] = [];
  const total = { seeds: 0, events: 0 };
  let next = from;
  const order = (): Order | undefined => {
    const count = Math.min(SEEDS_AT_ONCE, from + seeds - next);
    if (count <= 0) return undefined;
    next += count;
    return { from: next - count, count, faults };
  };
  const note = (report: Report): void => {
    total.seeds += report.seeds;
    total.events += report.events;
    failures.push(...report.failures);
    onProgress(total.seeds, failures.length);
  };
  await Promise.all(Array.from({ length: jobs }, () => work(order, note)));
  return { events: total.events, failures: failures.sort((a, b) => a.seed - b.seed) };
}

/**
 * Searches for each mutation in worker processes.
 * @param firsts the seed to begin with, by the mutation's name
 * @param onFound called for each mutation when its search has ended
 * @throws Error when a worker ends before its work
 */
export async function searchMutations(
  names: readonly string[],
  { seeds, jobs, firsts = {}, onFound }: MutationSearch,
): Promise<void> {
  const left = names.map((mutation) => ({ mutation, first: firsts[mutation], count: seeds }));
  const order = (): MutationOrder | undefined => left.shift();
  await Promise.all(Array.from({ length: jobs }, () => work(order, onFound)));
}

/** Gives orders to one worker until there are none. */
function work(
  order: () => Order | MutationOrder | undefined,
  note: (report: Report & MutationReport) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    // Not the arguments of this process: a test runner has others.
    const child = fork(join(import.meta.dirname, 'worker.ts'), { execArgv: ['--import', 'tsx'] });
    const next = (): void => {
      const given = order();
      if (given) child.send(given);
      else child.disconnect();
    };
    child.on('message', (report) => {
      note(report as Report & MutationReport);
      next();
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`a worker ended with ${signal ?? `status ${code ?? '?'}`}`));
    });
    next();
  });
}
