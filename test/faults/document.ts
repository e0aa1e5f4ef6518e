/** Renders docs/reliability.md from what the run found. Pure. */
import type { Group } from './fault.ts';
import type { CallFigures, Refusals } from './figures.ts';
import type { FaultResult } from './run.ts';

/** Returns the time rounded, so that two runs mostly agree: `0.3 s`, `6 s`. */
export function roundTime(ms: number): string {
  if (ms < 50) return '< 0.1 s';
  return ms < 2_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 1_000)} s`;
}

/** Returns the number with two significant digits. */
export const roundCount = (count: number): string => String(Number(count.toPrecision(2)));

/** Returns what became of the calls, such as `120 done, 30 refused; 0.1 s, at most 5 s`. */
export function tellCalls({ done, refused, medianMs, longestMs }: CallFigures): string {
  const refusals = refused.reduce((sum, { count }) => sum + count, 0);
  if (done + refusals === 0) return 'none';
  const counts = [`${roundCount(done)} done`, ...(refusals > 0 ? [`${roundCount(refusals)} refused`] : [])];
  return `${counts.join(', ')}; ${roundTime(medianMs)}, at most ${roundTime(longestMs)}`;
}

const tellSilence = (silentMs: number): string =>
  silentMs === 0 ? 'no packet lost' : `no answer for ${roundTime(silentMs)}`;

/** Kinds of refusals that a row tells, the most frequent first. */
const TOLD_REFUSALS = 2;

const tellRefusals = (verb: string, refused: readonly Refusals[]): string[] =>
  refused
    .slice(0, TOLD_REFUSALS)
    .map(({ code, message }) => `${verb}: ${code === undefined ? 'no answer' : `code ${code}, ${message}`}`);

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const line = (...cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
const code = (text: string): string => `\`${text.replaceAll('`', "'")}\``;

const nameOf = ({ fault: { group, title } }: FaultResult): string => `${group}: ${title}`;

/** Returns the fault's row of the figures. */
export const rowOf = (result: FaultResult): string => {
  const { adds, dels, lastedMs, silentMs, recoveryMs, verified } = result;
  const { twoOwners, lost, leaked, left } = verified;
  return line(
    nameOf(result),
    roundTime(lastedMs),
    tellCalls(adds),
    tellCalls(dels),
    tellSilence(silentMs),
    recoveryMs === undefined ? 'never' : roundTime(recoveryMs),
    [twoOwners, lost, leaked, left].map(({ length }) => length).join(' / '),
  );
};

const FIGURES = [
  line(
    'fault',
    'it lasted',
    'new pods: ADD',
    'ended pods: DEL',
    'running pods',
    'ADDs succeed again after',
    'two owners / lost / leaked / left',
  ),
  line(...Array.from({ length: 7 }, () => '---')),
];

/** Returns the fault's row of what one sees and does. */
export const adviceOf = ({ fault, adds, dels, sign }: FaultResult): string => {
  const refusals = [...tellRefusals('ADD', adds.refused), ...tellRefusals('DEL', dels.refused)];
  return line(
    `${fault.title} (${code(fault.name)})`,
    fault.done,
    refusals.length === 0 ? 'no call fails' : refusals.map(code).join('; '),
    sign === undefined ? 'nothing' : code(sign),
    fault.todo,
  );
};

const ADVICE = [
  line('fault', 'what the run did', 'the runtime sees', 'the operator sees', 'what to do'),
  line(...Array.from({ length: 5 }, () => '---')),
];

const HEADINGS: Readonly<Record<Group, string>> = {
  etcd: 'etcd, three members',
  'Open vSwitch': 'Open vSwitch, on one node',
  agent: 'The agent, on one node',
  machine: 'The machine',
};

/** Returns the document, with the results in the order of their groups. */
export function documentOf(results: readonly FaultResult[]): string {
  const groups = (Object.keys(HEADINGS) as Group[]).map((group) => {
    const rows = results.filter(({ fault }) => fault.group === group).map(adviceOf);
    return [`### ${HEADINGS[group]}`, '', ...ADVICE, ...rows, ''].join('\n');
  });
  return [
    INTRODUCTION,
    '## Figures\n',
    summaryOf(results),
    '',
    ...FIGURES,
    ...results.map(rowOf),
    '',
    HOW_TO_READ,
    '## What you see, and what to do\n',
    ADVICE_INTRODUCTION,
    ...groups,
  ].join('\n');
}

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/** Returns two lines about all faults. */
export function summaryOf(results: readonly FaultResult[]): string {
  const longest = (pick: (result: FaultResult) => CallFigures): string =>
    roundTime(Math.max(...results.map((result) => pick(result).longestMs)));
  const of = (key: 'twoOwners' | 'lost' | 'leaked' | 'left'): number =>
    total(results.map(({ verified }) => verified[key].length));
  const wrong = `${of('twoOwners')} addresses had two owners, ${of('lost')} were lost, ${of('leaked')} leaked.`;
  const slowest = `The longest ADD took ${longest(({ adds }) => adds)}, the longest DEL ${longest(({ dels }) => dels)}.`;
  return [
    `In this run of ${results.length} faults, ${wrong}`,
    `${of('left')} links, ports or records were left over. ${slowest}`,
  ].join('\n');
}

const INTRODUCTION = `# Reliability

What pods and operators notice when a part fails. \`npm run faults -- --write\` made this document:
it ran each fault on real parts (an etcd of three members, two nodes, each with its own Open vSwitch
and agent, and the real plugins) while pods came and went, five calls at once on each node. Then it
healed the fault, ended all pods, and looked for what was wrong.

    npm run faults                                # all of them, about a quarter of an hour
    npm run faults -- etcd-leader-killed          # some of them, by name
    npm run faults -- --write                     # all of them, and writes this document

The exit status is 1 if an address had two owners, was lost or leaked, if anything was left over, if
a call took longer than its deadline ([decision 25](decisions/0025-deadlines.md)), if a fault of one
node made a call fail on the other, if ADDs did not succeed again, or if nothing told the operator.
`;

const HOW_TO_READ = `- **ADD** and **DEL**: the calls that were under way while the fault lasted, on the nodes that it
  concerns; then the median time and the longest. A runtime repeats what was refused: a new pod
  waits, an ended pod stays in state Terminating.
- **Running pods**: a pod of one node pinged a pod of the other five times a second; an answer
  after more than a second counts as none. The run uses the userspace datapath: ovs-vswitchd itself
  forwards, and pauses while it has no connection to ovsdb-server. With the kernel's datapath known
  flows go on without either.
- **ADDs succeed again after**: from the healing until an ADD succeeded on each node, and none
  failed after it.
- **Two owners**: addresses that two pods had at a time, by the pods' namespaces and a journal of
  all results, or that etcd says another pod has. **Lost**: a living pod carries the address, and
  etcd does not hold it. **Leaked**: etcd still holds an address after every pod has ended and each
  node has reconciled once. **Left**: links, ports and files of cellnet on the nodes then.
- Times depend on the machine: here two processors ran the nodes, etcd, and other work. Counts have
  two significant digits.
`;

const ADVICE_INTRODUCTION = `\`doctor:\` is a line of \`cnictl doctor\` on the node, \`healthz:\` and \`metric:\` come from the agent's
metrics socket, \`log:\` is in the agent's log. [doctor](operations/doctor.md) and
[metrics](operations/metrics.md) explain them.
`;

/** The parts of the document that no run changes. */
export const FIXED_TEXTS: readonly string[] = [INTRODUCTION, HOW_TO_READ, ADVICE_INTRODUCTION];
