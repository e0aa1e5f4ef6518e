/**
 * The whole suite: unit and golden files two at a time, then system files one after the other; then a look for what
 * they left on the machine, where each leftover counts as a failure. The last line is `N passed, M failed`.
 *
 *     npm test                      everything
 *     npm test -- system/runtime    only files whose path contains one of the arguments
 *
 * Exit status 0 only when something ran and nothing failed. With CI=true a skipped test is a failure: a machine that
 * lacks a part must not look like one that passed.
 */
import { readdirSync, statfsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run as runTests } from 'node:test';
import { spec } from 'node:test/reporters';
import { ETCD_FOLDER } from './support/etcd.ts';
import { inventory, RUN_MARK } from './support/leftovers.ts';
import { sweepStaleNamespaces } from './support/netns.ts';
import { sleep } from './support/proc.ts';

const FILE_TIMEOUT_MS = 20 * 60_000;
/** How long what is ending may take to be gone. */
const SETTLE_MS = 3_000;

/** A folder in memory, and what it must have free for the databases of a file's tests. */
const MEMORY = '/dev/shm';
const ROOM_BYTES = 2 * 2 ** 30;

const roomy = (folder: string): boolean => {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= ROOM_BYTES;
  } catch {
    return false;
  }
};

interface Tally {
  passed: number;
  readonly failed: string[];
  readonly skipped: string[];
}

const testFiles = (folder: string, filters: readonly string[]): string[] => {
  const root = join(import.meta.dirname, folder);
  let entries: string[];
  try {
    entries = readdirSync(root, { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
  return entries
    .filter((entry) => entry.endsWith('.test.ts'))
    .map((entry) => join(root, entry))
    .filter(
      (file) => filters.length === 0 || filters.some((part) => relative(process.cwd(), file).includes(part)),
    )
    .sort();
};

/** Runs files in processes of their own, shows them as they end, and counts each test once (a suite is not a test). */
const runFiles = async (files: string[], concurrency: number, tally: Tally): Promise<void> => {
  if (files.length === 0) return;
  const events = runTests({ files, concurrency, timeout: FILE_TIMEOUT_MS });
  const place = (file: string | undefined): string =>
    file === undefined ? '' : `${relative(process.cwd(), file)}: `;
  events.on('test:pass', ({ name, file, skip, todo, details }) => {
    if (details.type === 'suite') return;
    const inert = (skip ?? false) !== false || (todo ?? false) !== false;
    if (inert) tally.skipped.push(`${place(file)}${name}`);
    else tally.passed += 1;
  });
  events.on('test:fail', ({ name, file, details }) => {
    // The parent of a failed test fails with it; only the test itself counts.
    if ('failureType' in details.error && details.error.failureType === 'subtestsFailed') return;
    tally.failed.push(`${place(file)}${name}`);
  });
  const shown = events.compose(new spec()) as AsyncIterable<string>;
  for await (const text of shown) process.stdout.write(text);
};

const newSince = async (before: ReadonlySet<string>, mark: string): Promise<string[]> => {
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const left = [...inventory(mark)].filter((item) => !before.has(item));
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(100);
  }
};

const main = async (filters: readonly string[]): Promise<number> => {
  const mark = `${process.pid}-${Date.now()}`;
  process.env[RUN_MARK] = mark;
  if (roomy(MEMORY)) process.env[ETCD_FOLDER] = MEMORY;
  const swept = await sweepStaleNamespaces();
  if (swept.length > 0) console.log(`removed namespaces of a test run that was killed: ${swept.join(', ')}`);
  const before = inventory(mark);

  const tally: Tally = { passed: 0, failed: [], skipped: [] };
  await runFiles([...testFiles('unit', filters), ...testFiles('golden', filters)], 2, tally);
  await runFiles(testFiles('system', filters), 1, tally);
  for (const item of await newSince(before, mark)) tally.failed.push(`left behind: ${item}`);

  const skipFails = process.env['CI'] === 'true';
  const failed = [...tally.failed, ...(skipFails ? tally.skipped.map((name) => `skipped: ${name}`) : [])];
  console.log('');
  if (!skipFails) for (const name of tally.skipped) console.log(`skipped: ${name}`);
  for (const name of failed) console.log(`failed: ${name}`);
  const nothingRan = tally.passed + tally.failed.length === 0;
  if (nothingRan)
    console.log(
      `no test ran${filters.length > 0 ? `: no file's path contains ${filters.join(' or ')}` : ''}`,
    );
  console.log(`${tally.passed} passed, ${failed.length} failed`);
  return failed.length > 0 || nothingRan ? 1 : 0;
};

process.exitCode = await main(process.argv.slice(2));
