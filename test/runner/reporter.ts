/**
 * A reporter of node:test that writes one line of JSON per ended test, which `test/run.ts` counts.
 * It does not count suites, nor tests that fail only because a subtest failed: the subtest counts.
 */
import type { TestEvent } from 'node:test/reporters';

export interface Ended {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** What the failed test threw, in its first lines. */
  readonly why?: string;
}

const WHY_LINES = 30;
const WHY_CHARACTERS = 2_000;

/** Returns what was thrown, with its place in the tests. */
const whyOf = (error: Error): string => {
  const { cause } = error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : error.message;
  return text.slice(0, WHY_CHARACTERS).split('\n').slice(0, WHY_LINES).join('\n');
};

const endedOf = (event: TestEvent): Ended | undefined => {
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined;
  const { name, details, skip, todo } = event.data;
  if (event.type === 'test:fail') {
    const { error } = event.data.details;
    const bySubtests = 'failureType' in error && error.failureType === 'subtestsFailed';
    return bySubtests ? undefined : { name, outcome: 'failed', why: whyOf(error) };
  }
  if (details.type === 'suite') return undefined;
  const inert = (skip ?? false) !== false || (todo ?? false) !== false;
  return { name, outcome: inert ? 'skipped' : 'passed' };
};

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    const ended = endedOf(event);
    if (ended) yield `${JSON.stringify(ended)}\n`;
  }
}
