/**
 * `npm run faults [-- NAME…] [-- --write]`. Runs real faults, all or those of the names, and prints
 * what became of pods. `--write` writes docs/reliability.md. The exit status is 0 when everything
 * held.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { REPOSITORY } from '../support/cni.ts';
import { ETCD_FOLDER } from '../support/etcd.ts';
import { sweepStaleNamespaces } from '../support/netns.ts';
import { adviceOf, documentOf, rowOf } from './document.ts';
import { chooseFaults, FAULTS } from './faults.ts';
import { runFault, type FaultResult } from './run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false } },
});
const faults = chooseFaults(positionals);
if (values.write && faults.length < FAULTS.length)
  throw new Error('--write: the document has all faults, so name none');
// A disk that syncs slowly is a fault that this run does not test.
if (existsSync('/dev/shm')) process.env[ETCD_FOLDER] ??= '/dev/shm';

await sweepStaleNamespaces();
const started = performance.now();
const tell = (line: string): void =>
  console.log(`${Math.round((performance.now() - started) / 1_000)} s: ${line}`);

const results: FaultResult[] = [];
const problems: string[] = [];
for (const fault of faults) {
  try {
    const result = await runFault(fault, (line) => tell(`${fault.name}: ${line}`));
    results.push(result);
    problems.push(...result.problems.map((problem) => `${fault.name}: ${problem}`));
    console.log(`${rowOf(result)}\n${adviceOf(result)}`);
  } catch (error) {
    problems.push(
      `${fault.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
  for (const problem of problems.filter((each) => each.startsWith(fault.name)))
    console.log(`NOT HELD: ${problem}`);
}
const ours = readdirSync('/run/netns').filter((name) => name.startsWith(`cn-${process.pid}-`));
problems.push(...ours.map((name) => `namespace ${name} is left by the run`));

console.log('');
for (const problem of problems) console.log(`NOT HELD: ${problem}`);
console.log(
  `${faults.length} faults; ${problems.length === 0 ? 'everything held' : `${problems.length} things did not hold`}`,
);
if (values.write && results.length === FAULTS.length) {
  const file = join(REPOSITORY, 'docs/reliability.md');
  writeFileSync(file, documentOf(results));
  console.log(`wrote ${file}`);
}
process.exitCode = problems.length === 0 ? 0 : 1;
