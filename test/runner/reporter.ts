/**
 * A reporter of node:test that writes one line of JSON per ended test, which `test/run.ts` counts.
 * It does not count suites, nor tests that fail only because a subtest failed: the subtest counts.
 */
import type { TestEvent } from 'node:test/reporters';

export interface Ended {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
}

const endedOf = (event: TestEvent): Ended | undefined => {
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined;
  const { name, details, skip, todo } = event.data;
  if (event.type === 'test:fail') {
    const { error } = event.data.details;
    const bySubtests = 'failureType' in error && error.failureType === 'subtestsFailed';
    return bySubtests ? undefined : { name, outcome: 'failed' };
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
