/**
 * Runs the whole suite, several jobs at once. Unit files share one process, golden files share
 * another, and each system file has its own process and network namespace. Afterwards the runner
 * searches the machine for leftovers and counts each as a failure. The last line is `N passed, M
 * failed`.
 *
 * The system files share the processors with each other and with all else that runs on the machine.
 * One that failed runs a second time, alone. When it passes then, the output names its tests as
 * `unsteady`, with the reason: to be read, since a race in the product looks the same. When more
 * than two files failed, none runs again.
 *
 *     npm test                      everything
 *     npm test -- system/runtime    only files whose path contains one of the arguments
 *     npm test -- newest            only what runs on the newest Node
 *
 * Without arguments it also runs most unit files and a slice of the system files on the newest Node
 * (test/newest-node/). A run without that Node fails.
 *
 * The exit status is 0 only when a test ran and nothing failed. With CI=true a skipped test is a
 * failure: a machine that lacks a component must not look like one that passed.
 */
import { readdirSync, statfsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { buildFiles, type BuiltFiles } from './runner/build.ts';
import { REPORTER, runJob, type Job, type JobResult } from './runner/job.ts';
import { ETCD_FOLDER } from './support/etcd.ts';
import { inventory, RUN_MARK } from './support/leftovers.ts';
import { sweepStaleNamespaces } from './support/netns.ts';
import { sleep } from './support/proc.ts';

/** How long to wait for ending processes and resources to disappear. */
const SETTLE_MS = 3_000;

/** The number of concurrent jobs. Most jobs wait at times for a daemon, a deadline or a link. */
const LANES = Math.max(2, availableParallelism()) + 1;

/**
 * The longest jobs, longest first, because a long job that starts last would run alone. The others
 * follow by name.
 */
const LONGEST = [
  'plugin/faults',
  'unit',
  'reconcile/two-machines',
  'cnictl/uplink',
  'services/connectivity',
  'cnictl/events',
  'agent/usage',
  'agent/silent-ovsdb',
  'plugin/del',
  'newest Node: unit',
  'plugin/dhcp',
  'rules/annotations',
  'agent/hung',
  'conformance/fuzz',
  'conformance/cellnet',
  'plugin/attach',
  'services/limits',
  'rules/kept',
  'cnictl/bad-records',
  'reconcile/vanished',
  'reconcile/set-back',
  'ipam/watches',
  'reconcile/power-cut',
  'plugin/crowd',
  'rules/rules',
  'ipam/etcd-login',
  'agent/presence',
  'conformance/ipam',
  'conformance/reference',
  'plugin/mirror',
  'reconcile/condemned',
  'cnictl/cnictl',
  'cnictl/backup',
  'rules/own-blocks',
  'soak',
];

/**
 * Jobs that only compute, at the lowest priority, longest first. They have a lane of their own from
 * the start: they use what the others leave of the processors while those wait. When they are done,
 * their lane takes its share of the others.
 */
const GIVING_WAY = ['sim/seeds', 'sim/mutations', 'sim/model'];

/** A folder in memory, and the free bytes it needs to hold the databases of the tests. */
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

/** The package of this machine's architecture. setup.sh installs it. */
const NEWEST_NODE = join(import.meta.dirname, `newest-node/node_modules/node-linux-${process.arch}/bin/node`);

/** What the newest Node runs. With `newest` as an argument, nothing else is run. */
const NEWEST = 'newest';
const NEWEST_SYSTEM = ['system/runtime/node.test.ts'];

/** Documents, and what only computes: it asks nothing of Node that another version could change. */
const ALIKE_ON_ALL = ['unit/docs', 'unit/ipam', 'unit/sim'];

/** So many files may fail among others and pass alone. More of them is no chance. */
const UNSTEADY_AT_MOST = 2;

interface Tally {
  passed: number;
  readonly failed: string[];
  readonly skipped: string[];
}

interface Ran {
  readonly job: Job;
  readonly result: JobResult;
}

const testFiles = (folder: string, filters: readonly string[]): string[] =>
  readdirSync(join(import.meta.dirname, folder), { recursive: true, encoding: 'utf8' })
    .filter((entry) => entry.endsWith('.test.ts'))
    .map((entry) => join(import.meta.dirname, folder, entry))
    .filter((file) => filters.length === 0 || filters.some((part) => pathOf(file).includes(part)))
    .sort();

const pathOf = (file: string): string => relative(process.cwd(), file);

const newestJobs = (filters: readonly string[]): Job[] => {
  if (filters.length > 0 && !filters.includes(NEWEST)) return [];
  const files = NEWEST_SYSTEM.map((file) => join(import.meta.dirname, file));
  const units = testFiles('unit', []).filter(
    (file) => !ALIKE_ON_ALL.some((folder) => pathOf(file).includes(folder)),
  );
  return [
    { name: `${NEWEST} Node: unit`, files: units, node: NEWEST_NODE },
    { name: `${NEWEST} Node: system`, files, node: NEWEST_NODE },
  ];
};

interface Jobs {
  readonly usual: readonly Job[];
  readonly givingWay: readonly Job[];
}

const jobsOf = (filters: readonly string[]): Jobs => {
  const together = ['unit', 'golden']
    .map((name) => ({ name, files: testFiles(name, filters) }))
    .filter(({ files }) => files.length > 0);
  const alone = testFiles('system', filters).map((file) => ({ name: pathOf(file), files: [file] }));
  const placeIn = (list: readonly string[], { name }: Job): number =>
    list.findIndex((each) => name === each || name.includes(`/${each}.`));
  const inOrder = (list: readonly string[], jobs: readonly Job[]): Job[] => {
    const placeOf = (job: Job): number => (placeIn(list, job) + list.length + 1) % (list.length + 1);
    return [...jobs].sort((a, b) => placeOf(a) - placeOf(b));
  };
  const all = [...together, ...alone, ...newestJobs(filters)];
  const givesWay = (job: Job): boolean => placeIn(GIVING_WAY, job) >= 0;
  return {
    usual: inOrder(
      LONGEST,
      all.filter((job) => !givesWay(job)),
    ),
    givingWay: inOrder(GIVING_WAY, all.filter(givesWay)),
  };
};

const tallyOf = ({ job: { name }, result: { ended, faults } }: Ran): Tally => {
  const tally: Tally = { passed: 0, failed: [], skipped: [] };
  for (const test of ended) {
    if (test.outcome === 'passed') tally.passed += 1;
    else tally[test.outcome].push(`${name}: ${test.name}${test.why === undefined ? '' : `\n${test.why}`}`);
  }
  for (const fault of faults) tally.failed.push(`${name}: ${fault}`);
  return tally;
};

const hasFailed = (ran: Ran): boolean => tallyOf(ran).failed.length > 0;

/** Jobs that several lanes take from: each job is taken once. */
type Queue = IterableIterator<Job>;

/**
 * Runs all jobs and prints each result as the job ends. Each lane takes jobs of the first of its
 * queues that has any left, and ends when none has.
 */
const runLanes = async (lanes: readonly (readonly Queue[])[], built: BuiltFiles): Promise<Ran[]> => {
  const done: Ran[] = [];
  const run = async (queues: readonly Queue[]): Promise<void> => {
    for (const queue of queues)
      for (const job of queue) {
        const result = await runJob(job, built);
        const times = `${result.seconds.toFixed(1)} s, ${result.cpuSeconds.toFixed(1)} s of processors`;
        console.log(`${result.text.trimEnd()}\n${job.name}: ${times}\n`);
        done.push({ job, result });
      }
  };
  await Promise.all(lanes.map(run));
  return done;
};

/**
 * Runs the failed system files once more, one after another, but none of the simulator's, which
 * depend on no clock. Returns what counts of each job, and those first runs that do not count.
 */
const runAgain = async (
  ran: readonly Ran[],
  built: BuiltFiles,
): Promise<{ counting: Ran[]; unsteady: Ran[] }> => {
  const mayAgain = ({ name }: Job): boolean => name.includes('system/') && !name.includes('system/sim/');
  const again = ran.filter((each) => mayAgain(each.job) && hasFailed(each));
  if (again.length === 0 || again.length > UNSTEADY_AT_MOST) return { counting: [...ran], unsteady: [] };
  console.log(`\nonce more, alone: ${again.map(({ job }) => job.name).join(', ')}\n`);
  const second = await runLanes([[again.map(({ job }) => job).values()]], built);
  const passed = new Set(second.filter((each) => !hasFailed(each)).map(({ job }) => job));
  const unsteady = again.filter(({ job }) => passed.has(job));
  const counting = ran.filter((each) => !unsteady.includes(each));
  return { counting: [...counting, ...second.filter(({ job }) => passed.has(job))], unsteady };
};

/** Builds the files and runs all jobs, with failed files once more. */
const runAll = async ({ usual, givingWay }: Jobs): Promise<{ counting: Ran[]; unsteady: Ran[] }> => {
  const files = [...usual, ...givingWay].flatMap((job) => job.files);
  const built = await buildFiles([...new Set([...files, REPORTER])]);
  try {
    const queue = usual.values();
    const lanes = [...Array.from({ length: LANES }, () => [queue]), [givingWay.values(), queue]];
    return await runAgain(await runLanes(lanes, built), built);
  } finally {
    await built.remove();
  }
};

const newSince = async (before: ReadonlySet<string>, mark: string): Promise<string[]> => {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const left = [...inventory(mark)].filter((item) => !before.has(item));
    if (left.length === 0 || performance.now() > deadline) return left;
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

  const { counting, unsteady } = await runAll(jobsOf(filters));
  const tallies = counting.map(tallyOf);
  const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
  const skipped = tallies.flatMap((tally) => tally.skipped.map((name) => `skipped: ${name}`));
  const left = (await newSince(before, mark)).map((item) => `left behind: ${item}`);

  const skipFails = process.env['CI'] === 'true';
  const failed = [...tallies.flatMap((tally) => tally.failed), ...left, ...(skipFails ? skipped : [])];
  console.log('');
  if (!skipFails) for (const name of skipped) console.log(name);
  for (const name of unsteady.flatMap((each) => tallyOf(each).failed)) console.log(`unsteady: ${name}`);
  for (const name of failed) console.log(`failed: ${name}`);
  const nothingRan = passed + failed.length === 0;
  if (nothingRan)
    console.log(
      `no test ran${filters.length > 0 ? `: no file's path contains ${filters.join(' or ')}` : ''}`,
    );
  console.log(`${passed} passed, ${failed.length} failed`);
  return failed.length > 0 || nothingRan ? 1 : 0;
};

process.exitCode = await main(process.argv.slice(2));
