/**
 * Runs test files in one process, in a network namespace made for them. Two Open vSwitches with the
 * userspace datapath cannot share a namespace, because both create the device `ovs-netdev`. The
 * namespace also shows which links remain when the files have ended.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { makeNamespace, uniqueName } from '../support/netns.ts';
import { childEnv, must } from '../support/proc.ts';
import type { BuiltFiles } from './build.ts';
import type { Ended } from './reporter.ts';

export interface Job {
  /** Shown in the output: the path of the job's file, or the common name of its files. */
  readonly name: string;
  /** Absolute paths. */
  readonly files: readonly string[];
  /** Path of the Node that runs the files, and the programs that they start. Default: this one. */
  readonly node?: string;
}

export interface JobResult {
  /** The output of the spec reporter and of the process itself. */
  readonly text: string;
  readonly ended: readonly Ended[];
  /** Failures other than those of tests: no test ran, the process failed, or a link remains. */
  readonly faults: readonly string[];
  readonly seconds: number;
  /** Of the processors, by the job's process and all that it waited for. */
  readonly cpuSeconds: number;
}

const JOB_TIMEOUT_MS = 20 * 60_000;

/** Part of what is built, beside the files of the jobs. */
export const REPORTER = join(import.meta.dirname, 'reporter.ts');

/**
 * Runs the job's files as they were built.
 * @throws ProcError when the namespace cannot be made or inspected
 */
export const runJob = async (job: Job, built: BuiltFiles): Promise<JobResult> => {
  const started = performance.now();
  // The prefix differs from every name that the search for leftovers matches.
  const dir = await mkdtemp(join(tmpdir(), 'cn-run-'));
  const namespace = await makeNamespace(uniqueName('run'), { ipv6: true });
  const netns = namespace.name;
  try {
    const events = join(dir, 'events');
    const { text, fault, cpuSeconds } = await runProcess(job, built, netns, events);
    const ended = parseEvents(await readFile(events, 'utf8').catch(() => ''));
    const faults = [
      ...(fault !== undefined && (fault.always || !ended.some(isFailed)) ? [fault.what] : []),
      ...(ended.length === 0 ? ['no test ran'] : []),
      ...(await linksLeft(netns)).map((link) => `left behind: link ${link}`),
    ];
    return { text, ended, faults, seconds: (performance.now() - started) / 1000, cpuSeconds };
  } finally {
    await rm(dir, { recursive: true, force: true });
    await namespace.stop();
  }
};

/** What earlier jobs used, so that each job is told what it added. */
let counted = 0;

const isFailed = ({ outcome }: Ended): boolean => outcome === 'failed';

const parseEvents = (text: string): Ended[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Ended);

/** Returns the links that no test removed. `lo` belongs to the kernel. */
const linksLeft = async (netns: string): Promise<string[]> => {
  const links = JSON.parse(await must('ip', ['-n', netns, '-j', 'link'])) as { ifname: string }[];
  return links.map(({ ifname }) => ifname).filter((name) => name !== 'lo');
};

interface Ran {
  readonly text: string;
  /** `always`: counts even when a failed test explains the exit status. */
  readonly fault: { readonly what: string; readonly always: boolean } | undefined;
  readonly cpuSeconds: number;
}

/** Clock ticks per second in /proc (USER_HZ; the same on all of Linux's usual platforms). */
const TICKS = 100;

/** Returns the processor seconds of all ended children and what they waited for (proc(5), stat). */
const childrenCpuSeconds = (): number => {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  // The name of the process may have spaces. Fields 16 and 17 are cutime and cstime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / TICKS;
};

/**
 * Runs all files in one process, because starting a process costs more than most unit files take.
 * The kernel kills that process with this one (setpriv(1)).
 * Equivalent to: nsenter --net=/run/netns/NETNS node --eval 'import FILE; …'
 */
const runProcess = (
  { files, node = process.execPath }: Job,
  built: BuiltFiles,
  netns: string,
  events: string,
): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const imports = files.map((file) => `import '${pathToFileURL(built.pathOf(file)).href}';`).join('');
    const reporter = built.pathOf(REPORTER);
    const words = [
      ...['--enable-source-maps', '--test-reporter=spec', '--test-reporter-destination=stdout'],
      ...[`--test-reporter=${reporter}`, `--test-reporter-destination=${events}`],
      ...['--input-type=module', '--eval', imports],
    ];
    const args = ['--pdeathsig', 'KILL', 'nsenter', `--net=/run/netns/${netns}`, node, ...words];
    const child = spawn('setpriv', args, {
      // The programs in dist/ look for node there.
      env: childEnv({ PATH: `${dirname(node)}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` }),
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => (text += part));
    let expired = false;
    // The kernel adds the child's time to this process's when Node reaps it, just before 'exit'.
    let cpuSeconds = 0;
    child.once('exit', () => {
      const total = childrenCpuSeconds();
      cpuSeconds = total - counted;
      counted = total;
    });
    const deadline = setTimeout(() => {
      expired = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, JOB_TIMEOUT_MS);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(deadline);
      const ran = (fault: Ran['fault']): void => resolve({ text, fault, cpuSeconds });
      const how = signal === null ? `ended with status ${code ?? '?'}` : `was ended by ${signal}`;
      if (expired) ran({ what: `did not end in ${JOB_TIMEOUT_MS / 1000} s`, always: true });
      else if (signal !== null) ran({ what: how, always: true });
      else ran(code === 0 ? undefined : { what: how, always: false });
    });
  });
